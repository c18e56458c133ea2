"""Maintenance changes files and no row, yields to writers, and removes nothing that anybody needs."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from pipelines import APPENDED, EVENTS, Project, context, event, events

from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import open_catalog
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.errors import LedgerError, NotSupportedError
from penstock.jobs.run import new_run_id
from penstock.jobs.upkeep import Maintained, maintain, work_list
from penstock.maintenance import MEGABYTE, Group, Maintain, duration, plan_compaction
from penstock.schema import Column
from penstock.tables import Change, DataFile, LakeTable, WrittenFile

LATER = datetime.now(UTC) + timedelta(days=30)


def file(number: int, megabytes: int, partition: str = "a") -> DataFile:
    return DataFile(f"f{number}", 10, megabytes * MEGABYTE, (partition,), {"id": number}, {"id": number})


def sizes(groups: Sequence[Group]) -> list[list[str]]:
    return [[f.uri for f in g.files] for g in groups]


def test_small_files_of_a_partition_go_together_in_the_order_of_their_keys() -> None:
    files = [file(n, 100) for n in (3, 1, 2, 5, 4)] + [file(9, 250)] + [file(n, 1, "b") for n in range(20, 24)]
    assert sizes(plan_compaction(files, Maintain(target_file_mb=256), "id")) == [["f1", "f2"], ["f3", "f4"]]
    assert sizes(plan_compaction(files, Maintain(target_file_mb=256, min_files=4), "id")) == [["f20", "f21", "f22", "f23"], ["f1", "f2"], ["f3", "f4"]]
    assert sizes(plan_compaction(files, Maintain(target_file_mb=256, compact="sort"), "id")) == [["f1", "f2", "f3", "f4", "f5"]]


@pytest.mark.parametrize("text", ["7", "days", "-1 days", "1 minute"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        duration(text)


def test_orphans_that_may_belong_to_a_run_at_work_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="shorter than a day"):
        Maintain(orphans_after="0 hours")


@pytest.fixture
def shop(tmp_path: Path, table_format: str) -> Project:
    """Eight batches, each with a key of its own, so that each leaves a file; one row deleted."""
    project = Project(tmp_path)
    text = EVENTS.replace("FORMAT", f"{table_format}\n    partition_by: [amount]").replace('"decimal(12,2)"', '"decimal(12,2)!"')
    project.write("pipeline.yaml", text)
    for i in range(8):
        project.write(f"landing/orders/{i}.json", events(*(event("c", 10 * k + i, 100 * i + k, "new", f"{i}.00") for k in range(5))))
    project.write("landing/orders/9.json", events(event("d", 3, 9000)))
    assert project.record()[0].code == 0
    project.write("pipeline.yaml", text.replace("    keys: [id]", "    keys: [id]\n    maintain: {min_files: 2}"))
    return project


@pytest.fixture
def small(tmp_path: Path, table_format: str) -> Project:
    """A table of appended files."""
    project = Project(tmp_path)
    project.write("pipeline.yaml", APPENDED.replace("FORMAT", table_format))
    for i in range(8):
        project.write(f"landing/rows/{i}.csv", "id,name\n" + "".join(f"{8 * k + i},{i}\n" for k in range(5)))
    assert project.record()[0].code == 0
    return project


def maintained(project: Project, now: datetime | None = None) -> Maintained:
    return next(m for m in maintain(context(project), now=now) if m.location == "lake.a.rows")


def test_compaction_changes_files_and_no_row(small: Project) -> None:
    before = small.rows("lake.a.rows")
    planned = small.penstock("maintain", "--all", "--dry-run")
    assert (planned.code, "nothing was done" in planned.out) == (0, True), planned.err
    assert len([v for v in small.penstock("history", "lake.a.rows", "--json").json() if v["batch"]]) == 8
    done = maintained(small)
    assert (done.before.files, done.after.files, done.compacted, done.yielded) == (8, 1, 1, 0)
    assert small.rows("lake.a.rows") == before
    table = lake_table(small)
    (file,) = table.files(table.pin())
    assert (file.lower["id"], file.upper["id"], file.lower["name"], file.upper["name"]) == (0, 39, "0", "7"), "what readers skip files by"
    assert maintained(small).compacted == 0
    again = small.record()[1]
    assert again["rows"]["status"] == "nothing to do", "the ledger is as it was"


def lake_table(project: Project) -> LakeTable:
    table = context(project).lake_table("lake.a.rows")
    assert table
    return table


def rows_at(table: LakeTable, version: int) -> int:
    with EmbeddedEngine(AwsSettings()).session() as session:
        session.scan("former", table, table.pin(version))
        return int(session.query("SELECT count(*) AS n FROM former").column("n")[0].as_py())


def test_what_a_waiting_batch_has_pinned_stays_readable(small: Project) -> None:
    """Also beside a version that is gone."""
    table = lake_table(small)
    pinned = [v.version for v in table.history()][3]
    assert maintained(small).compacted == 1
    assert rows_at(table, pinned) == 25
    table.expire(LATER, {pinned, 10**15})
    table.sweep(LATER, LATER, {pinned, 10**15})
    assert rows_at(table, pinned) == 25
    table.expire(LATER, ())
    table.sweep(LATER, LATER, ())
    with pytest.raises((LedgerError, duckdb.IOException)):
        rows_at(table, pinned)


def test_states_that_are_kept_can_be_read_however_soon_orphans_go(small: Project) -> None:
    """Seven days of states, three days for files that nobody needs."""
    table = lake_table(small)
    former = table.history()[4].version
    assert maintained(small).compacted == 1
    maintained(small, now=datetime.now(UTC) + timedelta(days=5))
    assert rows_at(table, former) == 20


def test_a_state_is_kept_so_long_from_when_another_took_its_place(small: Project) -> None:
    """Not from when it was made: who reads it, or has pinned it, may have begun just before."""
    table = lake_table(small)
    former = table.history()[0].version
    assert maintained(small).compacted == 1
    maintained(small, now=table.history()[0].at + timedelta(days=7))
    assert rows_at(table, former) == 40


def aged(table: LakeTable, days: int) -> None:
    """Delta's log as if it had been written so many days ago, and its files a month before, which delta-rs judges by this machine's clock."""
    then = time.time() - days * 86400
    for entry in Path(table.location).glob("_delta_log/*.json"):
        actions = [json.loads(line) for line in entry.read_text().splitlines()]
        for action in actions:
            for kind, time_of in (("remove", "deletionTimestamp"), ("commitInfo", "timestamp"), ("add", "modificationTime")):
                if kind in action:
                    action[kind][time_of] = int(then * 1000)
        entry.write_text("".join(f"{json.dumps(a)}\n" for a in actions))
        os.utime(entry, (then, then))
    for path in Path(table.location).glob("*.parquet"):
        os.utime(path, (then - 30 * 86400,) * 2)


def test_states_can_be_read_as_long_as_is_declared(small: Project, table_format: str) -> None:
    """Also after a checkpoint, which leaves out what went longer ago than the table says. A run tells a table that is there what is declared anew."""
    small.write("pipeline.yaml", small.text("pipeline.yaml").replace("name: string}", "name: string}\n    maintain: {min_files: 2, keep_snapshots: 40 days}"))
    small.write("landing/rows/9.csv", "id,name\n100,9\n")
    assert small.record()[0].code == 0
    table = lake_table(small)
    former = next(v.version for v in table.history() if v.batch == 5)
    assert rows_at(table, former) == 25
    assert maintained(small).compacted == 1
    if table_format == "delta":
        aged(table, 35)
        lake_table(small).compact_metadata(1, {})
    maintained(small, now=datetime.now(UTC) + (timedelta() if table_format == "delta" else timedelta(days=35)))
    assert rows_at(lake_table(small), former) == 25


def test_old_entries_of_a_log_go_and_the_ledger_stays(small: Project, table_format: str) -> None:
    """Delta's log has a retention of its own, 30 days; Iceberg's metadata files go as commits follow."""
    table = lake_table(small)
    before, ledger = small.rows("lake.a.rows"), dict(table.pin().ledger)
    table.compact_metadata(2, {})
    for path in Path(table.location).rglob("*"):
        os.utime(path, (time.time() - 40 * 86400,) * 2)
    assert maintained(small).expired == (8 if table_format == "delta" else 0)
    held = len(table.history())
    assert maintained(small).expired == 0
    assert len(table.history()) == held, "nothing to do adds nothing"
    if table_format == "delta":
        with pytest.raises(LedgerError, match=r"version 2 of .* is gone"):
            table.pin(2)
        table.sweep(LATER, LATER, {2})
    assert small.rows("lake.a.rows") == before
    assert dict(lake_table(small).pin().ledger) == ledger == {"rows/rows": 8}
    assert small.record()[1]["rows"]["status"] == "nothing to do"


@pytest.mark.parametrize("said", ["true", "false", None])
def test_old_metadata_files_go_with_commits_where_the_table_says_so(small: Project, table_format: str, said: str | None) -> None:
    """Tables of others, taken over, may keep them. Delta has a log instead."""
    if table_format == "delta":
        return
    name = "write.metadata.delete-after-commit.enabled"
    with lake_table(small).pin().native.transaction() as theirs:  # type: ignore[attr-defined]
        theirs.set_properties({"write.metadata.previous-versions-max": "1"} | ({name: said} if said else {}))
        if not said:
            theirs.remove_properties(name)
    folder = Path(lake_table(small).location) / "metadata"
    before = set(folder.glob("*.metadata.json"))
    for i in (9, 10):
        small.write(f"landing/rows/{i}.csv", f"id,name\n{i + 100},9\n")
    assert small.record()[0].code == 0
    assert (before <= set(folder.glob("*.metadata.json"))) is (said != "true")


def test_what_was_expired_is_gone_and_the_rest_is_whole(small: Project, table_format: str) -> None:
    before, folder = small.rows("lake.a.rows"), small.folder / "warehouse" / "a"
    maintained(small)
    on_disk = sum(p.stat().st_size for p in folder.rglob("*"))
    done = maintained(small, now=LATER)
    assert done.removed.files >= 8, "the small files, and with Iceberg the manifests of old snapshots"
    assert done.expired == (8 if table_format == "iceberg" else 0)
    assert sum(p.stat().st_size for p in folder.rglob("*")) < on_disk
    assert small.rows("lake.a.rows") == before
    small.write("landing/rows/9.csv", "id,name\n100,9\n")
    done_run, steps = small.record()
    assert (done_run.code, steps["rows"]["batches"]) == (0, [9]), done_run.err
    assert len(small.rows("lake.a.rows")) == len(before) + 1


def test_strays_go_when_they_are_old_and_young_ones_stay(small: Project, table_format: str) -> None:
    (table,) = (p for p in (small.folder / "warehouse" / "a").iterdir() if p.name.startswith("rows-"))
    strays = [table / ("data" if table_format == "iceberg" else "") / f"stray-{age}.parquet" for age in ("old", "young")]
    for stray in strays:
        stray.write_bytes(b"of a killed run")
    days_ago = time.time() - 10 * 86400
    os.utime(strays[0], (days_ago, days_ago))
    maintained(small)
    assert [stray.exists() for stray in strays] == [False, True]


@pytest.mark.parametrize("scheme", ["s3", "s3a", "s3n"])
def test_a_live_file_stays_however_its_writer_spells_its_place(
    local_bucket: Callable[[str], str], tmp_path: Path, write_file: Callable[..., WrittenFile], scheme: str
) -> None:
    """Spark's own file systems have three names for S3. Delta names files from the table's folder on."""
    warehouse = f"s3://{local_bucket('lake')}/warehouse"
    catalog = open_catalog(CatalogConnection(kind="catalog", catalog="glue", warehouse=warehouse), AwsSettings.from_environment(), tmp_path)
    table = catalog.create(f"spelt_{scheme}", "rows", "iceberg", (Column.parse("id", "bigint!"),), ())
    pinned = table.pin()
    assert table.commit(pinned, Change("append", [write_file(table, pinned, [{"id": 1}])])).state == "done"
    pinned = table.pin()
    theirs, stray = (write_file(table, pinned, [{"id": 2}]).uri for _ in range(2))
    pinned.native.add_files([theirs.replace("s3://", f"{scheme}://")])  # type: ignore[attr-defined]
    removed = {uri for uri, _ in table.sweep(LATER, LATER, ())}
    assert (stray in removed, theirs in removed) == (True, False)
    with EmbeddedEngine(AwsSettings.from_environment()).session() as session:
        session.scan("now", table, table.pin())
        assert session.query("SELECT id FROM now ORDER BY id").column("id").to_pylist() == [1, 2]


def test_nothing_is_swept_of_a_table_that_names_a_place_unknown_to_us(small: Project, table_format: str) -> None:
    """`file://localhost/a` may be `/a`. Delta names files from the table's folder on, and others are refused when the table is read."""
    if table_format == "delta":
        return
    from pyiceberg.table.statistics import StatisticsFile

    table = lake_table(small)
    stray = Path(table.location) / "stray.parquet"
    stray.write_bytes(b"")
    pinned = table.pin()
    assert pinned.version is not None
    theirs = f"file://localhost{stray}"
    with pinned.native.update_statistics() as update:  # type: ignore[attr-defined]
        said = {"snapshot-id": pinned.version, "statistics-path": theirs, "file-size-in-bytes": 0, "file-footer-size-in-bytes": 0, "blob-metadata": []}
        update.set_statistics(StatisticsFile.model_validate(said))
    with pytest.raises(NotSupportedError, match=f"names one of them {theirs} "):
        table.sweep(LATER, LATER, ())
    assert stray.exists()


def test_a_merge_between_plan_and_commit_is_not_lost(small: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run appends while the files are being written anew: the first commit loses the race, the second is planned on what is there."""
    from penstock.jobs import compaction as module

    appended = []

    def reach(point: str) -> None:
        if point == "before_compaction_commit" and not appended:
            small.write("landing/rows/late.csv", "id,name\n500,late\n")
            assert small.process("run", ".").code == 0
            appended.append(point)

    monkeypatch.setattr(module, "reach", reach)
    done = maintained(small)
    assert (done.compacted, done.after.files) == (1, 2)
    assert len(small.rows("lake.a.rows")) == 41
    assert len(list((small.folder / "warehouse").rglob("*.parquet"))) == 8 + 1 + 1, "what was written once was committed beside the other"


def test_what_another_took_meanwhile_is_left_alone(small: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files are compacted by another process between plan and commit: its rows are there once."""
    from penstock.jobs import compaction as module

    before, taken = small.rows("lake.a.rows"), []

    def reach(point: str) -> None:
        if point == "before_compaction_commit" and not taken:
            taken.append(small.process("maintain", "--all").code)

    monkeypatch.setattr(module, "reach", reach)
    done = maintained(small)
    assert (taken, done.compacted, done.yielded, done.after.files) == ([0], 0, 1, 1)
    assert small.rows("lake.a.rows") == before


RENAMED, DROPPED = "title: string}\n    on_schema_change: {renamed_from: {title: name}}", "other: int}\n    on_schema_change: {dropped_column: drop}"


@pytest.mark.parametrize("declared", [RENAMED, DROPPED], ids=["renamed", "dropped"])
def test_it_yields_to_a_run_that_changes_columns(small: Project, monkeypatch: pytest.MonkeyPatch, declared: str) -> None:
    from penstock.jobs import compaction as module

    changed = []

    def reach(point: str) -> None:
        if point == "before_compaction_commit" and not changed:
            small.write("pipeline.yaml", small.text("pipeline.yaml").replace("name: string}", declared))
            small.write("landing/rows/late.csv", f"id,{declared.partition(':')[0]}\n500,5\n")
            changed.append(small.record()[0].code)

    monkeypatch.setattr(module, "reach", reach)
    done = maintained(small)
    assert (changed, done.compacted, done.yielded) == ([0], 0, 1)
    assert len(small.rows("lake.a.rows")) == 41
    assert maintained(small).after.files == 1


def test_a_run_at_work_keeps_its_files(small: Project) -> None:
    """A run that began long ago holds the lease: what is younger than its start is not touched, however old."""
    from penstock.jobs.lock import exclusive

    found = context(small)
    long_ago = new_run_id(datetime.now(UTC) - timedelta(days=20))
    (table,) = (p for p in (small.folder / "warehouse" / "a").iterdir() if p.name.startswith("rows-"))
    stray = table / "in-flight.parquet"
    stray.write_bytes(b"not yet committed")
    days_ago = time.time() - 10 * 86400
    os.utime(stray, (days_ago, days_ago))
    with exclusive(found.state, long_ago):
        maintained(small)
    assert stray.exists()
    maintained(small)
    assert not stray.exists()


def test_killed_before_its_commit_it_left_the_table_alone(small: Project) -> None:
    before = small.rows("lake.a.rows")
    assert small.process("maintain", "--all", PENSTOCK_KILL_AT="before_compaction_commit").code == -signal.SIGKILL
    assert small.rows("lake.a.rows") == before
    done = small.penstock("maintain", "--all")
    assert done.code == 0, done.err
    assert small.rows("lake.a.rows") == before


def test_keyed_tables_with_their_memory_are_kept_too(shop: Project) -> None:
    before = shop.rows("lake.shop.orders")
    found = context(shop)
    assert {w.location for w in work_list(found)[0]} == {"lake.shop.orders", "lake.shop.orders__memory"}
    list(maintain(found, now=LATER))
    assert shop.rows("lake.shop.orders") == before
    shop.write("landing/orders/late.json", events(event("c", 3, 5, "late", "1.00"), event("c", 1, 9999, "new", "2.00")))
    done, steps = shop.record()
    assert (done.code, steps["orders"]["counts"]["superseded"]) == (0, 1), done.err
    assert shop.rows("lake.shop.orders", "id")[0] == {"id": 0}
    assert 3 not in [r["id"] for r in shop.rows("lake.shop.orders", "id")], "the delete is still remembered"


def test_a_bound_of_bytes_is_kept_and_a_wrong_name_refused(small: Project) -> None:
    assert [m.compacted for m in maintain(context(small), max_bytes=10)] == [0]
    done = small.penstock("maintain", "lake.a.row")
    assert (done.code, "did you mean 'lake.a.rows'?" in done.err) == (2, True), done.err
