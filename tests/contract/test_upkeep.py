"""What maintenance chooses, reports and leaves to writers; fleets of tables, and maintenance as a step."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pipelines import EVENTS, Project, context, event, events

from penstock.engines import deleting
from penstock.jobs.pins import cut_reads
from penstock.jobs.upkeep import Maintained, maintain
from penstock.maintenance import MEGABYTE, Group, Maintain, benefit, commits, plan_compaction
from penstock.tables import DataFile, DeleteFile, LakeTable


def file(name: str, megabytes: int, partition: str = "a", deleted: float = 0) -> DataFile:
    gone = round(1000 * deleted)
    return DataFile(name, 1000 - gone, megabytes * MEGABYTE, (partition,), deletes=(DeleteFile(f"{name}-d", gone, is_own=True),) if gone else ())


def sizes(groups: Sequence[Group]) -> list[list[str]]:
    return [[f.uri for f in g.files] for g in groups]


def test_files_with_many_deleted_rows_are_chosen_whatever_their_size_and_number() -> None:
    files = [file("large", 250), file("thin", 250, deleted=0.3), file("worn", 250, deleted=0.05), file("small", 1), file("alone", 9, "b", deleted=0.5)]
    assert sizes(plan_compaction(files, Maintain())) == [["thin"], ["alone"]]
    assert sizes(plan_compaction(files, Maintain(max_delete_share=0.04, compact="sort"))) == [["thin", "worn"], ["alone"]]
    assert sizes(plan_compaction(files, Maintain(max_delete_share=1))) == []


def test_the_most_useful_comes_first_and_groups_are_bounded() -> None:
    files = [*(file(f"a{n}", 100) for n in range(6)), *(file(f"b{n}", 1, "b") for n in range(60)), file("c", 255, "c", deleted=0.9)]
    groups = plan_compaction(files, Maintain())
    assert [g.partition for g in groups] == [("b",), ("c",), ("a",), ("a",), ("a",)]
    assert [benefit(g, 256 * MEGABYTE) // MEGABYTE for g in groups[:2]] == [59 * 4, 229 + 4]
    assert [len(g.files) for g in plan_compaction(files, Maintain(compact="sort", max_group_mb=300)) if g.partition == ("a",)] == [3, 3]
    assert [len(part) for part in commits(groups, 400 * MEGABYTE)] == [2, 2, 1]


@pytest.mark.parametrize(
    "said",
    ['{"compact": "zorder"}', '{"compact": "sort", "zorder_by": ["a"]}', '{"sort_by": ["a"]}', '{"compact": "zorder", "zorder_by": ["a", "b", "c", "d", "e"]}'],
)
def test_an_order_that_says_too_little_or_too_much_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match=r"zorder_by|sort_by"):
        Maintain.model_validate_json(said)


FLEET = """
  lake.shop.clicks: {format: FORMAT, columns: {id: bigint!, name: string}, maintain: {min_files: 2}}
  lake.shop.visits: {format: FORMAT, columns: {id: bigint!, name: string}, maintain: {min_files: 2}}
steps:
  - id: click_files
    read: {from: raw/clicks/, format: csv, batch: {max_files: 1}}
  - id: clicks
    copy: {from: click_files, into: lake.shop.clicks, write: append}
  - id: visit_files
    read: {from: raw/visits/, format: csv, batch: {max_files: 1}}
  - id: visits
    copy: {from: visit_files, into: lake.shop.visits, write: append}
"""
UPKEEP = """
  - id: upkeep
    maintain: {tables: [lake.shop.orders, lake.shop.clicks, lake.shop.visits]}
"""
TABLES = ("lake.shop.clicks", "lake.shop.orders", "lake.shop.visits")


def lines(first: int, count: int) -> str:
    return "id,name\n" + "".join(f"{n},n{n}\n" for n in range(first, first + count))


@pytest.fixture
def shop(tmp_path: Path, table_format: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Orders, merged; six small files of clicks and three of visits, appended. Where deletes are written beside files, each batch of orders leaves a file."""
    project = Project(tmp_path)
    text = EVENTS.replace("    keys: [id]", "    keys: [id]\n    maintain: {min_files: 100, max_manifests: 2}")
    project.write("pipeline.yaml", text.replace("steps:\n", FLEET.lstrip("\n")).replace("FORMAT", table_format))
    for i in range(4):
        project.write(f"landing/orders/{i}.json", events(*(event("c", 100 * i + k, 100 * i + k, "new", f"{k}.00") for k in range(20))))
    for i in range(6):
        project.write(f"landing/clicks/{i}.csv", lines(100 * i, 10))
    for i in range(3):
        project.write(f"landing/visits/{i}.csv", lines(100 * i, 10))
    for name, number in {"LARGE_ROWS": 1, "SEALED_ROWS": 1, "MOST_DELETED": 0.7}.items():
        monkeypatch.setattr(deleting, name, number)
    assert project.record()[0].code == 0
    return project


def found(project: Project, name: str) -> LakeTable:
    table = context(project).lake_table(name)
    assert table
    return table


def of(done: Sequence[Maintained], name: str) -> Maintained:
    return next(m for m in done if m.location == name)


def delete_rows(project: Project) -> None:
    """A quarter of the orders, in batches that each leave a delete file in a manifest of its own where deletes are written so."""
    for i in range(4):
        project.write(f"landing/orders/gone-{i}.json", events(*(event("d", 100 * i + k, 9000 + 100 * i + k) for k in range(5))))
    assert project.record()[0].code == 0


def test_deleted_rows_go_with_their_delete_files_and_reports_say_so(shop: Project) -> None:
    delete_rows(shop)
    rows, table = shop.rows("lake.shop.orders"), found(shop, "lake.shop.orders")
    planned = of(list(maintain(context(shop), dry_run=True)), "lake.shop.orders")
    done = of(list(maintain(context(shop))), "lake.shop.orders")
    files = table.files(table.pin())
    assert (done.before.rows, done.before.deleted) == ((80, 20) if table.design.position_deletes else (60, 0))
    assert (done.after.rows, done.after.delete_share, len(files)) == (60, 0, done.after.files)
    assert (planned.after.files, planned.after.rows, planned.after.deleted) == (done.after.files, 60, 0), "what the dry run said"
    assert (planned.after.planning_ms, done.before.planning_ms is None, done.after.planning_ms is None) == (None, False, False)
    assert not [d for f in files for d in f.deletes]
    assert shop.rows("lake.shop.orders") == rows
    assert of(list(maintain(context(shop))), "lake.shop.orders").is_nothing


def test_the_command_shows_before_and_after_and_wants_to_be_told_which_tables(shop: Project) -> None:
    done = shop.penstock("maintain", "--all")
    assert done.code == 0, done.err
    assert next(line.split() for line in done.out.splitlines() if "before" in line)[:3] == ["lake.shop.clicks", "before", "6"]
    assert (done.out.count("after"), " ms" in done.out) == (4, True)
    for arguments in (("maintain",), ("maintain", "--all", "lake.shop.orders")):
        refused = shop.penstock(*arguments)
        assert (refused.code, "or give --all" in refused.err) == (2, True), refused.err


def test_many_small_lists_of_files_become_few_without_touching_data(shop: Project, table_format: str) -> None:
    """Iceberg's manifests, of data and of deletes; with Delta a checkpoint takes the place of the log entries."""
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("max_manifests: 2", "max_manifests: 2, max_delete_share: 1"))
    delete_rows(shop)
    rows, table = shop.rows("lake.shop.orders"), found(shop, "lake.shop.orders")
    before = {(f.uri, f.deletes) for f in table.files(table.pin())}
    done = of(list(maintain(context(shop))), "lake.shop.orders")
    assert (done.compacted, done.manifests > 0, done.written_bytes) == (0, True, 0)
    assert {(f.uri, f.deletes) for f in table.files(table.pin())} == before
    if table_format == "iceberg":
        native = table.pin().native
        manifests = native.current_snapshot().manifests(native.io)  # type: ignore[attr-defined]
        assert sorted(int(m.content) for m in manifests) == [0, 1], "one of each"
    assert shop.rows("lake.shop.orders") == rows
    assert of(list(maintain(context(shop))), "lake.shop.orders").manifests == 0
    assert shop.record()[1]["orders"]["status"] == "nothing to do", "the ledger is as it was"


def test_a_fleet_takes_what_is_worth_most_and_keeps_to_a_bound(shop: Project) -> None:
    planned = [m for m in maintain(context(shop), dry_run=True) if m.compacted]
    assert [(m.location, m.before.files - m.after.files) for m in planned] == [("lake.shop.clicks", 5), ("lake.shop.visits", 2)]
    bound = planned[0].before.bytes
    some = [m for m in maintain(context(shop), jobs=2, max_bytes=bound) if m.compacted]
    assert [(m.location, m.after.files, 0 < m.written_bytes <= bound) for m in some] == [("lake.shop.clicks", 1, True)]
    rest = list(maintain(context(shop), jobs=3))
    assert [m.location for m in rest if m.compacted] == ["lake.shop.visits"]
    assert {m.location for m in rest} == {*TABLES, "lake.shop.orders__memory"}


@pytest.mark.parametrize("by_step", [False, True], ids=["the command", "the step"])
def test_a_bound_of_bytes_is_kept_by_the_command_and_by_the_step(shop: Project, *, by_step: bool) -> None:
    bound = of(list(maintain(context(shop), dry_run=True)), "lake.shop.clicks").before.bytes
    if by_step:
        upkeep = UPKEEP.replace("visits]}", f"visits], max_bytes: {bound}}}")
        shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("steps:\n", "steps:\n" + upkeep.lstrip("\n")))
    verb = ("run", ".") if by_step else ("maintain", "--all", "--max-bytes", str(bound))
    for files in ((1, 3), (1, 1)):
        done = shop.penstock(*verb)
        assert done.code == 0, done.err
        tables = (found(shop, f"lake.shop.{name}") for name in ("clicks", "visits"))
        assert tuple(len(table.files(table.pin())) for table in tables) == files, "the most useful first, the rest in the next run"


def test_what_goes_wrong_with_one_table_is_told_after_the_others_were_done(shop: Project) -> None:
    lost = found(shop, "lake.shop.clicks")
    Path(lost.files(lost.pin())[0].uri).unlink()
    done = shop.penstock("maintain", "--all")
    assert (done.code, "lake.shop.clicks" in done.err) == (1, True), done.err
    assert "lake.shop.visits" in done.out
    assert of(list(maintain(context(shop), ["lake.shop.visits"])), "lake.shop.visits").before.files == 1


def test_tables_that_cannot_be_read_at_all_do_not_stop_the_others(shop: Project, table_format: str) -> None:
    """What is left of two: a feature that Penstock does not read, or no metadata; each is told, in a dry run too."""
    for name in ("lake.shop.clicks", "lake.shop.orders__memory"):
        location = found(shop, name).location
        if table_format == "delta":
            shutil.rmtree(location)
            write_deltalake(location, pa.table({"id": [1]}), configuration={"delta.columnMapping.mode": "name"})
        else:
            shutil.rmtree(f"{location}/metadata")
    for arguments in (("--all", "--dry-run"), ("--all",)):
        done = shop.penstock("maintain", *arguments)
        assert (done.code != 0, "shop.clicks" in done.err, "shop.orders__memory" in done.err) == (True, True, True), done.err
        assert [line.split()[0] for line in done.out.splitlines() if "before" in line] == ["lake.shop.visits", "lake.shop.orders"]
    table = found(shop, "lake.shop.visits")
    assert len(table.files(table.pin())) == 1


@pytest.mark.parametrize("point", ["before_compaction_commit:2", "after_compaction_commit:1", "after_expiry:2"])
def test_killed_anywhere_it_is_taken_up_again(shop: Project, point: str) -> None:
    rows = [shop.rows(t) for t in TABLES]
    assert shop.process("maintain", "--all", "--jobs", "1", PENSTOCK_KILL_AT=point).code == -signal.SIGKILL
    assert [shop.rows(t) for t in TABLES] == rows
    again = list(maintain(context(shop)))
    assert [of(again, t).after.files for t in ("lake.shop.clicks", "lake.shop.visits")] == [1, 1]
    assert [shop.rows(t) for t in TABLES] == rows
    assert all(m.is_nothing for m in maintain(context(shop)))
    done, steps = shop.record()
    assert (done.code, {s["status"] for s in steps.values()}) == (0, {"nothing to do"}), done.err


@pytest.fixture
def kept(shop: Project) -> Project:
    """The shop with maintenance as a step, first in the file."""
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("steps:\n", "steps:\n" + UPKEEP.lstrip("\n")))
    return shop


def test_as_a_step_it_follows_the_writers_and_does_what_is_due(kept: Project) -> None:
    last = kept.penstock("plan", ".", "--json").json()[0]["steps"][-1]
    assert (last["id"], set(last["after"])) == ("upkeep", {"orders", "clicks", "visits"})
    done, steps = kept.record()
    assert (done.code, steps["upkeep"]["status"], steps["upkeep"]["batches"]) == (0, "done", []), done.err
    assert "lake.shop.visits: 1 groups written anew" in steps["upkeep"]["note"]
    assert steps["upkeep"]["bytes"] > 0
    done, steps = kept.record()
    assert (done.code, {s["status"] for s in steps.values()}) == (0, {"nothing to do"}), done.err


def test_a_step_that_maintains_has_no_batches_to_look_at(kept: Project) -> None:
    assert kept.record("--full-refresh", "--select", "upkeep")[0].code == 0
    assert "upkeep" not in kept.penstock("state", ".").out
    assert "upkeep" not in kept.penstock("batch", "ls", ".").out
    skipped = kept.penstock("batch", "skip", ".", "upkeep", "1")
    assert (skipped.code, "has no batch 1" in skipped.err) == (2, True), skipped.err


def test_a_step_looks_for_files_that_nobody_needs_once_a_day(kept: Project) -> None:
    assert kept.record()[0].code == 0
    stray = Path(found(kept, "lake.shop.orders").location) / "stray.parquet"
    stray.write_bytes(b"of a killed run")
    os.utime(stray, (time.time() - 10 * 86400,) * 2)
    assert kept.record()[1]["upkeep"]["status"] == "nothing to do"
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    late = of(list(maintain(context(kept), ["lake.shop.orders"], daily=True, now=tomorrow)), "lake.shop.orders")
    assert (late.removed.files, stray.exists()) == (1, False)


def test_the_files_of_a_dropped_table_go_as_strays_do(shop: Project) -> None:
    former = Path(found(shop, "lake.shop.clicks").location.removeprefix("file://"))
    assert shop.record("--full-refresh", "--select", "click_files+")[0].code == 0
    rows, there = shop.rows("lake.shop.clicks"), {f for f in former.rglob("*") if f.is_file()}
    assert former != Path(found(shop, "lake.shop.clicks").location.removeprefix("file://"))
    list(maintain(context(shop), ["lake.shop.clicks"], now=datetime.now(UTC) + timedelta(days=1)))
    assert {f for f in former.rglob("*") if f.is_file()} == there, "younger than orphans_after"
    late = of(list(maintain(context(shop), ["lake.shop.clicks"], now=datetime.now(UTC) + timedelta(days=9))), "lake.shop.clicks")
    assert late.removed.files >= len(there)
    assert not [f for f in former.rglob("*") if f.is_file()]
    assert shop.rows("lake.shop.clicks") == rows


def test_tables_are_kept_small_while_the_warehouse_that_loads_them_is_down(tmp_path: Path, table_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1", "AWS_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(name, value)
    project = Project(tmp_path)
    alone = EVENTS.replace("FORMAT", table_format).replace("keys: [id]\n", "keys: [id]\n    maintain: {keep_snapshots: 1 hours, orphans_after: 1 days}\n")
    loading = alone.replace("tables:\n", "  dwh: {kind: redshift, workgroup: w}\ntables:\n  dwh.shop.orders: {columns: {id: bigint!}, keys: [id]}\n")
    loading += "  - id: load\n    copy: {from: lake.shop.orders, into: dwh.shop.orders, write: overwrite}\n"
    versions = []
    for number in (1, 2):
        project.write("pipeline.yaml", alone)
        project.write(f"landing/orders/{number}.json", events(event("c", number, number, "new")))
        assert project.record()[0].code == 0
        project.write("pipeline.yaml", loading)
        versions.append(cut_reads(context(project), "load", ["lake.shop.orders"], {})[0].pins["lake.shop.orders"])
    done = list(maintain(context(project), now=datetime.now(UTC) + timedelta(days=60)))
    assert "lake.shop.orders" in {m.location for m in done}
    table = found(project, "lake.shop.orders")
    assert [sum(f.rows for f in table.files(table.pin(v))) for v in versions] == [1, 2], "what batches read that may wait"


def test_a_step_names_lake_tables_of_the_pipeline(kept: Project) -> None:
    kept.write("pipeline.yaml", kept.text("pipeline.yaml").replace("lake.shop.visits]}", "lake.shop.visit]}"))
    done = kept.penstock("plan", ".")
    assert (done.code, "did you mean 'lake.shop.visits'?" in done.err) == (2, True), done.err


def test_writers_and_maintenance_at_once_lose_nothing_and_both_end(shop: Project) -> None:
    """A run in a process of its own merges and appends batch after batch while the tables are maintained over and over."""
    for i in range(4, 16):
        changed = (event("u", 100 * (i % 4) + k, 10_000 + 100 * i + k, f"s{i}", "1.00") for k in range(5))
        shop.write(f"landing/orders/{i:02}.json", events(*changed, *(event("c", 100 * i + k, 20_000 + 100 * i + k, "new", "2.00") for k in range(10))))
    for i in range(6, 26):
        shop.write(f"landing/clicks/{i}.csv", lines(100 * i, 10))
    ended = []
    writer = threading.Thread(target=lambda: ended.append(shop.process("run", ".")))
    writer.start()
    done: list[Maintained] = []
    while writer.is_alive():
        done += maintain(context(shop))
    writer.join()
    assert ended[0].code == 0, ended[0].err
    done += maintain(context(shop))
    assert sum(m.compacted for m in done if m.location == "lake.shop.clicks") > 0
    assert [r["id"] for r in shop.rows("lake.shop.clicks", "id")] == [100 * i + k for i in range(26) for k in range(10)]
    held = {r["id"]: r["state"] for r in shop.rows("lake.shop.orders")}
    assert len(held) == len(shop.rows("lake.shop.orders")) == 80 + 12 * 10
    assert {n: s for n, s in held.items() if s != "new"} == {100 * (i % 4) + k: f"s{i}" for i in range(4, 16) for k in range(5)}
    assert {s["status"] for s in shop.record()[1].values()} == {"nothing to do"}
