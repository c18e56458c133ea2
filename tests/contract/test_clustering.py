"""Rows put in order by compaction: files end up with narrow ranges, and no row is lost or changed."""

from __future__ import annotations

import bisect
import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pipelines import APPENDED, EVENTS, Project, context, event, events, lake

from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import open_catalog
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.jobs.upkeep import maintain
from penstock.maintenance import Clustering, Group
from penstock.schema import Column, arrow_schema, names
from penstock.tables import DataFile, Design, LakeTable, PartitionField

SCATTERED = """
pipeline: rows
connections:
  raw: {kind: files, path: landing}
  lake: {kind: catalog, catalog: sqlite, warehouse: warehouse}
tables:
  lake.a.rows:
    format: FORMAT
    columns: {id: bigint!, place: int, day: string, payload: string}
    maintain: {compact: zorder, zorder_by: [place, day], target_file_mb: 1}
steps:
  - id: files
    read: {from: raw/rows/, format: parquet, batch: {max_files: 1}}
  - id: rows
    copy: {from: files, into: lake.a.rows, write: append}
"""
COUNT, FILES = 100_000, 16


def spans(files: Sequence[DataFile], values: Sequence[Any], column: str) -> float:
    """How much of a column's rows lies within the range of a file, on average: 1 where every file may hold everything."""
    ordered = sorted(v for v in values if v is not None)
    within = [bisect.bisect_right(ordered, f.upper[column]) - bisect.bisect_left(ordered, f.lower[column]) for f in files]
    return sum(within) / len(files) / len(ordered)


def test_after_z_order_files_have_narrow_ranges_of_both_columns(tmp_path: Path, table_format: str) -> None:
    project = Project(tmp_path)
    project.write("pipeline.yaml", SCATTERED.replace("FORMAT", table_format))
    (tmp_path / "landing" / "rows").mkdir(parents=True)
    with duckdb.connect() as c:
        c.execute(f"""CREATE TABLE r AS SELECT i::BIGINT AS id, CASE WHEN i % 50 > 0 THEN (hash(i, 1) % 1000000)::INTEGER END AS place,
          'd' || lpad((hash(i, 2) % 5000)::VARCHAR, 6, '0') AS day, md5(i::VARCHAR) || md5((i * 7)::VARCHAR) AS payload FROM range({COUNT}) t(i)""")
        for n in range(FILES):
            c.execute(f"COPY (FROM r WHERE id % {FILES} = {n}) TO '{tmp_path}/landing/rows/{n:02}.parquet'")
    assert project.record()[0].code == 0
    table = context(project).lake_table("lake.a.rows")
    assert table
    before, rows = table.files(table.pin()), project.rows("lake.a.rows")
    places, days = [r["place"] for r in rows], [r["day"] for r in rows]
    assert len(before) == FILES
    assert min(spans(before, places, "place"), spans(before, days, "day")) > 0.99
    (done,) = maintain(context(project))
    after = table.files(table.pin())
    assert (done.compacted, done.after.files) == (1, len(after))
    assert 4 <= len(after) < FILES, [f.bytes for f in after]
    assert spans(after, places, "place") < 0.8
    assert spans(after, days, "day") < 0.8
    assert spans(after, places, "place") * spans(after, days, "day") < 0.45, "the part of the files that a point lies in"
    assert project.rows("lake.a.rows") == rows


TYPES = ("boolean", "int", "bigint", "float", "double", "decimal(38,2)", "string", "binary", "date", "timestamp", "timestamp_ntz")
COLUMNS = (Column.parse("part", "string"), *(Column.parse(f'a {t}\'s "column"', t) for t in TYPES))


def values(i: int) -> tuple[Any, ...]:
    """A row, with the least and the greatest of each type, texts that need quoting, and NULLs, which come in each column at other rows."""
    since = datetime(1800, 1, 1, 1, 2, 3, 456789)
    floats = [float("nan"), float("inf"), -float("inf"), -0.0, 1.5]
    row: tuple[Any, ...] = (
        i % 2 == 0, (-(2**31), 2**31 - 1, i)[i % 3], (-(2**63), 2**63 - 1, i)[i % 3], floats[i % 5], floats[(i + 1) % 5], Decimal(i * 10**35 - 10**37) / 100,
        ("", "it's", 'a "b"', "ü\n;--")[i % 4] * (i % 3), bytes([i, 0, 255]), date(1800, 1, 1) + timedelta(days=i * 900),
        since.replace(tzinfo=UTC) + timedelta(days=i * 900), since + timedelta(days=i * 900),
    )  # fmt: skip
    return ("xy"[i % 2], *(None if (i + n) % 7 == 0 else value for n, value in enumerate(row)))


@pytest.fixture
def mixed(tmp_path: Path, table_format: str) -> LakeTable:
    """Three files in each of two partitions, with a column of every type."""
    catalog = open_catalog(CatalogConnection(kind="catalog", catalog="sqlite", warehouse="warehouse"), AwsSettings(), tmp_path)
    table = catalog.create("a", "mixed", table_format, COLUMNS, [PartitionField("identity", "part")])
    for n in range(3):
        with EmbeddedEngine(AwsSettings()).session() as session:
            rows = pa.table(list(zip(*(values(i) for i in range(n * 20, n * 20 + 20)), strict=True)), schema=arrow_schema(COLUMNS))
            session.load("arrived", rows)
            session.execute("CREATE TABLE rows AS FROM arrived")
            pinned = table.pin()
            assert table.commit(pinned, session.append(table, pinned, "rows", "test")).state == "done"
    return table


def text(table: LakeTable) -> list[str]:
    """Rows that can be compared, with NaN in them; 0.0 and -0.0 are one value, and a sort gives back either."""
    with EmbeddedEngine(AwsSettings()).session() as session:
        session.scan("now", table, table.pin())
        return sorted(repr(row).replace("-0.0", "0.0") for row in session.query("SELECT * FROM now").to_pylist())


def test_columns_of_every_type_may_be_ordered_by(mixed: LakeTable) -> None:
    """Partition columns too, which do not lie in Delta's files."""
    before = text(mixed)
    asked = [*combinations(names(COLUMNS), 2), names(COLUMNS)[-4:], names(COLUMNS)[:1]]
    with EmbeddedEngine(AwsSettings()).session() as session:
        for n, columns in enumerate(asked):
            pinned = mixed.pin()
            files = [f for f in mixed.files(pinned) if f.partition == ("xy"[n % 2],)]
            change = session.compact(mixed, pinned, Group(files[0].partition, tuple(files)), Clustering(columns, zorder=n % 3 > 0), f"t{n}")
            assert (len(change.add), mixed.commit(pinned, change).state) == (1, "done"), columns
    assert text(mixed) == before


SORTED = EVENTS.replace("    keys: [id]", "    keys: [id]\n    sort_by: [state, id]")


def test_every_write_keeps_the_tables_order_and_other_engines_are_told_of_it(tmp_path: Path, table_format: str) -> None:
    """Files hold their rows by state, NULLs first, whether a merge wrote them, a second merge or a compaction."""
    shop = Project(tmp_path)
    shop.write("pipeline.yaml", SORTED.replace("FORMAT", table_format))
    r = random.Random(7)
    for part in range(3):
        numbers = range(part * 20, part * 20 + 40)
        shop.write(f"landing/orders/{part}.json", events(*(event("u", n, 100 * part + n, r.choice((None, "a", "b", "c"))) for n in numbers)))
        assert shop.penstock("run", ".").code == 0
        assert all(_orders(lake(shop, "shop", "orders")))
    text = shop.text("pipeline.yaml").replace("sort_by: [state, id]", "sort_by: [id]\n    maintain: {min_files: 2, max_delete_share: 0.01}")
    shop.write("pipeline.yaml", text)
    shop.write("landing/orders/9.json", events(event("u", 3, 999, "z")))
    assert shop.penstock("run", ".").code == 0
    assert context(shop).catalog("lake").table("shop", "orders").design.sort_by == ("id",)  # type: ignore[union-attr]
    if table_format == "iceberg":
        native: Any = context(shop).catalog("lake").table("shop", "orders").pin().native  # type: ignore[union-attr]
        assert [(f.source_id, str(f.null_order)) for f in native.sort_order().fields] == [(1, "NULLS FIRST")]
        newest = max((t.file for t in native.scan().plan_files()), key=lambda f: f.file_path.rpartition("/")[2])
        assert newest.sort_order_id == native.sort_order().order_id


@pytest.mark.parametrize(
    ("said", "keeps"), [("min_files: 2", True), ("min_files: 2, compact: zorder, zorder_by: [state, id]", False), ("min_files: 2, compact: sort", False)]
)
def test_a_compaction_keeps_the_tables_order_or_claims_none(tmp_path: Path, table_format: str, said: str, keeps: bool) -> None:
    """NULLs first, as the table says to other engines; an order that is asked for in its place is not called the table's."""
    project = Project(tmp_path)
    text = APPENDED.replace(
        "{id: bigint!, name: string}", f"{{id: bigint!, state: string}}\n    keys: [id]\n    sort_by: [state, id]\n    maintain: {{{said}}}"
    )
    project.write("pipeline.yaml", text.replace("FORMAT", table_format))
    for i in range(3):
        project.write(f"landing/rows/{i}.csv", "id,state\n" + "".join(f"{i + 3 * k},{'abcd'[k % 4] * (k % 3)}\n" for k in range(20)))
    assert project.record()[0].code == 0
    assert sum(m.compacted for m in maintain(context(project))) == 1
    table = lake(project, "a", "rows")
    (file,) = table.files(table.pin())
    if keeps:
        assert _orders(table) == [True]
    if table_format == "iceberg":
        assert bool(file.native.entry.data_file.sort_order_id) is keeps  # type: ignore[attr-defined]


def test_rows_in_the_tables_order_are_so_in_every_one_of_many_files(tmp_path: Path, table_format: str) -> None:
    """Several threads would let row groups change places."""
    catalog = open_catalog(CatalogConnection(kind="catalog", catalog="sqlite", warehouse="warehouse"), AwsSettings(), tmp_path)
    table = catalog.create("a", "long", table_format, (Column.parse("id", "bigint!"),), design=Design(("id",)))
    with EmbeddedEngine(AwsSettings()).session() as session:
        session.execute("CREATE TABLE rows AS SELECT i AS id FROM range(200_000) t(i) ORDER BY hash(i)")
        pinned = table.pin()
        assert table.commit(pinned, session.append(table, pinned, "rows", "test")).state == "done"
        pinned = table.pin()
        files = tuple(table.files(pinned))
        change = session.compact(table, pinned, Group((), files), Clustering(file_bytes=sum(f.bytes for f in files) // 10), "t")
    found = [pq.read_table(f.uri)["id"].to_pylist() for f in change.add]
    assert len(found) > 5
    assert [sorted(rows) == rows for rows in found] == [True] * len(found)


def _orders(table: LakeTable) -> list[bool]:
    """For each live file whether its rows are in the declared order."""
    found = []
    for file in table.files(table.pin()):
        rows = pq.read_table(file.uri, columns=["state", "id"]).to_pylist()
        found.append(rows == sorted(rows, key=lambda row: (row["state"] is not None, row["state"] or "", row["id"])))
    return found
