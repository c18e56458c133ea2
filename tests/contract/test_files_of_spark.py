"""Files that the Spark engine writes hold what was written, as each reader has it: the formats' own libraries, DuckDB, and Spark again."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spark_server
from foreign import TOOLS
from pipelines import Project
from values import VALUES

from penstock.config import AwsSettings
from penstock.connectors.catalogs import Catalog
from penstock.engines import deleting
from penstock.engines.base import Engine
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.errors import NotSupportedError
from penstock.evolution import Evolution
from penstock.maintenance import Clustering, Group
from penstock.schema import Column, arrow_schema
from penstock.tables import Change, Design, LakeTable, PartitionField

KINDS = {f"c{i}": kind for i, kind in enumerate(VALUES)}


def made(lake: Catalog, table_format: str, columns: dict[str, str], *partitions: PartitionField, design: Design | None = None) -> LakeTable:
    return lake.create(
        "ops", f"t_{secrets.token_hex(4)}", table_format, [Column.parse(n, t) for n, t in columns.items()], partitions, design=design or Design()
    )


def table_of(table: LakeTable, rows: Sequence[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=arrow_schema(table.pin().columns))


def publish(table: LakeTable, change: Change, number: int) -> None:
    assert table.commit(table.pin(), replace(change, ledger={"p/s": number})).state == "done"


def append(engine: Engine, table: LakeTable, rows: Sequence[dict[str, Any]], number: int = 1) -> None:
    with engine.session() as session:
        session.load("rows", table_of(table, rows))
        publish(table, session.append(table, table.pin(), "rows", "run"), number)


def scanned(engine: Engine, table: LakeTable) -> pa.Table:
    with engine.session() as session:
        session.scan("now", table, table.pin())
        return session.query("SELECT * FROM now")


def text(rows: pa.Table | Sequence[dict[str, Any]]) -> list[str]:
    """Rows as text, in order: NaN then equals itself."""
    listed = rows.to_pylist() if isinstance(rows, pa.Table) else rows
    return sorted(str([value.astimezone(dt.UTC) if isinstance(value, dt.datetime) and value.tzinfo else value for value in row.values()]) for row in listed)


def test_values_of_every_type_are_what_every_reader_has(lake: Catalog, table_format: str, on_spark: Engine, tmp_path: Path) -> None:
    """Wide decimals, dates long ago, instants with and without a zone, bytes, NaN."""
    table = made(lake, table_format, KINDS)
    rows = [
        {c: values[i] if i < len(values) else None for c, values in zip(KINDS, VALUES.values(), strict=True)} for i in range(max(map(len, VALUES.values())) + 1)
    ]
    append(on_spark, table, rows)
    truth = text(table_of(table, rows))
    assert text(scanned(EmbeddedEngine(AwsSettings()), table)) == truth
    assert text(scanned(on_spark, table)) == truth
    assert text(TOOLS[table_format](Project(tmp_path)).rows(table.name)) == truth


PARTITIONED = {
    "id": "bigint!", "d": "date", "t": "timestamp", "n": "timestamp_ntz", "s": "string", "x": "decimal(12,2)", "i": "int", "l": "bigint", "y": "date",
}  # fmt: skip
TRANSFORMS = (
    PartitionField("months", "d"), PartitionField("days", "t"), PartitionField("hours", "n"), PartitionField("truncate", "s", 2),
    PartitionField("truncate", "x", 50), PartitionField("truncate", "i", 10), PartitionField("truncate", "l", 7), PartitionField("years", "y"),
)  # fmt: skip
EDGES = [
    {"d": day, "t": dt.datetime.combine(day, at, dt.UTC), "n": dt.datetime.combine(day, at), "s": s, "x": Decimal(x), "i": i, "l": i * 2**31, "y": day}
    for day, at, s, x, i in (
        (dt.date(1, 1, 1), dt.time.min, "", "-0.01", -(2**31) + 10),
        (dt.date(1582, 10, 4), dt.time.max, "a", "-9999999999.50", -11),
        (dt.date(1969, 12, 31), dt.time.max, "äöü", "0.49", -1),
        (dt.date(1970, 1, 1), dt.time.min, "\U0001f600xy", "0.50", 0),
        (dt.date(2024, 2, 29), dt.time(23, 59), "ab", "9999999999.99", 2**31 - 1),
    )
] + [dict.fromkeys("dtnsxily")]  # fmt: skip


BUCKETS = tuple(PartitionField("bucket", c, 7) for c in "dtnsxil")


@pytest.mark.parametrize("on", ["embedded", "spark"])
@pytest.mark.parametrize("fields", [TRANSFORMS, BUCKETS], ids=["transforms", "buckets"])
def test_partitions_are_found_again_and_overwritten(lake: Catalog, on: str, fields: tuple[PartitionField, ...], request: pytest.FixtureRequest) -> None:
    """By every transform, before 1970 too: rows come in place of those of their own partition, and nothing else goes."""
    embedded = EmbeddedEngine(AwsSettings())
    engine = embedded if on == "embedded" else request.getfixturevalue("on_spark")
    rows = [{"id": i, **edge} for i, edge in enumerate(EDGES)]
    table, other = made(lake, "iceberg", PARTITIONED, *fields), made(lake, "iceberg", PARTITIONED, *fields)
    append(engine, table, rows)
    append(embedded, other, rows)
    assert sorted(str(f.partition) for f in table.files(table.pin())) == sorted(str(f.partition) for f in other.files(other.pin()))
    later = [row | {"id": 100 + row["id"]} for row in rows if row["id"] in (2, 5)]
    with engine.session() as session:
        session.load("later", table_of(table, later))
        publish(table, session.overwrite(table, table.pin(), "later", "run", lambda _: False), 2)
    assert sorted(scanned(embedded, table)["id"].to_pylist()) == [0, 1, 3, 4, 102, 105]


def test_a_table_is_compacted_in_its_order_and_without_what_was_deleted(
    lake: Catalog, table_format: str, on_spark: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleting, "LARGE_ROWS", 1)
    table = made(lake, table_format, {"id": "bigint!", "part": "string", "v": "int"}, PartitionField("identity", "part"), design=Design(("v",), True))
    for number, part in ((1, "a b"), (2, "a b"), (3, "é/=%+")):
        append(on_spark, table, [{"id": 100 * number + i, "part": part, "v": (i * 7) % 10} for i in range(10)], number)
    with on_spark.session() as session:
        publish(table, session.amend(table, table.pin(), "id % 10 = 3", {}, "run"), 4)
    held = text(scanned(EmbeddedEngine(AwsSettings()), table))
    assert len(held) == 27
    assert all(f.deleted == 1 for f in table.files(table.pin()))
    group = Group(("a b",), tuple(f for f in table.files(table.pin()) if f.partition == ("a b",)))
    with on_spark.session() as session:
        publish(table, session.compact(table, table.pin(), group, Clustering(), "run"), 5)
    assert sorted((str(f.partition), f.rows, f.deleted) for f in table.files(table.pin())) == [("('a b',)", 18, 0), ("('é/=%+',)", 9, 1)]
    assert text(scanned(EmbeddedEngine(AwsSettings()), table)) == held
    (file,) = (f for f in table.files(table.pin()) if f.partition == ("a b",))
    found = pq.ParquetFile(file.uri).read()["v"].to_pylist()
    assert found == sorted(found)


@pytest.mark.parametrize(("kind", "keys"), [("int", [[None, 1], [5, 9], [20, None]]), ("binary", [[b"\xff"], [b"\x00", None], [b"a", b"\x80"]])])
def test_each_row_goes_to_one_of_the_files_that_are_rewritten(lake: Catalog, on_spark: Engine, kind: str, keys: list[list[Any]]) -> None:
    """Whatever the column is by which they share the rows: NULLs, and bytes, of which no bound is known."""
    table = made(lake, "iceberg", {"k": kind, "v": "int"})
    for number, mine in enumerate(keys, 1):
        append(on_spark, table, [{"k": key, "v": number} for key in mine], number)
    with on_spark.session() as session:
        publish(table, session.amend(table, table.pin(), "v > 0", {"v": "v * 10"}, "run"), 9)
    found = [(r["k"], r["v"]) for r in scanned(EmbeddedEngine(AwsSettings()), table).to_pylist()]
    assert Counter(found) == Counter((key, 10 * number) for number, mine in enumerate(keys, 1) for key in mine)


def test_rows_lie_along_one_curve_whoever_writes_them(lake: Catalog, table_format: str, on_spark: Engine) -> None:
    places = []
    for engine in (on_spark, EmbeddedEngine(AwsSettings())):
        table = made(lake, table_format, {"v": "int", "y": "binary", "note": "string"})
        append(engine, table, [{"v": i % 8 * 7, "y": bytes([248 + i // 8]), "note": str(i)} for i in range(64)])
        group = Group((), tuple(table.files(table.pin())))
        with engine.session() as session:
            publish(table, session.compact(table, table.pin(), group, Clustering(("v", "y"), zorder=True), "run"), 2)
        (file,) = table.files(table.pin())
        places.append([(row["v"], row["y"][0] - 248) for row in pq.ParquetFile(file.uri).read().to_pylist()])
    assert places[0] == places[1]
    assert places[0][:4] == [(0, 0), (7, 0), (0, 1), (7, 1)]


def test_renamed_columns_are_found_by_their_numbers(lake: Catalog, on_spark: Engine) -> None:
    """Files from before a change of columns, and from after it, in one table: read, amended and merged by Spark."""
    # Spark 3.5 does not read a narrow column as a wider one
    widened, large = ((), 2**20) if spark_server.IS_BEFORE_4 else ((Column.parse("a", "bigint"),), 2**40)
    table = made(lake, "iceberg", {"id": "bigint!", "a": "int", "b": "string"})
    append(on_spark, table, [{"id": 1, "a": 1, "b": "x"}, {"id": 2, "a": 2, "b": "y"}])
    table.evolve(table.pin(), Evolution(append=(Column.parse("c", "date"),), widen=widened, rename=(("b", "a b"), ("a", "b"))))
    append(on_spark, table, [{"id": 3, "b": large, "a b": "z", "c": dt.date(1900, 1, 1)}], 2)
    with on_spark.session() as session:
        session.load("ups", table_of(table, [{"id": 2, "b": -2, "a b": None, "c": None}]))
        session.load("dels", table_of(table, []).select(["id"]))
        publish(table, session.rewrite(table, table.pin(), "ups", "dels", "run"), 3)
    truth = [
        {"id": 1, "b": 1, "a b": "x", "c": None}, {"id": 2, "b": -2, "a b": None, "c": None}, {"id": 3, "b": large, "a b": "z", "c": dt.date(1900, 1, 1)},
    ]  # fmt: skip
    for engine in (on_spark, EmbeddedEngine(AwsSettings())):
        assert sorted(scanned(engine, table).to_pylist(), key=lambda r: r["id"]) == truth


def test_what_spark_does_not_do_is_refused_by_name(lake: Catalog, on_spark: Engine) -> None:
    nested = made(lake, "iceberg", {"id": "bigint!", "tags": "array<string>"})
    with on_spark.session() as session:
        session.load("rows", pa.table({"id": [1]}))
        session.load("listed", table_of(nested, [{"id": 1, "tags": ["a"]}]))
        with pytest.raises(NotSupportedError, match=r"writing tags array<string> of ops"):
            session.append(nested, nested.pin(), "listed", "run")
        with pytest.raises(NotSupportedError, match="no file has a row any more"):
            session.found_below(nested, nested.pin(), "rows", ["id"])


def test_rows_are_written_as_files_of_no_table(on_spark: Engine, tmp_path: Path) -> None:
    with on_spark.session() as session:
        session.load("rows", pa.table({"id": list(range(100)), "name": ["x y"] * 100}))
        session.execute("CREATE VIEW nothing AS SELECT * FROM rows WHERE id < 0")
        files = session.export("rows", f"{tmp_path}/a b/out.parquet")
        assert session.export("nothing", f"{tmp_path}/none.parquet") == []
    assert sum(f.rows for f in files) == 100
    assert [f.bytes for f in files] == [Path(f.uri).stat().st_size for f in files]
    assert sorted(row["id"] for f in files for row in pq.ParquetFile(f.uri).read().to_pylist()) == list(range(100))


@pytest.mark.parametrize("kind", ["embedded", "spark"])
def test_rows_are_written_for_so_many_readers_at_once(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    engine = request.getfixturevalue("on_spark") if kind == "spark" else EmbeddedEngine(AwsSettings())
    with engine.session() as session:
        session.load("rows", pa.table({"id": list(range(80_000))}))
        files = session.export("rows", f"{tmp_path}/three.parquet", 3)
        assert len(session.export("rows", f"{tmp_path}/one.parquet", 40)) == 1, "too few rows for forty files"
    assert len(files) == 3
    assert min(f.rows for f in files) > 26_000
    assert sorted(row["id"] for f in files for row in pq.ParquetFile(f.uri).read().to_pylist()) == list(range(80_000))


def test_nested_columns_of_a_delta_table_are_kept(lake: Catalog, on_spark: Engine) -> None:
    columns = {"id": "bigint!", "tags": "array<string>", "who": "struct<name: string, at: timestamp>", "attrs": "map<string, decimal(10,2)>"}
    table = made(lake, "delta", columns)
    at = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
    rows = [
        {"id": 1, "tags": ["a", None], "who": {"name": None, "at": at}, "attrs": [("k", Decimal("1.50")), ("n", None)]},
        {"id": 2, "tags": [], "who": None, "attrs": []}, {"id": 3, "tags": None, "who": None, "attrs": None},
    ]  # fmt: skip
    append(on_spark, table, rows)
    for engine in (on_spark, EmbeddedEngine(AwsSettings())):
        assert sorted(scanned(engine, table).to_pylist(), key=lambda r: r["id"]) == rows


CLASSIC = """
import pyarrow as pa
from penstock.config import AwsSettings
from penstock.engines.opening import open_engine

part = pa.table({"id": [1, 2, 3], "v": ["a", None, "c"]})
with open_engine("spark", AwsSettings()).session() as session:
    session.load("rows", pa.concat_tables([part[:0], part, part[:0], part]))
    session.execute("CREATE TABLE kept AS SELECT DISTINCT * FROM rows")
    session.execute("INSERT INTO kept BY NAME SELECT 'd' AS v, 4 AS id")
    print(session.query("SELECT (SELECT COUNT(*) FROM rows) AS loaded, COUNT(*) AS kept, MAX(ROW(id, v)) AS last FROM kept").to_pylist())
"""


@pytest.mark.skipif(bool(spark_server.missing()), reason=spark_server.missing())
def test_a_session_of_the_process_itself_keeps_every_row() -> None:
    """As under spark-submit, without Spark Connect: batches without rows, which readers deliver, are no end of the others."""
    quick = {k: v for k, v in spark_server.SETTINGS.items() if k.startswith(("spark.sql.shuffle", "spark.sql.codegen", "spark.ui", "spark.driver"))}
    said = " ".join(f"--conf '{k}={v}'" for k, v in quick.items())
    environment = {**os.environ, "PYSPARK_SUBMIT_ARGS": f"--master local[1] {said} pyspark-shell"}
    environment.pop("SPARK_REMOTE", None)
    done = subprocess.run([sys.executable, "-c", CLASSIC], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.strip().endswith("[{'loaded': 6, 'kept': 4, 'last': {'id': 4, 'v': 'd'}}]"), done.stdout + done.stderr
