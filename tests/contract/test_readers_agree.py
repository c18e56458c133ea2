"""What a pipeline merged, as each reader has it: the format's own library, DuckDB by its extension for the format, Spark and Penstock itself see the
same rows, and these are what the events say.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable, Iterator
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from foreign import TOOLS, Delta, Iceberg
from pipelines import SHOP, Project, lake
from spark_server import missing, open_lake

from penstock.config import AwsSettings
from penstock.engines import deleting
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.schema import Column

COLUMNS = {
    "id": "bigint!", "part": "string", "born": "date", "amount": "decimal(38,10)", "price": "decimal(5,2)", "at": "timestamp", "local": "timestamp_ntz",
    "raw": "binary", "ok": "boolean", "r": "double", "f": "float", "n": "int", "note": "string", "gone": "string", "tags": "array<string>",
    "who": "struct<name: string, home: struct<zip: string, at: timestamp>>", "lines": "array<struct<sku: string, price: decimal(38,4)>>",
    "attrs": "map<string, decimal(10,2)>",
}  # fmt: skip
RENAMED = {{"note": "remark"}.get(c, c): kind for c, kind in COLUMNS.items() if c != "gone"}
PIPELINE = (
    SHOP
    + """  lake.shop.rewritten: {COMMON}
  lake.shop.thinned: {COMMON, readers: [spark]}
  lake.shop.versions: {COMMON, readers: [spark]}
steps:
  - id: changes
    read: {from: raw/orders/, format: parquet, columns: {v: bigint!, op: string, COLUMNS}, batch: {max_files: 1}}
  - {id: rewritten, merge: {from: changes, into: lake.shop.rewritten, RULE}}
  - {id: thinned, merge: {from: changes, into: lake.shop.thinned, RULE}}
  - {id: versions, merge: {from: changes, into: lake.shop.versions, stored_as_scd_type: 2, RULE}}
"""
)
PARTITIONS = {"iceberg": "'months(born)', 'bucket(3, id)'", "delta": "part"}
UTC = dt.UTC
VALUES: dict[str, list[Any]] = {
    "part": ["a b", "é/=%", None], "born": [dt.date(1851, 2, 28), dt.date(1970, 1, 1), dt.date(2024, 2, 29), None],
    "amount": [Decimal("-1234567890123456789012345678.0123456789"), Decimal("9" * 28 + "." + "9" * 10), Decimal("0E-10"), None],
    "price": [Decimal("-0.01"), Decimal("999.99"), None], "raw": [b"", b"\x00\xff'\\", None], "ok": [True, False, None],
    "at": [dt.datetime(1899, 12, 31, 23, 59, 59, 123456, UTC), dt.datetime(2024, 1, 1, 0, 0, 0, 1, UTC), None],
    "local": [dt.datetime(1582, 10, 4, 1, 2, 3, 4), dt.datetime(2024, 3, 31, 2, 30), None],
    "r": [float("-inf"), -0.1, 1e300, None], "f": [0.5, -(2.0**100), None], "n": [-(2**31), 7, None], "note": ["x" * 50, "", "ä'\"\n", None],
    "gone": ["g", None],
    "tags": [[], ["a", None, ""], None], "attrs": [{}, {"ä": Decimal("1.50"), "b": None}, None],
    "who": [{"name": "Anne", "home": {"zip": "0123", "at": dt.datetime(1900, 1, 1, tzinfo=UTC)}}, {"name": None, "home": None}, None],
    "lines": [[{"sku": "x", "price": Decimal("12345678901234567890123456789012.0001")}, None], [], None],
}  # fmt: skip


def deliveries(seed: int) -> list[list[dict[str, Any]]]:
    """Batches of events with `v` for their order: updates, deletes, keys that come again, and events that come late, all of different `v`."""
    r = random.Random(seed)
    said = [
        {"v": v, "op": "d" if r.random() < 0.15 else "u", "id": r.randint(-20, 20), **{c: r.choice(values) for c, values in VALUES.items()}}
        for v in range(1, 241)
    ]
    said = [e for _, e in sorted(enumerate(said), key=lambda place: place[0] + r.randint(0, 90))]
    return [said[:120], *(said[i : i + 30] for i in range(120, 240, 30))]


def declared(table_format: str, columns: dict[str, str], policy: str = "") -> str:
    texts = ", ".join(f'{c}: "{kind}"' for c, kind in columns.items())
    common = f"format: {table_format}, columns: {{{texts}}}, keys: [id], partition_by: [{PARTITIONS[table_format]}]{policy}"
    rule = "sequence_by: v, apply_as_deletes: op = 'd'"
    return PIPELINE.replace("COMMON", common).replace("COLUMNS", texts).replace("RULE", rule)


def deliver(shop: Project, number: int, columns: dict[str, str], events: list[dict[str, Any]]) -> None:
    schema = pa.schema([("v", pa.int64()), ("op", pa.string()), *((c, Column.parse(c, kind).type.arrow()) for c, kind in columns.items())])
    path = shop.write(f"landing/orders/{number}.parquet", b"")
    pq.write_table(pa.Table.from_pylist(events, schema=schema), path)
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err


def renamed(event: dict[str, Any]) -> dict[str, Any]:
    return {{"note": "remark"}.get(c, c): value for c, value in event.items() if c != "gone"}


def truth(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    last: dict[int, dict[str, Any]] = {}
    for event in sorted(events, key=lambda e: int(e["v"])):
        last[event["id"]] = event
    return [{c: value for c, value in e.items() if c not in ("v", "op")} for e in last.values() if e["op"] == "u"]


def comparable(rows: Iterable[dict[str, Any]]) -> list[str]:
    return sorted(repr(sorted((c, _plain(value)) for c, value in row.items())) for row in rows)


def _plain(value: Any) -> Any:
    """Structs and maps without an order, instants in one zone."""
    if isinstance(value, dict):
        return sorted((k, _plain(v)) for k, v in value.items())
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value.astimezone(UTC) if isinstance(value, dt.datetime) and value.tzinfo else value


def without_hidden(row: dict[str, Any]) -> dict[str, Any]:
    return {c: value for c, value in row.items() if not c.startswith("__")}


def listed(rows: pa.Table) -> list[dict[str, Any]]:
    return rows.to_pylist(maps_as_pydicts="strict")


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with its extensions for the formats, each from its own package."""
    with duckdb.connect() as connection:
        for extension in ("avro", "iceberg", "delta"):
            place = files(f"duckdb_extension_{extension}") / "extensions" / f"v{duckdb.__version__}" / f"{extension}.duckdb_extension"
            connection.execute(f"LOAD '{place}'")
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def as_duckdb_reads(connection: duckdb.DuckDBPyConnection, shop: Project, name: str, table_format: str) -> list[dict[str, Any]]:
    table = lake(shop, "shop", name)
    native: Any = table.pin().native
    found = f"iceberg_scan('{native.metadata_location}')" if table_format == "iceberg" else f"delta_scan('{table.location}')"
    return listed(connection.execute(f"SELECT * FROM {found}").to_arrow_table())


def as_penstock_reads(shop: Project, name: str) -> list[dict[str, Any]]:
    table = lake(shop, "shop", name)
    with EmbeddedEngine(AwsSettings()).session() as session:
        session.scan("now", table, table.pin())
        return listed(session.query("SELECT * FROM now"))


def as_the_library_reads(tool: Iceberg | Delta, name: str) -> pa.Table:
    return tool.rows(name) if isinstance(tool, Iceberg) else pa.table(tool.table(name).scan())  # its other ways do not know deletion vectors


def known_of(reader: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Not there upstream: pyiceberg 0.12.0 reads a NULL list of structs as an empty one."""
    return [row | {"lines": row["lines"] or []} for row in rows] if reader == "iceberg" else rows


@pytest.fixture
def spark_if_there(request: pytest.FixtureRequest) -> Any:
    """A session on the run's real Spark; None where there is no Java for it, and the others agree without it."""
    return None if missing() else request.getfixturevalue("spark")


def as_spark_reads(spark: Any, shop: Project, name: str, table_format: str) -> list[dict[str, Any]]:
    open_lake(spark, shop.folder / "warehouse")
    where = f"penstock.shop.{name}" if table_format == "iceberg" else f"delta.`{lake(shop, 'shop', name).location}`"
    return listed(spark.sql(f"SELECT * FROM {where}").toArrow())


def test_every_reader_has_the_rows_that_the_events_say(
    tmp_path: Path, table_format: str, spark_if_there: Any, duck: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(deleting, "LARGE_ROWS", 1)
    monkeypatch.setattr(deleting, "MOST_DELETED", 0.7)
    shop, columns, events = Project(tmp_path), COLUMNS, deliveries(seed)
    shop.write("pipeline.yaml", declared(table_format, columns))
    for number in range(len(events)):
        if number == 3 and table_format == "iceberg":
            columns, events = RENAMED, [[renamed(e) for e in each] for each in events]
            shop.write("pipeline.yaml", declared(table_format, columns, ", on_schema_change: {dropped_column: drop, renamed_from: {remark: note}}"))
        deliver(shop, number, columns, events[number])
    tool = TOOLS[table_format](shop)
    assert any(f.deletes for f in lake(shop, "shop", "thinned").files(lake(shop, "shop", "thinned").pin())), "deletes beside files"
    for name in ("rewritten", "thinned", "versions"):
        said = as_penstock_reads(shop, name)
        assert comparable(as_duckdb_reads(duck, shop, name, table_format)) == comparable(said), (name, "DuckDB")
        if spark_if_there:
            assert comparable(as_spark_reads(spark_if_there, shop, name, table_format)) == comparable(said), (name, "Spark")
        theirs = listed(as_the_library_reads(tool, f"shop.{name}"))
        assert comparable(theirs) == comparable(known_of(table_format, said)), (name, table_format)
        current = [r for r in said if r.get("__end_at") is None]
        assert comparable(map(without_hidden, current)) == comparable(map(without_hidden, truth(e for each in events for e in each))), name
