"""Which file each row belongs to: rows go to the file of their partition whose key range they fall in, so that tables stay clustered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.changes.facts import listed
from penstock.schema import literal, quote
from penstock.tables import DataFile, LakeTable, Pinned

from .files import FILE_ROWS, Output, Writer, source
from .locate import bound
from .partition import by_place, partition_value, place

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Slot:
    """One file to be written: in place of a live one, or new in its partition."""

    number: int
    partition: tuple[object, ...]
    file: DataFile | None = None


def incoming(connection: duckdb.DuckDBPyConnection, table: LakeTable, rows: str) -> list[tuple[object, ...]]:
    """Name the rows to be written, with the number of their partition, as `incoming`; returns the partitions by that number."""
    values = [partition_value(p) for p in table.partition_by]
    if not values:
        connection.execute(f"CREATE OR REPLACE TABLE incoming AS SELECT *, 0 AS __part FROM {rows}")
        return [()]
    named = ", ".join(f"{v} AS __p{i}" for i, v in enumerate(values))
    connection.execute(
        f"CREATE OR REPLACE TABLE parts AS SELECT CAST(row_number() OVER () - 1 AS INTEGER) AS __part, * FROM (SELECT DISTINCT {named} FROM {rows})"
    )
    on = " AND ".join(f"{v} IS NOT DISTINCT FROM __p{i}" for i, v in enumerate(values))
    connection.execute(f"CREATE OR REPLACE TABLE incoming AS SELECT r.*, __part FROM {rows} r JOIN parts ON {on}")
    # by way of Arrow: DuckDB itself makes Python's instants only where pytz is
    found = connection.execute("SELECT * EXCLUDE (__part) FROM parts ORDER BY __part").to_arrow_table()
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


def slots_of(partitions: Sequence[tuple[object, ...]], files: Sequence[DataFile], touched: set[str], first_key: str) -> list[Slot]:
    """A slot for every file of a partition that rows come to, and for every touched file; one without a file where a partition has none."""
    found: list[Slot] = []
    homes = by_place(f for f in files if first_key in f.lower)
    for partition in partitions:
        mine = sorted(homes.get(place(partition), ()), key=lambda f: f.lower[first_key])
        found += [Slot(0, partition, f) for f in mine] or [Slot(0, partition)]
    listed_uris = {slot.file.uri for slot in found if slot.file}
    found += [Slot(0, f.partition, f) for f in files if f.uri in touched and f.uri not in listed_uris]
    return [Slot(i, slot.partition, slot.file) for i, slot in enumerate(found)]


def assign(connection: duckdb.DuckDBPyConnection, partitions: Sequence[tuple[object, ...]], slots: Sequence[Slot], first_key: str, type_name: str) -> None:
    """Name the incoming rows with the slot that each goes to as `assigned`, in the order of slot and key."""
    import pyarrow as pa

    numbers = {place(partition): i for i, partition in enumerate(partitions)}
    open_slots = [s for s in slots if place(s.partition) in numbers]
    connection.register("__slots", pa.table({
        "part": pa.array([numbers[place(s.partition)] for s in open_slots], pa.int32()),
        "slot": pa.array([s.number for s in open_slots], pa.int32()),
        "least": pa.array([bound(s.file.lower.get(first_key)) if s.file else None for s in open_slots], pa.string()),
    }))  # fmt: skip
    connection.execute(f"""CREATE OR REPLACE TABLE assigned AS
      WITH bounded AS (SELECT part, slot, CAST(least AS {type_name}) AS least FROM __slots WHERE least IS NOT NULL),
        lowest AS (SELECT part, MIN(slot) AS slot FROM __slots GROUP BY part)
      SELECT i.* EXCLUDE (__part), COALESCE(b.slot, l.slot) AS __slot FROM incoming i
      ASOF LEFT JOIN bounded b ON i.__part = b.part AND i.{quote(first_key)} >= b.least
      JOIN lowest l ON i.__part = l.part ORDER BY __slot, i.{quote(first_key)}""")
    connection.unregister("__slots")


def merged_outputs(
    connection: duckdb.DuckDBPyConnection, writer: Writer, table: LakeTable, pinned: Pinned, slots: Sequence[Slot], keys: Sequence[str], gone: Mapping[str, int]
) -> tuple[list[Output], list[DataFile]]:
    """What to write for each slot that rows come to or leave, and the files that are replaced. `gone`: file -> touched rows in it."""
    new = Counter(dict(connection.execute("SELECT __slot, COUNT(*) FROM assigned GROUP BY __slot").fetchall()))
    outputs, removed = [], []
    for slot in slots:
        uri = slot.file.uri if slot.file else ""
        if not new[slot.number] and uri not in gone:
            continue
        rows = new[slot.number] + (slot.file.rows - gone.get(uri, 0) if slot.file else 0)
        outputs.append(Output(slot.partition, _slot_query(writer, table, pinned, slot, keys, ordered=rows > FILE_ROWS), rows))
        removed += [slot.file] if slot.file else []
    return [o for o in outputs if o.rows], removed


def _slot_query(writer: Writer, table: LakeTable, pinned: Pinned, slot: Slot, keys: Sequence[str], *, ordered: bool) -> str:
    """Old rows in their order, new ones behind them; by key where the file is about to be divided."""
    columns = listed("{0}", writer.columns)
    parts = [f"SELECT {columns} FROM assigned WHERE __slot = {slot.number}"]
    if slot.file:
        read = source(table, pinned, [slot.file], dict.fromkeys((*writer.columns, *keys)))
        left = f"SELECT {listed('{0}', keys)} FROM gone WHERE __file = {literal(slot.file.uri)}"
        parts.insert(0, f"SELECT {columns} FROM ({read}) t ANTI JOIN ({left}) g USING ({listed('{0}', keys)})")
    query = " UNION ALL ".join(parts)
    within = [k for k in keys if k in writer.columns]
    return f"SELECT * FROM ({query}) ORDER BY {listed('{0}', within)}" if ordered and within else query
