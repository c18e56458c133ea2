"""What comes to a batch by way of Spark's executors is what comes to it in one process: rows, rejected ones, counts and errors."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spark_server
from pipelines import event, events

from penstock.config import AwsSettings
from penstock.connectors.files.store import FolderStore
from penstock.connectors.readers import Files, ReadSpec, data_files
from penstock.engines.base import Arrived, Code, Engine, Fitting, Input
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.errors import BrokenFileError, DataError, PenstockError, SourceChangedError
from penstock.jobs.transform import fitted
from penstock.schema import Column, Columns, arrow_schema

TYPES = {
    "id": "bigint!", "number": "int", "much": "decimal(38,10)", "ratio": "double", "is_so": "boolean", "day": "date", "at": "timestamp",
    "clock": "timestamp_ntz", "raw": "binary", "name": "string", "lines": "array<struct<sku:string,qty:int>>", "tags": "map<string,string>",
}  # fmt: skip
ROW: dict[str, Any] = {
    "id": 1, "number": -5, "much": Decimal("1234567890123456789012345678.0000000001"), "ratio": 0.1, "is_so": True, "day": date(1582, 10, 4),
    "at": datetime(1899, 12, 31, 23, 59, 59, 999999, UTC), "clock": datetime(2026, 3, 29, 2, 30), "raw": b"\x00\xff", "name": "Zoë, 'x'",
    "lines": [{"sku": "a", "qty": 1}, {"sku": None, "qty": None}], "tags": {"a": "b", "c": None},
}  # fmt: skip


def columns(**types: str) -> Columns:
    return tuple(Column.parse(name, text) for name, text in types.items())


def landed(folder: Path, kind: str) -> Files:
    """Three files of a kind, with rows that are none, and one that is empty."""
    typed = columns(**TYPES)
    rows = [ROW | {"id": i} for i in range(1, 40)] + [dict.fromkeys(TYPES) | {"id": 40}]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema([f.with_nullable(True) for f in arrow_schema(typed)])), folder / "1.parquet")
    elif kind == "debezium":
        typed = columns(id="bigint!", state="string", amount="decimal(12,2)")
        for i in (1, 2):
            (folder / f"{i}.json").write_text(
                events(event("c", i, 10 * i, "new", "1.50"), "{", "null", event("d", i + 1, 10 * i + 1), event("c", 9, 9, "x", "y"))
            )
    else:
        said = [{"id": i, "number": i, "name": "a,b"} for i in range(5)] + [{"id": None, "number": 1, "name": "x"}, {"id": 7, "number": "many", "name": "x"}]
        typed = columns(id="bigint!", number="int", name="string")
        for i in (1, 2):
            lines = [json.dumps(r) for r in said] if kind == "json" else ["id,number,name", *(f'{r["id"] or ""},{r["number"]},"{r["name"]}"' for r in said)]
            (folder / f"{i}.{kind}").write_text("\n".join(lines) + "\n")
    store = FolderStore(folder)
    return Files(store, data_files(store), ReadSpec(kind, typed, ("id",)))


def read(engine: Engine, files: Files) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int, int]:
    with engine.session() as session:
        arrived: Arrived = session.read("rows", files)
        rows = session.query("SELECT * FROM rows").to_pylist()
    rejected = sorted(arrived.rejected.to_pylist(), key=str)
    return sorted(rows, key=lambda r: str(r["__position"])), rejected, arrived.read, arrived.filtered


@pytest.mark.parametrize("kind", ["csv", "json", "parquet", "debezium"])
def test_files_are_read_alike(tmp_path: Path, kind: str, on_spark: Engine) -> None:
    files = landed(tmp_path, kind)
    alone = read(EmbeddedEngine(AwsSettings()), files)
    assert alone == read(on_spark, files)
    assert alone[2] == len(alone[0]) + len(alone[1]) + alone[3]
    assert len(alone[0]) > 1


def test_nothing_to_read_is_no_row(tmp_path: Path, on_spark: Engine) -> None:
    assert read(on_spark, Files(FolderStore(tmp_path), [], ReadSpec("csv", columns(id="bigint!")))) == ([], [], 0, 0)


def test_files_that_are_broken_or_other_than_they_were_are_told_alike(tmp_path: Path, on_spark: Engine) -> None:
    files, said = landed(tmp_path, "csv"), []
    (tmp_path / "2.csv").write_text("number,name\n1,a\n")
    now = Files(files.store, data_files(FolderStore(tmp_path)), files.spec)
    for engine in (EmbeddedEngine(AwsSettings()), on_spark):
        for these, error in ((files, SourceChangedError), (now, BrokenFileError)):
            with pytest.raises(error) as raised:
                read(engine, these)
            said.append(str(raised.value))
    assert said[:2] == said[2:]
    assert "2.csv changed after its batch was cut" in said[0]
    assert "column 'id' is declared but the header has only number, name" in said[1]


def result(engine: Engine, sql: str, wanted: Columns) -> list[dict[str, Any]]:
    given = pa.table({"id": pa.array(range(1000), pa.int64())})
    code = Code((Input("numbers", rows=given),), {"most": 999}, sql=sql)
    with engine.session() as session:
        count = engine.transform(session, "rows", code, Fitting(arrow_schema(wanted), partial(fitted, wanted, "s"), "p/s/1"))
        rows = session.query("SELECT * FROM rows").to_pylist()
    assert len({r.pop("__position") for r in rows}) == count == len(rows)
    return sorted(rows, key=lambda r: int(r["id"]))


with_sail = pytest.mark.skipif(spark_server.IS_BEFORE_4, reason="transforms on one machine need pyspark 4, the client of Sail")


@with_sail
@pytest.mark.parametrize(
    ("sql", "more"),
    [
        ("SELECT id, CAST(id AS DECIMAL(20,4)) AS much, array(named_struct('b', 2, 'a', 'x')) AS parts FROM numbers WHERE id < :most", "a"),
        ("SELECT id, CAST(1 AS DECIMAL(20,4)) AS much, array(named_struct('b', 2, 'a', 'x')) AS parts FROM numbers WHERE id < 0", ""),
    ],
)
def test_results_are_made_to_fit_alike(on_spark: Engine, sql: str, more: str) -> None:
    wanted = columns(id="bigint!", much="decimal(12,2)", parts="array<struct<a:string,b:bigint>>")
    alone = result(EmbeddedEngine(AwsSettings()), sql, wanted)
    assert alone == result(on_spark, sql, wanted)
    assert bool(alone) is bool(more)


@with_sail
@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("SELECT id FROM numbers", {"id": "bigint!", "name": "string"}),
        ("SELECT id FROM numbers WHERE id < 0", {"id": "bigint!", "name": "string"}),
        ("SELECT CAST(id AS DECIMAL(20,4)) / 8 AS id FROM numbers", {"id": "decimal(12,2)!"}),
        ("SELECT CASE WHEN id < 999 THEN id END AS id FROM numbers", {"id": "bigint!"}),
        ("SELECT id / (id - 999) AS id FROM numbers", {"id": "double"}),
    ],
    ids=["no column", "no column of no row", "digits", "NULL", "the query"],
)
def test_results_that_do_not_fit_are_refused_alike(on_spark: Engine, sql: str, wanted: dict[str, str]) -> None:
    said: list[PenstockError] = []
    for engine in (EmbeddedEngine(AwsSettings()), on_spark):
        with pytest.raises(PenstockError) as raised:
            result(engine, sql, columns(**wanted))
        said.append(raised.value)
    assert type(said[0]) is type(said[1])
    assert not isinstance(said[0], DataError) or said[0].message.partition(":")[0] == said[1].message.partition(":")[0]
