"""A table and its memory brought back together, whatever was renamed, expired or interrupted meanwhile."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pipelines import APPENDED, EVENTS, Project, context, event, events, lake

from penstock.engines import deleting
from penstock.jobs.upkeep import maintain
from penstock.tables import LakeTable

LATER = datetime.now(UTC) + timedelta(days=60)
ORDERS = "lake.shop.orders"
DELIVERED = (
    events(event("c", 1, 1, "new"), event("d", 9, 50)),
    events(event("u", 1, 60, "paid")),
    events(event("u", 1, 70, "sent"), event("d", 8, 71)),
)


@pytest.fixture
def shop(tmp_path: Path, table_format: str) -> Project:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format).replace("keys: [id]", "keys: [id]\n    maintain: {keep_snapshots: 7 days}"))
    return project


def deliver(shop: Project, number: int, *lines: str) -> None:
    shop.write(f"landing/orders/{number}.json", events(*lines) if lines else DELIVERED[number - 1])
    done, _ = shop.record()
    assert done.code == 0, done.err


def states(shop: Project) -> list[tuple[int, str]]:
    return [(r["id"], r["state"]) for r in shop.rows(ORDERS, "id, state")]


def remembered(shop: Project) -> list[int]:
    return [r["id"] for r in shop.rows(f"{ORDERS}__memory", "id")]


def test_a_renamed_step_goes_back_to_what_it_did_under_its_former_name(shop: Project) -> None:
    deliver(shop, 1)
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("- id: orders", "- id: paid\n    renamed_from: orders"))
    deliver(shop, 2)
    deliver(shop, 3)
    done = shop.penstock("rollback", ORDERS, "--to", "2", "--then", "skip")
    assert done.code == 0, done.err
    assert (states(shop), remembered(shop)) == ([(1, "paid")], [9])
    done = shop.penstock("rollback", ORDERS, "--to", "1", "--then", "skip")
    assert done.code == 0, done.err
    assert (states(shop), remembered(shop)) == ([(1, "new")], [9])
    deliver(shop, 4, event("c", 9, 40, "late"))
    assert states(shop) == [(1, "new")], "a row that was deleted before its insert came"


def age(table: LakeTable) -> None:
    """A Delta table's log as it is after 40 days: by the times of its files, and with a checkpoint."""
    native: Any = table.pin().native
    native.create_checkpoint()
    for file in Path(table.location, "_delta_log").iterdir():
        os.utime(file, (time.time() - 40 * 86400,) * 2)


def test_where_the_memory_no_longer_has_its_state_nothing_is_brought_back(shop: Project, table_format: str) -> None:
    """The memory's state after batch 2 is gone a moment sooner than the table's: batch 3 took its place that much earlier."""
    for number in (1, 2, 3):
        deliver(shop, number)
    then = lake(shop, "shop", "orders").history()[0].at
    if table_format == "delta":
        age(lake(shop, "shop", "orders__memory"))
    expired = {m.location: m.expired for m in maintain(context(shop), now=then + timedelta(days=7))}
    assert expired[f"{ORDERS}__memory"] == (1 if table_format == "iceberg" else 2), expired
    done = shop.penstock("rollback", ORDERS, "--to", "2", "--then", "skip")
    assert (done.code, "shop.orders__memory no longer has the state after batch 2" in done.err) == (2, True), done.err
    assert (states(shop), remembered(shop)) == ([(1, "sent")], [8, 9])


def test_a_state_of_which_a_compaction_alone_is_left_comes_back(tmp_path: Path, table_format: str) -> None:
    project = Project(tmp_path)
    text = APPENDED.replace("FORMAT", table_format)
    project.write("pipeline.yaml", text.replace("name: string}", "name: string}\n    maintain: {min_files: 2}"))

    def append(number: int) -> None:
        project.write(f"landing/rows/{number}.csv", f"id,name\n{number},x\n")
        assert project.record()[0].code == 0

    append(1)
    append(2)
    assert [m.compacted for m in maintain(context(project), ["lake.a.rows"])] == [1]
    table = lake(project, "a", "rows")
    compacted = table.history()[0].version
    if table_format == "delta":
        age(table)
    append(3)
    assert table.expire(datetime.now(UTC) + timedelta(days=60), [compacted] if table_format == "iceberg" else []) >= 2
    assert [v.batch for v in table.history() if v.batch is not None] == [3], "the states that the batches made are gone"
    done = project.penstock("rollback", "lake.a.rows", "--to", "1", "--then", "skip")
    assert (done.code, "no longer has the state after batch 1" in done.err) == (2, True), done.err
    done = project.penstock("rollback", "lake.a.rows", "--to", "2", "--then", "skip")
    assert done.code == 0, done.err
    assert [r["id"] for r in project.rows("lake.a.rows", "id")] == [1, 2]


def test_a_memory_that_was_empty_is_empty_again(shop: Project) -> None:
    deliver(shop, 1, event("c", 1, 1, "new"))
    deliver(shop, 2, event("d", 1, 2), event("c", 2, 3, "new"))
    done = shop.penstock("rollback", ORDERS, "--to", "1", "--then", "skip")
    assert (done.code, states(shop), remembered(shop)) == (0, [(1, "new")], []), done.err


def test_a_rollback_after_a_crash_counts_for_the_memory_too(shop: Project) -> None:
    """The memory is a batch ahead when the table is rolled back; a later rollback finds what the first one made of it."""
    for number in (1, 2, 3):
        deliver(shop, number)
    shop.write("landing/orders/4.json", events(event("u", 1, 80, "lost"), event("d", 7, 81)))
    assert shop.process("run", ".", PENSTOCK_KILL_AT="after_memory").code == -signal.SIGKILL
    assert shop.penstock("rollback", ORDERS, "--to", "1", "--then", "skip").code == 0
    assert (states(shop), remembered(shop)) == ([(1, "new")], [9])
    assert shop.record()[0].code == 0
    assert (states(shop), remembered(shop)) == ([(1, "lost")], [7, 9])
    assert shop.penstock("rollback", ORDERS, "--to", "3", "--then", "skip").code == 0
    assert (states(shop), remembered(shop)) == ([(1, "new")], [9])


CHANGES = {
    "append": (', amount: "decimal(12,2)"', ', amount: "decimal(12,2)", note: string'),
    "widen": ("decimal(12,2)", "decimal(14,2)"),
    "drop": (', amount: "decimal(12,2)"', ""),
    "rename": ("amount: ", "total: "),
}
POLICIES = {"drop": "dropped_column: drop", "rename": "renamed_from: {total: amount}"}


@pytest.mark.parametrize(
    ("change", "deletes"),
    [("append", "by position"), ("widen", "by position"), ("drop", "in new files"), ("rename", "in new files"), ("rename", "by position")],
)
def test_a_state_with_other_columns_comes_back_with_those_of_now(
    shop: Project, table_format: str, change: str, deletes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleting, "LARGE_ROWS", 1 if deletes == "by position" else deleting.LARGE_ROWS)
    policy = f"\n    on_schema_change: {{{POLICIES[change]}}}" if change in POLICIES else ""
    text = shop.text("pipeline.yaml").replace("keys: [id]", f"keys: [id]{policy}" + ("\n    readers: [spark]" if deletes == "by position" else ""))
    shop.write("pipeline.yaml", text.replace(policy, "") if policy else text)
    deliver(shop, 1, *(event("c", i, i, "new", f"{i}.00") for i in range(1, 41)))
    deliver(shop, 2, event("u", 3, 50, "paid", "3.50"), event("d", 90, 51))
    deliver(shop, 3, event("u", 4, 60, "paid", "4.50"), event("d", 91, 61))
    shop.write("pipeline.yaml", text.replace(*CHANGES[change]))
    deliver(shop, 4, event("u", 5, 70, "paid", "5.50").replace("amount", "total" if change == "rename" else "amount").replace('"id"', '"note": "n", "id"', 1))
    done = shop.penstock("rollback", ORDERS, "--to", "2", "--then", "skip")
    if table_format == "delta" and change != "append":
        assert (done.code, "whose files have other columns, is not supported" in done.err) == (2, True), done.err
        assert len(shop.rows(ORDERS, "id")) == 40
        assert states(shop)[4] == (5, "paid")
        return
    assert done.code == 0, done.err
    assert remembered(shop) == [90]
    columns = {"append": "id, state, amount, note", "drop": "id, state", "rename": "id, state, total"}.get(change, "id, state, amount")
    amounts = {} if change == "drop" else {"total" if change == "rename" else "amount": "3.50"}
    assert shop.rows(ORDERS, columns)[2] == {"id": 3, "state": "paid", **amounts} | ({"note": None} if change == "append" else {})
    assert [i for i, state in states(shop) if state == "paid"] == [3]
    table = lake(shop, "shop", "orders")
    assert len(table.files(table.pin())) == (2 if deletes == "by position" else 1)
    deliver(shop, 5, event("u", 3, 80, "sent", "9.00").replace("amount", "total" if change == "rename" else "amount").replace('"id"', '"note": "n", "id"', 1))
    assert [r for r in states(shop) if r[1] != "new"] == [(3, "sent")]


def test_a_memory_that_names_columns_as_they_were_does_not_come_back(shop: Project, table_format: str) -> None:
    missing = '"__debezium_unavailable_value"'
    deliver(shop, 1, event("u", 1, 10, "new").replace('"amount": null', f'"amount": {missing}'))
    deliver(shop, 2, event("c", 1, 5, "old", "1.00"), event("d", 1, 20))
    policy = "keys: [id]\n    on_schema_change: {renamed_from: {total: amount}}"
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("amount: ", "total: ").replace("keys: [id]", policy))
    deliver(shop, 3, event("c", 2, 30, "new", "2.00").replace("amount", "total"))
    done = shop.penstock("rollback", ORDERS, "--to", "1", "--then", "skip")
    said = "whose events then lacked values of amount" if table_format == "iceberg" else "whose files have other columns"
    assert (done.code, said in done.err) == (2, True), done.err
    assert states(shop) == [(2, "new")]


def test_files_that_a_vacuum_removed_are_missed_before_anything_is_done(shop: Project) -> None:
    """The table's own are all there: only the memory's are not."""
    for number in (1, 2, 3):
        deliver(shop, number)
    memory = lake(shop, "shop", "orders__memory")
    (first,) = memory.files(memory.pin(next(v.version for v in memory.history() if v.batch == 1)))
    Path(first.uri).unlink()
    done = shop.penstock("rollback", ORDERS, "--to", "2", "--then", "skip")
    assert (done.code, "1 files of version" in done.err) == (2, True), done.err
    assert states(shop) == [(1, "sent")]


COUNTED = """  - id: counted
    transform: {sql: counted.sql, into: lake.a.counted, write: append}
"""


@pytest.fixture
def counted(tmp_path: Path, table_format: str) -> Project:
    """Three batches of a transform, which appends how many rows there were."""
    project = Project(tmp_path)
    table = f"  lake.a.counted: {{format: {table_format}, columns: {{n: bigint}}}}\nsteps:"
    text = APPENDED.replace("FORMAT", table_format).replace("steps:", table) + COUNTED
    project.write("pipeline.yaml", text.replace("name: string}", "name: string}\n    maintain: {keep_snapshots: 1 days}", 1))
    project.write("counted.sql", "SELECT count(*) AS n FROM lake.a.rows")
    for number in (1, 2, 3):
        project.write(f"landing/rows/{number}.csv", f"id,name\n{number},x\n")
        assert project.record()[0].code == 0
    return project


def test_a_transform_is_replayed_on_what_it_read(counted: Project) -> None:
    before = [{"n": 1}, {"n": 2}, {"n": 3}]
    assert counted.rows("lake.a.counted") == before
    done = counted.penstock("rollback", "lake.a.counted", "--to", "1", "--then", "replay")
    assert (done.code, "cut again: 4, 5" in done.out) == (0, True), done.err
    assert counted.rows("lake.a.counted") == before[:1]
    assert counted.record()[1]["counted"]["batches"] == [4, 5]
    assert counted.rows("lake.a.counted") == before
    assert counted.record()[1]["counted"]["status"] == "nothing to do"


def test_a_transform_is_not_replayed_on_what_is_gone(counted: Project, table_format: str) -> None:
    if table_format == "delta":
        age(lake(counted, "a", "rows"))
    assert [m.expired for m in maintain(context(counted), ["lake.a.rows"], now=datetime.now(UTC) + timedelta(days=2))] != [0]
    done = counted.penstock("rollback", "lake.a.counted", "--to", "1", "--then", "replay")
    assert (done.code, "batch 2 cannot be replayed" in done.err) == (2, True), done.err
    assert len(counted.rows("lake.a.counted")) == 3
    assert counted.penstock("rollback", "lake.a.counted", "--to", "1", "--then", "skip").code == 0
    assert counted.rows("lake.a.counted") == [{"n": 1}]


@pytest.mark.parametrize("point", ["after_commit", "after_commit:2", "after_cut"])
def test_an_interrupted_rollback_is_repeated_before_anything_else(shop: Project, point: str) -> None:
    for number in (1, 2, 3):
        deliver(shop, number)
    asked = ("rollback", ORDERS, "--to", "1", "--then", "replay")
    assert shop.process(*asked, PENSTOCK_KILL_AT=point).code == -signal.SIGKILL
    shop.write("landing/orders/4.json", events(event("c", 8, 65, "between")))
    shop.write("keys.csv", "id\n1\n")
    for other in (("run", "."), ("erase", ORDERS, "--keys", "keys.csv"), ("rollback", ORDERS, "--to", "2", "--then", "replay")):
        refused = shop.penstock(*other)
        assert (refused.code != 0, " ".join(("penstock", *asked)) in refused.err) == (True, True), (other, refused.err)
    done = shop.penstock(*asked)
    assert (done.code, "cut again: 4, 5" in done.out) == (0, True), done.err
    assert (states(shop), remembered(shop)) == ([(1, "new")], [9])
    done, steps = shop.record()
    assert (done.code, steps["orders"]["batches"]) == (0, [4, 5, 6]), done.err
    assert (states(shop), remembered(shop)) == ([(1, "sent")], [8, 9]), "the late insert of row 8 was deleted already"


def test_maintenance_leaves_what_an_interrupted_rollback_goes_back_to(shop: Project, table_format: str) -> None:
    """The table is back, its memory is not yet, and that state would have been expired since."""
    for number in (1, 2, 3):
        deliver(shop, number, *([event("d", 9, 80)] if number == 3 else []))
    asked = ("rollback", ORDERS, "--to", "1", "--then", "skip")
    assert shop.process(*asked, PENSTOCK_KILL_AT="after_commit").code == -signal.SIGKILL
    if table_format == "delta":
        age(lake(shop, "shop", "orders__memory"))
    assert [(m.expired, m.removed.files) for m in maintain(context(shop), now=LATER)] == [(0, 0)] * 2
    done = shop.penstock(*asked)
    assert done.code == 0, done.err
    deliver(shop, 4, event("c", 9, 70, "after its delete at 50"))
    assert states(shop) == [(1, "new"), (9, "after its delete at 50")]
    assert sum(m.removed.files for m in maintain(context(shop), now=LATER)) > 0


def test_files_that_a_vacuum_removes_during_a_rollback_do_not_come_back(shop: Project) -> None:
    for number in (1, 2, 3):
        deliver(shop, number)
    with shop.stopped("rollback", ORDERS, "--to", "1", "--then", "skip", at="before_commit") as woken:
        table = lake(shop, "shop", "orders")
        table.expire(LATER, ())
        assert table.sweep(LATER, LATER, ())
        done = woken()
    assert done.code == 1, done.out
    assert (states(shop), remembered(shop)) == ([(1, "sent")], [8, 9])


def test_a_full_refresh_ends_an_interrupted_rollback(shop: Project) -> None:
    for number in (1, 2, 3):
        deliver(shop, number)
    assert shop.process("rollback", ORDERS, "--to", "1", "--then", "skip", PENSTOCK_KILL_AT="after_commit").code == -signal.SIGKILL
    done, _ = shop.record("--full-refresh")
    assert (done.code, states(shop), remembered(shop)) == (0, [(1, "sent")], [8, 9]), done.err
    assert shop.record()[0].code == 0


def test_each_row_is_replayed_once_however_often_and_none_that_was_given_up(tmp_path: Path, table_format: str) -> None:
    rows = Project(tmp_path)
    rows.write("pipeline.yaml", APPENDED.replace("FORMAT", table_format))
    for number in (1, 2, 3, 4):
        rows.write(f"landing/rows/{number}.csv", f"id,name\n{number},x\n")
    killed = rows.process("run", ".", PENSTOCK_KILL_AT="after_batch")
    assert killed.code == -signal.SIGKILL, killed.err
    assert rows.penstock("batch", "skip", ".", "rows", "2").code == 0
    assert rows.record()[0].code == 0

    def held() -> list[int]:
        return [r["id"] for r in rows.rows("lake.a.rows", "id")]

    for _ in range(2):
        done = rows.penstock("rollback", "lake.a.rows", "--to", "1", "--then", "replay")
        assert (done.code, held()) == (0, [1]), done.err
        assert rows.record()[0].code == 0
        assert held() == [1, 3, 4]
    assert rows.penstock("rollback", "lake.a.rows", "--to", "1", "--then", "skip").code == 0
    rows.write("landing/rows/5.csv", "id,name\n5,x\n")
    assert rows.record()[0].code == 0
    assert rows.penstock("rollback", "lake.a.rows", "--to", "1", "--then", "replay").code == 0
    assert rows.record()[0].code == 0
    assert held() == [1, 5], "what was undone and skipped stays undone"
