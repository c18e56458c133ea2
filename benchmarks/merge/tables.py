"""The tables that are merged into: made once, then copied for every measurement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from generate import COLUMNS, MONTH
from scenarios import Layout

from penstock.changes.facts import MergeSpec, memory_columns
from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import Catalog, open_catalog
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.schema import BIGINT, Column, Columns, interval_columns, names, sequence_columns
from penstock.tables import Change, Design, LakeTable, PartitionField, WrittenFile

KEY = "o_orderkey"
SMALL_FILES = 2_000
LEDGER = {"b/s": 1}


@dataclass(frozen=True)
class Shape:
    """A table's columns and partitions, and what a merge must know of it."""

    spec: MergeSpec
    columns: Columns
    partition_by: tuple[PartitionField, ...]

    @classmethod
    def of(cls, layout: Layout, table_format: str) -> Shape:
        texts = COLUMNS | ({MONTH: "int"} if layout == "months" and table_format == "delta" else {})
        data, history = tuple(n for n in texts if n != KEY), layout == "history"
        hidden = interval_columns([BIGINT]) if history else sequence_columns([BIGINT])
        by = PartitionField("identity", MONTH) if MONTH in texts else PartitionField("months", "o_orderdate")
        spec = MergeSpec((KEY,), data, 1, history=history, tracked=data if history else ())
        return cls(spec, (*(Column.parse(n, t) for n, t in texts.items()), *hidden), (by,) if layout == "months" else ())

    @property
    def stored(self) -> str:
        """The table's rows, of the file of orders."""
        said = [f"__sequence_1 AS {c}" if c.startswith("__start") else f"NULL::BIGINT AS {c}" if c.startswith("__end") else c for c in names(self.columns)]
        return ", ".join(said)


@dataclass(frozen=True)
class Place:
    """A table and its memory in a catalog of their own."""

    table: LakeTable
    memory: LakeTable
    shape: Shape
    catalog: Catalog

    @classmethod
    def at(cls, folder: Path, layout: Layout, table_format: str, name: str = "orders") -> Place:
        shape = Shape.of(layout, table_format)
        catalog = open_catalog(CatalogConnection(kind="catalog", catalog="sqlite", warehouse=str(folder)), AwsSettings(), folder)
        table = catalog.create("bench", name, table_format, shape.columns, shape.partition_by, design=Design(position_deletes=True))
        known = (*shape.columns, *sequence_columns([BIGINT]))
        memory = catalog.create("bench", f"{name}__memory", table_format, memory_columns(shape.spec, known), design=Design(position_deletes=True))
        return cls(table, memory, shape, catalog)

    def commit(self, pinned: Any, change: Change) -> None:
        outcome = self.table.commit(pinned, replace(change, ledger=LEDGER))
        assert outcome.state == "done", outcome


def fill(folder: Path, layout: Layout, table_format: str, orders: Path) -> None:
    """Make a table of the orders, in files as Penstock writes them, or in many small ones with its keys strewn over all of them."""
    place = Place.at(folder, layout, table_format)
    pinned = place.table.pin()
    with EmbeddedEngine(AwsSettings()).session() as session:
        session.execute(f"CREATE VIEW orders AS SELECT {place.shape.stored} FROM read_parquet('{orders}')")
        change = _small(session, place, pinned) if layout == "small" else session.append(place.table, pinned, "orders", "fill")
    place.commit(pinned, change)


def _small(session: Any, place: Place, pinned: Any) -> Change:
    ids, layout, made = place.table.layout(pinned).field_ids, place.table.layout(pinned), []
    fields = f", FIELD_IDS {{{', '.join(f'{c}: {i.number}' for c, i in ids.items())}}}" if ids else ""
    session.execute(f"CREATE TABLE strewn AS SELECT *, (hash({KEY}, 5) % {SMALL_FILES})::INTEGER AS __slot FROM orders ORDER BY __slot, {KEY}")
    for i in range(SMALL_FILES):
        uri = place.table.new_file((), "small")
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        rows = f"SELECT {', '.join(names(place.shape.columns))} FROM strewn WHERE __slot = {i} ORDER BY {KEY}"
        (found,) = session.query(f"SELECT COUNT(*) AS n FROM strewn WHERE __slot = {i}").to_pylist()
        session.execute(f"COPY ({rows}) TO '{uri}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {layout.compression_level}{fields})")
        made.append(WrittenFile(uri, (), Path(uri).stat().st_size, found["n"]))
    return Change("append", made)
