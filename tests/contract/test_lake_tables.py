"""What every lake table promises, in every format and catalog."""

from __future__ import annotations

import pickle
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from penstock.config import AwsSettings
from penstock.connectors.catalogs import Catalog
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.engines.embedded.session import EmbeddedSession
from penstock.engines.spark import driving
from penstock.engines.spark.session import SparkBatchSession
from penstock.engines.spark.slot_writing import SlotTask, SlotWriting
from penstock.errors import DataError, LedgerError
from penstock.schema import Column, arrow_schema
from penstock.tables import COMMIT, Change, LakeTable, PartitionField, Pinned, WrittenFile

COLUMNS = tuple(
    Column.parse(name, kind)
    for name, kind in {
        "id": "bigint!", "name": "string", "amount": "decimal(38,10)", "flown_on": "date", "at": "timestamp", "local": "timestamp_ntz", "ok": "boolean",
        "ratio": "double", "raw": "binary", "n": "int",
    }.items()
)  # fmt: skip


def rows(*ids: int, **given: Any) -> pa.Table:
    import datetime as dt
    from decimal import Decimal

    instant = dt.datetime(1899, 12, 31, 23, 59, 59, 999999)
    one = {
        "name": "ä'\"", "amount": Decimal("-1234567890123456789012345678.0123456789"), "flown_on": dt.date(1899, 1, 31), "at": instant.replace(tzinfo=dt.UTC),
        "local": instant, "ok": False, "ratio": 0.1, "raw": b"\x00\xff", "n": -1,
    } | given  # fmt: skip
    return pa.Table.from_pylist([{"id": i, **one} for i in ids], schema=arrow_schema(COLUMNS))


def table_of(catalog: Catalog, table_format: str, *partitions: PartitionField) -> LakeTable:
    return catalog.create("ops", f"t_{secrets.token_hex(4)}", table_format, COLUMNS, partitions)


def engine() -> EmbeddedEngine:
    return EmbeddedEngine(AwsSettings.from_environment())


def append(table: LakeTable, pinned: Pinned, data: pa.Table, batch: int, key: str = "p/s") -> str:
    with engine().session() as session:
        session.load("rows", data)
        change = session.append(table, pinned, "rows", f"run{batch}")
        return table.commit(pinned, replace(change, ledger={key: batch})).state


def content(table: LakeTable, version: int | None = None) -> list[dict[str, Any]]:
    with engine().session() as session:
        session.scan("now", table, table.pin(version))
        return session.query("SELECT * FROM now ORDER BY id").to_pylist()


def ids(table: LakeTable, version: int | None = None) -> list[int]:
    return [row["id"] for row in content(table, version)]


def test_values_come_back_as_they_went_in(catalog: Catalog, table_format: str) -> None:
    table = table_of(catalog, table_format)
    nothing = dict.fromkeys(("name", "amount", "flown_on", "at", "local", "ok", "ratio", "raw", "n"))
    data = pa.concat_tables([rows(1), rows(2, **nothing)])
    assert append(table, table.pin(), data, 1) == "done"
    assert content(table) == data.to_pylist()


def test_a_new_table_is_empty_and_has_applied_nothing(catalog: Catalog, table_format: str) -> None:
    table = table_of(catalog, table_format)
    pinned = table.pin()
    assert (list(table.files(pinned)), dict(pinned.ledger), content(table)) == ([], {}, [])
    assert [c.name for c in pinned.columns] == [c.name for c in COLUMNS]


def test_the_batch_number_is_in_the_commit(catalog: Catalog, table_format: str) -> None:
    table = table_of(catalog, table_format)
    for batch in (1, 2):
        assert append(table, table.pin(), rows(batch), batch) == "done"
    again = catalog.table(*table.name.split("."))
    assert again is not None
    assert dict(again.pin().ledger) == {"p/s": 2}
    assert ids(again) == [1, 2]


def test_a_batch_without_rows_moves_the_ledger_too(catalog: Catalog, table_format: str) -> None:
    table = table_of(catalog, table_format)
    append(table, table.pin(), rows(1), 1)
    assert table.commit(table.pin(), Change("append", ledger={"p/s": 2})).state == "done"
    assert (dict(table.pin().ledger), ids(table)) == ({"p/s": 2}, [1])


def test_of_two_writers_from_one_state_the_second_is_refused_whole(catalog: Catalog, table_format: str) -> None:
    table = table_of(catalog, table_format)
    append(table, table.pin(), rows(1), 1)
    first, second = table.pin(), table.pin()
    assert append(table, first, rows(2), 2) == "done"
    assert append(table, second, rows(3), 2) == "failed"
    assert (ids(table), dict(table.pin().ledger)) == ([1, 2], {"p/s": 2})


def test_first_writers_of_an_empty_table_are_kept_apart_too(catalog: Catalog, table_format: str) -> None:
    table = table_of(catalog, table_format)
    first, second = table.pin(), table.pin()
    assert [append(table, pinned, rows(1), 1) for pinned in (first, second)] == ["done", "failed"]


def test_an_old_state_can_be_read_until_it_is_gone(catalog: Catalog, table_format: str) -> None:
    table = table_of(catalog, table_format)
    append(table, table.pin(), rows(1), 1)
    old = table.pin().version
    append(table, table.pin(), rows(2), 2)
    assert (ids(table, old), ids(table)) == ([1], [1, 2])
    with pytest.raises(LedgerError, match="is gone"):
        table.pin(987654)


def test_overwrite_replaces_rows_and_keeps_the_ledgers_of_others(catalog: Catalog, table_format: str) -> None:
    table = table_of(catalog, table_format)
    append(table, table.pin(), rows(1, 2), 7, key="p/other")
    with engine().session() as session:
        session.load("rows", rows(3))
        pinned = table.pin()
        change = session.overwrite(table, pinned, "rows", "run")
        assert table.commit(pinned, replace(change, ledger={"p/s": 1})).state == "done"
    assert (ids(table), dict(table.pin().ledger)) == ([3], {"p/other": 7, "p/s": 1})


@pytest.mark.parametrize("field", [PartitionField("identity", "n"), PartitionField("months", "flown_on"), PartitionField("identity", "flown_on")])
def test_partitions_are_overwritten_one_by_one(catalog: Catalog, table_format: str, field: PartitionField) -> None:
    import datetime as dt

    from penstock.tables import table_format as capabilities

    if field.transform not in capabilities(table_format).partition_transforms:
        pytest.skip(f"{table_format} is not partitioned by {field.transform}: refused by plan, see test_plan")
    table = table_of(catalog, table_format, field)
    data = pa.concat_tables([rows(1, n=1, flown_on=dt.date(1969, 12, 31)), rows(2, n=2, flown_on=dt.date(2024, 2, 1)), rows(3, n=None, flown_on=None)])
    append(table, table.pin(), data, 1)
    assert len(table.files(table.pin())) == 3
    with engine().session() as session:
        session.load("rows", rows(4, n=2, flown_on=dt.date(2024, 2, 1)))
        pinned = table.pin()
        change = session.overwrite(table, pinned, "rows", "run", lambda _: False)
        assert table.commit(pinned, replace(change, ledger={"p/s": 2})).state == "done"
    assert ids(table) == [1, 3, 4]
    assert {row["n"] for row in content(table)} == {1, None, 2}


def test_the_files_say_where_a_key_can_be(catalog: Catalog, table_format: str) -> None:
    table = table_of(catalog, table_format)
    append(table, table.pin(), rows(3, 9), 1)
    (file,) = table.files(table.pin())
    assert (file.rows, file.lower["id"], file.upper["id"]) == (2, 3, 9)


def test_a_table_of_other_columns_is_not_taken(catalog: Catalog, table_format: str) -> None:
    table = table_of(catalog, table_format)
    with pytest.raises(DataError, match=r"id bigint!.*are declared"):
        catalog.create("ops", table.name.split(".")[1], table_format, COLUMNS[:2])


def test_one_catalog_lists_every_format_and_drops_it(catalog: Catalog, table_format: str) -> None:
    table = table_of(catalog, table_format)
    name = table.name.split(".")[1]
    assert ("ops", name, table_format) in catalog.tables()
    catalog.drop("ops", name)
    assert catalog.table("ops", name) is None
    assert ids(catalog.create("ops", name, table_format, COLUMNS)) == []


def test_a_commit_is_known_again_by_its_mark(catalog: Catalog, table_format: str) -> None:
    table = table_of(catalog, table_format)
    for mark in ("one", "two"):
        assert table.commit(table.pin(), Change("append", ledger={"p/s": 1}, summary={COMMIT: mark})).state == "done"
    assert [v.commit for v in table.history() if v.commit] == ["two", "one"]


def readers_of(table: LakeTable) -> Sequence[int]:
    """The table as the formats' own libraries read it."""
    pinned = table.pin()
    native: Any = pinned.native
    found = native.scan().to_arrow() if hasattr(native, "location_provider") else native.to_pyarrow_table()
    return sorted(found["id"].to_pylist())


def test_others_read_what_was_written(catalog: Catalog, table_format: str) -> None:
    table = table_of(catalog, table_format, PartitionField("identity", "n"))
    append(table, table.pin(), pa.concat_tables([rows(1, n=1), rows(2, n=2)]), 1)
    assert readers_of(table) == [1, 2]


def test_a_task_of_an_executor_that_is_done_twice_leaves_no_row_twice(catalog: Catalog, table_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Spark does it that speculates, or lost what a task had said: both tries write, one is taken."""
    tried: list[str] = []

    def twice(spark: object, writing: SlotWriting, tasks: Iterator[SlotTask]) -> list[WrittenFile]:
        assert spark is None
        shared, sent = pickle.dumps(writing), [pickle.dumps(task) for task in tasks]
        first, second = ([file for task in sent for file in pickle.loads(shared).written(pickle.loads(task))] for _ in range(2))
        tried.extend(file.uri for file in (*first, *second))
        return second

    monkeypatch.setattr(driving, "written_by_executors", twice)
    monkeypatch.setattr(driving.DriverSession, "_find", EmbeddedSession._find)  # without executors
    table = table_of(catalog, table_format, PartitionField("identity", "ok"))
    assert append(table, table.pin(), pa.concat_tables([rows(*range(20)), rows(*range(20, 40), ok=True)]), 1) == "done"
    pinned, aws = table.pin(), AwsSettings.from_environment()
    with engine().connection() as connection:
        session = driving.DriverSession(connection, aws, lambda: SparkBatchSession(None, aws), least_bytes=1)
        session.load("changed", rows(2, 3, 50, name="changed"))
        session.execute("CREATE TABLE upserts AS FROM changed")
        session.execute("CREATE TABLE deletes AS SELECT 25::BIGINT AS id")
        session.locate("found", "SELECT id FROM upserts UNION ALL FROM deletes", table, pinned, ["id"], ["id"])
        session.found = {(table.name, pinned.version): "found"}
        change = session.rewrite(table, pinned, "upserts", "deletes", "run2")
    assert table.commit(pinned, replace(change, ledger={"p/s": 2})).state == "done"
    assert len(tried) == len(set(tried)) == 4
    changed = {2: "changed", 3: "changed", 50: "changed"}
    assert content(table) == [
        {**row, "ok": 20 <= row["id"] < 40, "name": changed.get(row["id"], row["name"])} for row in rows(*range(25), *range(26, 40), 50).to_pylist()
    ]
