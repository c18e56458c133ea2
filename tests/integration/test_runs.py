"""Pipelines run by the command line: what a user sees, what a second run finds, what bad input does."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from pipelines import COMMAND, EVENTS, Project, event, events, truncate

FIRST = events(event("c", 1, 10, "new", "1.50"), event("c", 2, 11, "new"), event("c", 2, 11, "new"), event("u", 1, 12, "paid", "1.50"), event("d", 3, 13))
SECOND = events(event("d", 2, 20), event("u", 3, 5, "late"), event("c", 4, 21, "new", "99.99"))
EXPECTED = [{"id": 1, "state": "paid", "amount": "1.50"}, {"id": 4, "state": "new", "amount": "99.99"}]


@pytest.fixture(params=["iceberg", "delta"])
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", request.param))
    project.write("landing/orders/1.json", FIRST)
    project.write("landing/orders/2.json.gz", gzip.compress(SECOND.encode()))
    return project


@pytest.fixture
def orders(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", "iceberg"))
    project.write("landing/orders/1.json", FIRST)
    return project


def test_a_run_applies_what_is_new_and_a_second_finds_nothing(shop: Project) -> None:
    done, steps = shop.record()
    assert done.code == 0, done.err
    assert shop.rows("lake.shop.orders") == EXPECTED
    assert steps["orders"]["batches"] == [1, 2]
    assert steps["orders"]["counts"] == {"read": 8, "applied": 5, "unchanged": 0, "superseded": 2, "duplicate": 1, "filtered": 0, "quarantined": 0}
    again, steps = shop.record()
    assert (again.code, {s["status"] for s in steps.values()}) == (0, {"nothing to do"})
    assert "nothing to do" in shop.penstock("run", ".").out


def test_state_and_batches_show_what_waits(shop: Project) -> None:
    shop.record("--select", "changes")
    (state,) = json.loads(shop.penstock("state", ".", "--json").out)
    assert (state["cut"], state["applied"], state["waiting"]) == (2, 0, 2)
    assert "waiting" in shop.penstock("batch", "ls", ".").out
    shown = shop.penstock("batch", "show", ".", "orders", "1").out
    assert "1.json" in shown
    assert "waiting" in shown


def test_events_delivered_again_change_nothing(shop: Project) -> None:
    shop.record()
    shop.write("landing/orders/3.json", FIRST + SECOND)
    done, steps = shop.record()
    assert done.code == 0, done.err
    assert shop.rows("lake.shop.orders") == EXPECTED
    assert steps["orders"]["counts"]["applied"] == 0


def test_ctrl_c_leaves_whole_batches_and_says_what_to_do(orders: Project) -> None:
    for i in range(2, 40):
        orders.write(f"landing/orders/{i:03}.json", events(event("c", 100 + i, 1000 + i, "new")))
    process = subprocess.Popen([*COMMAND, "run", "."], cwd=orders.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while "batch 2 done" not in process.stdout.readline():
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "run again to go on" in err) == (130, True), err
    assert orders.penstock("run", ".").code == 0
    assert len(orders.rows("lake.shop.orders")) == 2 + 38


def test_an_empty_source_is_nothing_to_do(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", "iceberg"))
    (tmp_path / "landing" / "orders").mkdir(parents=True)
    done = project.penstock("run", ".")
    assert (done.code, "nothing to do: no new input" in done.out) == (0, True), done.err


def test_a_source_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", "iceberg"))
    done = project.penstock("run", ".")
    assert done.code == 1
    assert "landing" in done.err
    assert "next:" in done.err
    assert "Traceback" not in done.err


def test_a_corrupt_gzip_stops_and_skip_goes_on(shop: Project) -> None:
    shop.write("landing/orders/2.json.gz", gzip.compress(SECOND.encode())[:-9])
    done = shop.penstock("run", ".")
    assert (done.code, "2.json.gz is not a whole gzip file" in done.err) == (1, True), done.err
    early = shop.penstock("batch", "skip", ".", "orders", "1")
    assert (early.code, "is not the next one" in early.err) == (2, True)
    assert shop.penstock("batch", "skip", ".", "orders", "2").code == 0
    assert shop.penstock("run", ".").code == 0
    assert [r["id"] for r in shop.rows("lake.shop.orders")] == [1, 2]


def test_a_file_that_changed_after_its_batch_was_cut_is_taken_by_retry(orders: Project) -> None:
    orders.record("--select", "changes")
    orders.write("landing/orders/1.json", SECOND)
    done = orders.penstock("run", ".", "--select", "orders")
    assert (done.code, "changed after its batch was cut" in done.err) == (1, True), done.err
    retried = orders.penstock("batch", "retry", ".", "orders", "1")
    assert retried.code == 0, retried.err
    assert orders.penstock("run", ".").code == 0
    assert [r["id"] for r in orders.rows("lake.shop.orders")] == [3, 4]
    assert "cannot be cut again" in orders.penstock("batch", "retry", ".", "orders", "1").err


def test_a_file_that_was_read_and_changes_is_refused(orders: Project) -> None:
    orders.record()
    orders.write("landing/orders/1.json", SECOND)
    done = orders.penstock("run", ".")
    assert (done.code, "changed after a batch had taken it" in done.err) == (1, True), done.err


def test_bad_events_are_kept_with_reason_and_place(orders: Project) -> None:
    wrong = json.loads(event("c", 7, 30, "new"))
    wrong["after"]["amount"] = "much"
    keyless = json.loads(event("c", 8, 31, "new"))
    del keyless["after"]["id"]
    orders.write("landing/orders/2.json", events(event("c", 6, 29, "good"), "{not json", json.dumps(wrong), json.dumps(keyless)))
    done, steps = orders.record()
    assert (done.code, steps["orders"]["counts"]["quarantined"]) == (0, 3), done.err
    kept = orders.rows("lake.shop.orders__quarantine")
    assert [r["__position"].rpartition("/")[2] for r in kept] == ["2.json#2", "2.json#3", "2.json#4"]
    assert [r["__batch"] for r in kept] == [2, 2, 2]
    assert "amount" in kept[1]["__reason"]
    assert json.loads(kept[1]["__payload"])["after"]["amount"] == "much"
    assert [r["id"] for r in orders.rows("lake.shop.orders")] == [1, 2, 6]


def test_values_left_out_and_truncates_do_what_they_say(shop: Project) -> None:
    """The first update waits for a row that has the value; the truncate goes before the row that came after it."""
    toast = "__debezium_unavailable_value"
    shop.write("landing/orders/3.json", events(event("u", 4, 31, toast, "1.00"), event("u", 9, 32, toast, "2.00"), truncate(25)))
    done, steps = shop.record()
    assert done.code == 0, done.err
    assert (shop.rows("lake.shop.orders"), steps["orders"]["counts"]["quarantined"]) == ([], 2)
    shop.write("landing/orders/4.json", events(event("c", 9, 26, "new", "5.00"), event("c", 7, 40, "new")))
    assert shop.record()[0].code == 0
    assert shop.rows("lake.shop.orders") == [{"id": 7, "state": "new", "amount": None}, {"id": 9, "state": "new", "amount": "2.00"}]


def test_a_history_keeps_every_version(shop: Project) -> None:
    shop.write(
        "pipeline.yaml",
        shop.text("pipeline.yaml").replace("into: lake.shop.orders}", "into: lake.shop.orders, stored_as_scd_type: 2, track_history_column_list: [state]}"),
    )
    assert shop.record()[0].code == 0
    assert shop.rows("lake.shop.orders", "id, state, __start_at_2, __end_at_2") == [
        {"id": 1, "state": "new", "__start_at_2": 10, "__end_at_2": 12},
        {"id": 1, "state": "paid", "__start_at_2": 12, "__end_at_2": None},
        {"id": 2, "state": "new", "__start_at_2": 11, "__end_at_2": 20},
        {"id": 3, "state": "late", "__start_at_2": 5, "__end_at_2": 13},
        {"id": 4, "state": "new", "__start_at_2": 21, "__end_at_2": None},
    ]


def test_soft_deletes_mark_rows(shop: Project) -> None:
    text = shop.text("pipeline.yaml").replace('amount: "decimal(12,2)"', 'amount: "decimal(12,2)", gone: boolean')
    shop.write("pipeline.yaml", text.replace("into: lake.shop.orders}", "into: lake.shop.orders, soft_delete: gone}"))
    assert shop.record()[0].code == 0
    found = shop.rows("lake.shop.orders", "id, state, gone")
    assert [tuple(r.values()) for r in found] == [(1, "paid", False), (2, "new", True), (3, "late", True), (4, "new", False)]


def test_two_runs_at_once_are_told_of_each_other(orders: Project) -> None:
    orders.record()
    state = orders.folder / ".penstock" / "state" / "shop"
    lease = {"run": "theirs", "until": time.time() + 60, "host": os.uname().nodename, "pid": os.getpid()}
    (state / "run.lock").write_text(json.dumps(lease))
    done = orders.penstock("run", ".")
    assert (done.code, f"run theirs, process {os.getpid()}" in done.err) == (1, True), done.err


def test_two_processes_at_once_apply_each_batch_once(orders: Project) -> None:
    for i in range(2, 12):
        orders.write(f"landing/orders/{i}.json", events(event("c", 100 + i, 1000 + i, "new")))
    processes = [subprocess.Popen([*COMMAND, "run", "."], cwd=orders.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [(p.communicate(timeout=120)[1], p.returncode) for p in processes]
    assert 0 in {code for _, code in ended}, ended
    assert all("already being run" in err or "another run" in err or code == 0 for err, code in ended), ended
    assert orders.penstock("run", ".").code == 0
    assert len(orders.rows("lake.shop.orders")) == 12


def test_a_renamed_step_says_so_and_goes_on(orders: Project) -> None:
    orders.record()
    text = (orders.folder / "pipeline.yaml").read_text()
    orders.write("pipeline.yaml", text.replace("id: orders", "id: all_orders"))
    done = orders.penstock("run", ".")
    assert (done.code, "renamed_from: orders" in done.err) == (1, True), done.err
    orders.write("pipeline.yaml", text.replace("id: orders", "id: all_orders\n    renamed_from: orders"))
    orders.write("landing/orders/2.json", SECOND)
    assert orders.penstock("run", ".").code == 0
    assert orders.rows("lake.shop.orders") == EXPECTED


def test_a_state_store_behind_its_target_stops_the_run(orders: Project) -> None:
    import shutil

    orders.record()
    shutil.rmtree(orders.folder / ".penstock")
    done = orders.penstock("run", ".")
    assert (done.code, "knows only 0" in done.err, "--full-refresh" in done.err) == (1, True, True), done.err
    assert orders.penstock("run", ".", "--full-refresh").code == 0
    assert [r["id"] for r in orders.rows("lake.shop.orders")] == [1, 2]


def test_full_refresh_makes_the_table_anew(shop: Project) -> None:
    shop.record()
    (shop.folder / "landing" / "orders" / "2.json.gz").unlink()
    done = shop.penstock("run", ".", "--full-refresh")
    assert done.code == 0, done.err
    assert [r["id"] for r in shop.rows("lake.shop.orders")] == [1, 2]


def test_a_full_disk_is_told_in_one_line(orders: Project) -> None:
    text = (orders.folder / "pipeline.yaml").read_text()
    orders.write("pipeline.yaml", text.replace("connections:\n", "state: full/\nconnections:\n  full: {kind: files, path: /dev/full/state}\n", 1))
    done = orders.process("run", ".")
    assert done.code == 1
    assert "/dev/full" in done.err
    assert "Traceback" not in done.err


def test_files_without_an_order_are_merged_by_a_column(tmp_path: Path) -> None:
    project = Project(tmp_path)
    read = "read: {from: raw/orders/, format: csv}"
    text = EVENTS.replace("FORMAT", "delta").replace("read: {from: raw/orders/, format: debezium, decimal_handling_mode: string, batch: {max_files: 1}}", read)
    text = text.replace("{id: bigint!, state: string,", "{id: bigint!, version: bigint!, state: string,")
    project.write("pipeline.yaml", text.replace("into: lake.shop.orders}", "into: lake.shop.orders, sequence_by: version, apply_as_deletes: state = 'gone'}"))
    project.write("landing/orders/1.csv", "id,version,state,amount\n1,1,new,5\n2,1,new,6\n1,3,paid,5\n1,2,packed,5\n")
    project.write("landing/orders/2.csv", "id,version,state,amount\n2,2,gone,\n3,1,new,7\n")
    done, _ = project.record()
    assert done.code == 0, done.err
    assert project.rows("lake.shop.orders", "id, state") == [{"id": 1, "state": "paid"}, {"id": 3, "state": "new"}]


COPIES = """
pipeline: people
connections:
  raw: {kind: files, path: landing}
  lake: {kind: catalog, catalog: sqlite, warehouse: warehouse}
tables:
  lake.hr.people:
    format: FORMAT
    columns: {id: bigint!, name: string, pay: "decimal(12,2)"}
    keys: [id]
steps:
  - id: files
    read: {from: raw/people/, format: csv, take: all}
  - id: people
    merge: {from: files, into: lake.hr.people, full_copy: true, stored_as_scd_type: 2}
"""


@pytest.fixture(params=["iceberg", "delta"])
def people(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    project = Project(tmp_path)
    project.write("pipeline.yaml", COPIES.replace("FORMAT", request.param))
    project.write("landing/people/all.csv", "id,name,pay\n1,Ann,10.00\n2,Bob,20.00\n3,Eve,\n")
    assert project.record()[0].code == 0
    return project


def test_full_copies_become_a_history(people: Project) -> None:
    people.write("landing/people/all.csv", "id,name,pay\n1,Ann,11.00\n3,Eve,\n4,Dan,5.00\n")
    done, steps = people.record()
    assert done.code == 0, done.err
    assert steps["people"]["counts"] == {"read": 4, "applied": 3, "unchanged": 1, "superseded": 0, "duplicate": 0, "filtered": 0, "quarantined": 0}
    assert [tuple(r.values()) for r in people.rows("lake.hr.people", "id, pay, __start_at, __end_at")] == [
        (1, "10.00", 1, 2), (1, "11.00", 2, None), (2, "20.00", 1, 2), (3, None, 1, None), (4, "5.00", 2, None),
    ]  # fmt: skip


def test_full_copies_mark_what_is_gone_and_unmark_what_is_there_again(people: Project) -> None:
    """A row that is marked is no difference to a copy without it, nor does a copy say anything of the mark."""
    text = people.text("pipeline.yaml").replace("stored_as_scd_type: 2", "soft_delete: gone").replace("people", "staff")
    people.write("pipeline.yaml", text.replace('pay: "decimal(12,2)"', 'gone: boolean, pay: "decimal(12,2)"'))
    ann, bob, eve = "1,Ann,10.00", "2,Bob,20.00", "3,Eve,"
    marked, counted = [], []
    for copy in ((ann, bob, eve), (ann, eve), (ann, eve), ("1,Ann,11.00", bob), (bob, "1,Ann,11.00")):
        people.write("landing/staff/all.csv", "\n".join(("id,name,pay", *copy)))
        done, steps = people.record()
        assert done.code == 0, done.err
        counted.append(tuple(steps["staff"]["counts"][c] for c in ("read", "applied", "unchanged")))
        marked.append([tuple(r.values()) for r in people.rows("lake.hr.staff", "id, name, pay, gone")])
    whole, without_bob = [(1, "Ann", "10.00", False), (2, "Bob", "20.00", False), (3, "Eve", None, False)], [(2, "Bob", "20.00", True)]
    after = [whole[0], *without_bob, whole[2]]
    last = [(1, "Ann", "11.00", False), whole[1], (3, "Eve", None, True)]
    assert marked == [whole, after, after, last, last]
    assert counted == [(3, 3, 0), (3, 1, 2), (2, 0, 2), (3, 3, 0), (2, 0, 2)]


def test_of_a_key_that_stands_twice_in_a_full_copy_the_same_row_stays(people: Project) -> None:
    people.write("pipeline.yaml", people.text("pipeline.yaml").replace("stored_as_scd_type: 2", "stored_as_scd_type: 1").replace("people", "staff"))
    for batch, bob in enumerate(("20.00", "21.00", "22.00"), 1):
        people.write("landing/staff/all.csv", f"id,name,pay\n1,Ann,10.00\n1,Ann,9.00\n1,Ann,10.00\n1,Ann,\n2,Bob,{bob}\n")
        done, steps = people.record()
        assert done.code == 0, done.err
        counts = steps["staff"]["counts"]
        assert [counts[k] for k in ("read", "applied", "unchanged", "superseded", "duplicate")] == [5, 2 if batch == 1 else 1, 0 if batch == 1 else 1, 2, 1]
        assert [tuple(r.values()) for r in people.rows("lake.hr.staff")] == [(1, "Ann", "10.00"), (2, "Bob", bob)]


def test_a_full_copy_with_a_bad_row_deletes_nothing(people: Project) -> None:
    people.write("landing/people/all.csv", "id,name,pay\n1,Ann,much\n3,Eve,1.00\n")
    done, steps = people.record()
    assert (done.code, steps["people"]["counts"]["quarantined"], steps["people"]["counts"]["read"]) == (0, 1, 2), done.err
    assert [r["id"] for r in people.rows("lake.hr.people", "id") if r] == [1, 2, 3, 3]


def test_an_empty_full_copy_does_not_empty_the_table(people: Project) -> None:
    people.write("landing/people/all.csv", "id,name,pay\n")
    done = people.penstock("run", ".")
    assert (done.code, "is empty, and would delete all of its 3 rows" in done.err) == (1, True), done.err
    assert len(people.rows("lake.hr.people")) == 3
