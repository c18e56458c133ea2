"""One measured case in a process of its own: `python cases.py CASE FOLDER` prints one line of JSON with its seconds and peak memory."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
from generate import COLUMNS

from penstock.changes.facts import MergeSpec, memory_columns
from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import open_catalog
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.schema import BIGINT, Column, sequence_columns
from penstock.tables import Design

KEYS = ("o_orderkey",)
DECLARED = tuple(Column.parse(n, t) for n, t in COLUMNS.items())
SPEC = MergeSpec(KEYS, tuple(n for n in COLUMNS if n not in KEYS), 1)
LISTED = ", ".join(COLUMNS)


def lake(folder: Path, table_format: str):  # type: ignore[no-untyped-def]
    """The table and its memory, in a catalog of the case's own."""
    catalog = open_catalog(CatalogConnection(kind="catalog", catalog="sqlite", warehouse=str(folder / table_format)), AwsSettings(), folder)
    hidden = sequence_columns([BIGINT])
    table = catalog.create("bench", "orders", table_format, (*DECLARED, *hidden), design=Design(position_deletes=True))
    memory = catalog.create("bench", "orders__memory", table_format, memory_columns(SPEC, (*DECLARED, *hidden)))
    return table, memory


def fill(folder: Path, table_format: str) -> None:
    """Load the orders into a fresh table, each row with sequence 1."""
    table, _ = lake(folder, table_format)
    with EmbeddedEngine(AwsSettings()).session() as session:
        session.execute(f"CREATE VIEW orders AS SELECT *, CAST(1 AS BIGINT) AS __sequence_1 FROM read_parquet('{folder}/orders.parquet')")
        session.execute("CREATE TABLE none AS SELECT o_orderkey FROM orders LIMIT 0")
        pinned = table.pin()
        change = session.rewrite(table, pinned, "orders", "none", "fill")
        assert table.commit(pinned, replace(change, ledger={"b/fill": 1})).state == "done"


def penstock_merge(folder: Path, table_format: str) -> Callable[[], None]:
    """Penstock from the pinned metadata to the commits: settle, memory, rewrite, two commits."""
    table, memory = lake(folder, table_format)
    events = pq.read_table(folder / "changes.parquet")

    def merge() -> None:
        with EmbeddedEngine(AwsSettings()).session() as session:
            session.load("changes", events)
            session.execute("CREATE TABLE batch AS FROM changes")
            pinned, remembered = table.pin(), memory.pin()
            settled = session.settle(SPEC, table, pinned, memory, remembered)
            settled.counts.check("benchmark")
            reminder = session.rewrite(memory, remembered, settled.remember, settled.forget, "merge")
            assert memory.commit(remembered, replace(reminder, ledger={"b/s": 1})).state == "done"
            change = session.rewrite(table, pinned, settled.upserts, settled.deletes, "merge")
            assert table.commit(pinned, replace(change, ledger={"b/s": 1})).state == "done"

    return merge


def limit(folder: Path) -> Callable[[], None]:
    """What any copy-on-write must do at the least: read all bytes once and write them once. No join, no commit."""
    table, _ = lake(folder, "iceberg")
    files = ", ".join(f"'{f.uri}'" for f in table.files(table.pin()))
    connection = duckdb.connect()
    connection.execute("SET preserve_insertion_order = false")
    options = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
    return lambda: connection.execute(f"COPY (SELECT * FROM read_parquet([{files}])) TO '{folder}/limit.parquet' ({options})") and None


def limit_on_read(folder: Path) -> Callable[[], None]:
    """What any merge-on-read must do at the least: read keys and stored sequences, write the new rows and the positions of the old ones. No commit."""
    table, _ = lake(folder, "iceberg")
    files = ", ".join(f"'{f.uri}'" for f in table.files(table.pin()))
    connection = duckdb.connect()
    options = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
    newest = f"SELECT {LISTED}, __op, __sequence_1 FROM '{folder}/changes.parquet' QUALIFY row_number() OVER (PARTITION BY o_orderkey ORDER BY __sequence_1 DESC) = 1"

    def merge() -> None:
        connection.execute(f"CREATE TABLE newest AS {newest}")
        read = f"SELECT o_orderkey, __sequence_1, filename, file_row_number FROM read_parquet([{files}], filename = true, file_row_number = true)"
        connection.execute(f"CREATE TABLE old AS SELECT * FROM ({read}) SEMI JOIN newest USING (o_orderkey)")
        connection.execute(f"COPY (SELECT filename, file_row_number FROM old ORDER BY ALL) TO '{folder}/positions.parquet' ({options})")
        connection.execute(f"COPY (SELECT * EXCLUDE (__op) FROM newest WHERE __op <> 'd') TO '{folder}/limit.parquet' ({options})")

    return merge


def pyiceberg_merge(folder: Path) -> Callable[[], None]:
    """The peer: pyiceberg's upsert and delete over the same table, its events de-duplicated by DuckDB first (counted)."""
    from pyiceberg.expressions import In

    table, _ = lake(folder, "iceberg")

    def merge() -> None:
        newest = f"SELECT {LISTED}, __op, __sequence_1 FROM '{folder}/changes.parquet' QUALIFY row_number() OVER (PARTITION BY o_orderkey ORDER BY __sequence_1 DESC) = 1"
        native = table.pin().native
        schema = native.schema().as_arrow()
        rows = duckdb.sql(f"SELECT * EXCLUDE (__op) FROM ({newest}) WHERE __op <> 'd'").to_arrow_table().cast(schema)
        gone = [k for (k,) in duckdb.sql(f"SELECT o_orderkey FROM ({newest}) WHERE __op = 'd'").fetchall()]
        native.upsert(rows, join_cols=["o_orderkey"])
        native.delete(In("o_orderkey", gone))

    return merge


def copy_on_write(folder: Path, table_format: str) -> Callable[[], None]:
    """Penstock on a table whose files are rewritten, as if its readers knew neither position deletes nor deletion vectors."""
    table, _ = lake(folder, table_format)
    table.redesign(table.pin(), Design())
    return penstock_merge(folder, table_format)


def delta_rs_merge(folder: Path) -> Callable[[], None]:
    """The peer: delta-rs's own merge over the same table, its events de-duplicated by DuckDB first (counted)."""
    from deltalake import DeltaTable

    table, _ = lake(folder, "delta")

    def merge() -> None:
        newest = duckdb.sql(f"""SELECT * EXCLUDE (n) FROM (SELECT {LISTED}, __op, __sequence_1, row_number() OVER (PARTITION BY o_orderkey ORDER BY __sequence_1 DESC) AS n
          FROM '{folder}/changes.parquet') WHERE n = 1""").to_arrow_table()
        every = {c: f"s.{c}" for c in (*COLUMNS, "__sequence_1")}
        merger = DeltaTable(table.location).merge(newest, "t.o_orderkey = s.o_orderkey", source_alias="s", target_alias="t")
        merger.when_matched_delete("s.__op = 'd'").when_matched_update(every).when_not_matched_insert(every, "s.__op <> 'd'").execute()

    return merge


def main() -> None:
    case, folder = sys.argv[1], Path(sys.argv[2])
    if case.startswith("fill"):
        fill(folder, case.removeprefix("fill-"))
        return
    cases: dict[str, Callable[[], Callable[[], None]]] = {
        "limit-on-read": lambda: limit_on_read(folder),
        "iceberg-on-read": lambda: penstock_merge(folder, "iceberg"),
        "limit-on-write": lambda: limit(folder),
        "iceberg-on-write": lambda: copy_on_write(folder, "iceberg"),
        "delta-on-read": lambda: penstock_merge(folder, "delta"),
        "delta-on-write": lambda: copy_on_write(folder, "delta"),
        "delta-rs": lambda: delta_rs_merge(folder),
        "pyiceberg": lambda: pyiceberg_merge(folder),
    }
    run = cases[case]()
    start = time.perf_counter()
    run()
    print(json.dumps({"case": case, "seconds": round(time.perf_counter() - start, 3), "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    main()
