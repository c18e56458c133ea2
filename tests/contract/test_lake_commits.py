"""Commits under contention, with lost answers, and between those of other writers."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from penstock.commits import Outcome, settle
from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import Catalog, open_catalog
from penstock.connectors.iceberg import orphans
from penstock.errors import CommitConflictError, DataError, LedgerError
from penstock.schema import Column
from penstock.tables import COMMIT, Change, LakeTable, WrittenDeletes, WrittenFile

COLUMNS = (Column.parse("id", "bigint!"), Column.parse("name", "string"))
KEY = "p/s"
Write = Callable[..., WrittenFile]
Faults = Callable[..., None]


def table_of(catalog: Catalog, table_format: str) -> LakeTable:
    return catalog.create("ops", f"t_{secrets.token_hex(4)}", table_format, COLUMNS)


def mark(batch: int) -> str:
    return f"commit of {batch}"


def append(table: LakeTable, write_file: Write, batch: int) -> Outcome:
    pinned = table.pin()
    return table.commit(pinned, Change("append", [write_file(table, pinned, [{"id": batch, "name": "x"}])], ledger={KEY: batch}, summary={COMMIT: mark(batch)}))


def rows(table: LakeTable) -> int:
    return sum(f.rows for f in table.files(table.pin()))


def settled(table: LakeTable, outcome: Outcome, batch: int) -> Outcome:
    return settle(outcome, lambda: any(v.commit == mark(batch) for v in table.history()), batch)


@pytest.fixture
def glue(local_bucket: Callable[[str], str], tmp_path: Path) -> Catalog:
    connection = CatalogConnection(kind="catalog", catalog="glue", warehouse=f"s3://{local_bucket('lake')}/warehouse")
    return open_catalog(connection, replace(AwsSettings.from_environment(), attempts=3), tmp_path)  # waits less


@pytest.fixture
def folder(tmp_path: Path) -> Catalog:
    return open_catalog(CatalogConnection(kind="catalog", catalog="sqlite", warehouse="warehouse"), AwsSettings(), tmp_path)


def test_what_a_catalog_keeps_of_an_iceberg_table_is_what_lies_there(catalog: Catalog, write_file: Write) -> None:
    from pyiceberg.serializers import FromInputFile

    table = table_of(catalog, "iceberg")
    for batch in range(1, 5):
        assert append(table, write_file, batch).state == "done"
        native: Any = table.pin().native
        assert native.metadata == FromInputFile.table_metadata(native.io.new_input(native.metadata_location))
    with native.update_schema() as update:
        update.rename_column("name", "title")
    native.maintenance.expire_snapshots().by_ids([native.metadata.snapshots[1].snapshot_id]).commit()
    assert append(table, write_file, 5).state == "done"
    native = table.pin().native
    assert native.metadata == FromInputFile.table_metadata(native.io.new_input(native.metadata_location))
    assert (len(native.metadata.snapshots), len(native.metadata.snapshot_log), rows(table)) == (4, 4, 5)


def test_of_many_writers_from_one_state_one_wins(catalog: Catalog, table_format: str, write_file: Write) -> None:
    table = table_of(catalog, table_format)
    assert append(table, write_file, 1).state == "done"
    pins = [table.pin() for _ in range(5)]
    changes = [Change("append", [write_file(table, p, [{"id": 10 + i, "name": None}])], ledger={f"p/step{i}": 1}) for i, p in enumerate(pins)]
    outcomes: dict[int, Outcome] = {}
    start = threading.Barrier(len(pins))

    def commit(i: int) -> None:
        start.wait()
        outcomes[i] = table.commit(pins[i], changes[i])

    threads = [threading.Thread(target=commit, args=(i,)) for i in range(len(pins))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(o.state for o in outcomes.values()) == ["done", "failed", "failed", "failed", "failed"]
    [(winner, version)] = [(i, o.version) for i, o in outcomes.items() if o.state == "done"]
    assert (rows(table), table.pin().version, dict(table.pin().ledger)) == (2, version, {KEY: 1, f"p/step{winner}": 1})


# Where each format's commit becomes true: what to disturb there.
PUBLISHES = {"iceberg": {"service": "glue", "operation": "UpdateTable"}, "delta": {"service": "s3", "operation": r"^PUT .*/_delta_log/"}}


def test_a_retry_of_the_client_does_not_turn_success_into_a_conflict(glue: Catalog, table_format: str, write_file: Write, faults: Faults) -> None:
    table = table_of(glue, table_format)
    faults(**PUBLISHES[table_format], times=1, after=True)
    outcome = append(table, write_file, 1)
    assert (outcome.state, outcome.version) == ("done", table.pin().version)
    assert rows(table) == 1


def test_an_answer_lost_for_good_is_unknown_and_reading_says_done(glue: Catalog, table_format: str, write_file: Write, faults: Faults) -> None:
    table = table_of(glue, table_format)
    faults(**PUBLISHES[table_format], times=1000, after=True)
    outcome = append(table, write_file, 1)
    faults()
    assert outcome.state == "unknown"
    assert settled(table, outcome, 1).state == "done"
    assert rows(table) == 1


def test_a_commit_that_never_arrived_is_not_visible(glue: Catalog, table_format: str, write_file: Write, faults: Faults) -> None:
    table = table_of(glue, table_format)
    faults(**PUBLISHES[table_format], times=1000)
    outcome = append(table, write_file, 1)
    faults()
    assert outcome.state in ("unknown", "failed")
    with pytest.raises(CommitConflictError):
        settled(table, outcome, 1)
    assert (rows(table), append(table, write_file, 1).state, rows(table)) == (0, "done", 1)


def test_a_catalog_that_commits_and_then_breaks_off_is_settled_by_reading(folder: Catalog, write_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    table, commit = table_of(folder, "iceberg"), SqlCatalog.commit_table

    def commit_and_break(*args: Any) -> None:
        commit(*args)
        raise ConnectionResetError("the connection broke")

    monkeypatch.setattr(SqlCatalog, "commit_table", commit_and_break)
    outcome = append(table, write_file, 1)
    assert outcome.state == "unknown"
    assert settled(table, outcome, 1).state == "done"


def test_iceberg_keeps_the_ledger_through_commits_and_expiry_of_others(folder: Catalog, write_file: Write) -> None:
    import pyarrow as pa

    table = table_of(folder, "iceberg")
    append(table, write_file, 7)
    native: Any = table.pin().native
    native.append(pa.table({"id": pa.array([100]), "name": ["foreign"]}, schema=pa.schema([pa.field("id", pa.int64(), nullable=False), ("name", pa.string())])))
    with native.maintenance.expire_snapshots() as expire:
        expire.by_ids([s.snapshot_id for s in native.metadata.snapshots if s.snapshot_id != native.metadata.current_snapshot_id])
    assert dict(table.pin().ledger) == {KEY: 7}


def test_iceberg_keeps_the_ledger_when_others_drop_the_property(folder: Catalog, write_file: Write) -> None:
    table = table_of(folder, "iceberg")
    append(table, write_file, 7)
    native: Any = table.pin().native
    with native.transaction() as transaction:
        transaction.remove_properties("penstock.ledger")
    assert dict(table.pin().ledger) == {KEY: 7}


def test_delta_keeps_the_ledger_through_commits_compaction_and_log_cleanup_of_others(folder: Catalog, write_file: Write) -> None:
    import pyarrow as pa
    from deltalake import DeltaTable, write_deltalake

    table = table_of(folder, "delta")
    append(table, write_file, 7)
    for i in range(25):
        write_deltalake(table.location, pa.table({"id": [100 + i], "name": ["foreign"]}), mode="append")
    DeltaTable(table.location).optimize.compact()
    assert dict(table.pin().ledger) == {KEY: 7}
    DeltaTable(table.location).create_checkpoint()
    for entry in Path(table.location).glob("_delta_log/0000000000000000000[0-9].json"):
        entry.unlink()
    assert table.pin().ledger[KEY] == 7
    assert rows(table) == 26


def test_a_ledger_of_a_newer_format_is_refused(folder: Catalog, table_format: str) -> None:
    table = table_of(folder, table_format)
    assert table.commit(table.pin(), Change("append", ledger={KEY: 1})).state == "done"
    native: Any = table.pin().native
    if table_format == "iceberg":
        with native.transaction() as transaction:
            transaction.set_properties({"penstock.ledger": '{"format": 99, "applied": {}}'})
    else:
        from deltalake import CommitProperties, Transaction

        newer = CommitProperties(app_transactions=[Transaction("penstock.ledger.format", 99)])
        native.create_write_transaction([], "append", native.schema(), None, commit_properties=newer)
    with pytest.raises(LedgerError, match="format 99"):
        table.pin()


def test_an_old_state_has_the_ledger_it_had(folder: Catalog, table_format: str, write_file: Write) -> None:
    table = table_of(folder, table_format)
    append(table, write_file, 1)
    old = table.pin().version
    append(table, write_file, 2)
    assert dict(table.pin(old).ledger) == {KEY: 1}
    assert dict(table.pin().ledger) == {KEY: 2}


def test_nothing_is_committed_onto_an_old_state(folder: Catalog, table_format: str, write_file: Write) -> None:
    table = table_of(folder, table_format)
    append(table, write_file, 1)
    old = table.pin().version
    append(table, write_file, 2)
    assert table.commit(table.pin(old), Change("overwrite", remove=table.files(table.pin(old)), ledger={KEY: 3})).state == "failed"
    assert rows(table) == 2


def test_hundreds_of_commits_leave_few_manifests_and_few_metadata_files(folder: Catalog, write_file: Write) -> None:
    table = table_of(folder, "iceberg")
    for batch in range(1, 106):
        assert append(table, write_file, batch).state == "done"
    pinned = table.pin()
    native: Any = pinned.native
    assert len(native.current_snapshot().manifests(native.io)) < 20
    assert sorted(native.scan().to_arrow()["id"].to_pylist()) == list(range(1, 106))
    assert len(list(Path(table.location).glob("metadata/*.metadata.json"))) <= 22
    first = [f for f in table.files(pinned) if f.lower["id"] == 1]
    assert table.commit(pinned, Change("overwrite", remove=first, ledger={KEY: 106})).state == "done"
    assert native.refresh().scan().count() == 104


def test_a_reader_finds_the_table_however_many_commits_there_are_while_it_reads(folder: Catalog, write_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than there are metadata files kept, between its look into the catalog and its opening the file that this names."""
    from pyiceberg.serializers import FromInputFile

    table, read = table_of(folder, "iceberg"), FromInputFile.table_metadata
    assert append(table, write_file, 1).state == "done"

    def slow(*named: Any) -> Any:
        monkeypatch.undo()
        assert all(append(table, write_file, batch).state == "done" for batch in range(2, 26))
        return read(*named)

    connection = CatalogConnection(kind="catalog", catalog="sqlite", warehouse=str(Path(table.location).parents[1]))
    monkeypatch.setattr(FromInputFile, "table_metadata", slow)
    reader = open_catalog(connection, AwsSettings(), Path()).table(*table.name.split(".")[-2:])
    assert reader
    assert rows(reader) == 25


def test_files_that_a_writer_removes_first_do_not_stop_maintenance(
    folder: Catalog, write_file: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Metadata files that were listed as strays' candidates, and whose table has gone on by more commits than it keeps of them."""
    table = table_of(folder, "iceberg")
    batches = iter(range(1, 100))

    def commits() -> None:
        assert all(append(table, write_file, next(batches)).state == "done" for _ in range(25))

    commits()
    stale: Any = table.pin().native

    def referenced(present: Any) -> set[str]:
        commits()
        return found(present.refresh())

    found = orphans.referenced
    monkeypatch.setattr(orphans, "referenced", referenced)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert table.sweep(later, later, ()) == []
    stale.transaction().set_properties({"commit.by": "another"}).commit_transaction()
    assert not caplog.records
    assert rows(table) == 50


def test_what_another_expired_first_is_no_error(folder: Catalog, write_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    table, commit, later = table_of(folder, "iceberg"), SqlCatalog.commit_table, datetime.now(UTC) + timedelta(hours=1)
    assert all(append(table, write_file, batch).state == "done" for batch in range(1, 4))

    def after_another(*arguments: Any) -> Any:
        monkeypatch.undo()
        assert table.expire(later, ()) == 2
        return commit(*arguments)

    monkeypatch.setattr(SqlCatalog, "commit_table", after_another)
    assert table.expire(later, ()) == 0
    assert (rows(table), len(table.history())) == (3, 1)


def test_a_commit_whose_files_are_gone_fails(folder: Catalog, table_format: str, write_file: Write) -> None:
    table = table_of(folder, table_format)
    append(table, write_file, 1)
    pinned = table.pin()
    gone = table.new_file((), "test")
    (live,) = table.files(pinned)
    changes = [Change("append", [WrittenFile(gone)], ledger={KEY: 2})]
    changes += [Change("overwrite", deletes=[WrittenDeletes(live, gone, 1, 1)], ledger={KEY: 2})] if table.design.position_deletes else []
    for change in changes:
        outcome = table.commit(pinned, change)
        assert (outcome.state, "is gone" in outcome.cause) == ("failed", True)
    assert dict(table.pin().ledger) == {KEY: 1}


def test_a_file_to_remove_must_be_live(folder: Catalog, write_file: Write) -> None:
    table = table_of(folder, "iceberg")
    append(table, write_file, 1)
    files = table.files(table.pin())
    assert table.commit(table.pin(), Change("overwrite", remove=files, ledger={KEY: 2})).state == "done"
    with pytest.raises(DataError, match="not all of the 1 files"):
        table.commit(table.pin(), Change("overwrite", remove=files, ledger={KEY: 3}))
    assert dict(table.pin().ledger) == {KEY: 2}
