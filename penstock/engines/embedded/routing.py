"""Which file each row belongs to: rows go to the file of their partition whose key range they fall in, so that tables stay clustered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.changes.facts import listed
from penstock.engines.partition import partition_value
from penstock.engines.slots import Slot, bound, place
from penstock.schema import literal, quote
from penstock.tables import DataFile, FileTable, Pinned

from .files import FILE_ROWS, Output, Writer, sorted_by, source

if TYPE_CHECKING:
    import duckdb


def incoming(connection: duckdb.DuckDBPyConnection, table: FileTable, pinned: Pinned, rows: str) -> list[tuple[object, ...]]:
    """Name the rows to be written, with the number of their partition, as `incoming`; returns the partitions by that number."""
    types = {c.name: c.type for c in pinned.columns}
    values = [partition_value(p, types[p.column]) for p in table.partition_by]
    if not values:
        if not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ? AND NOT temporary", [rows]).fetchone():
            connection.execute(f"CREATE OR REPLACE TABLE placed AS FROM {rows}")  # the cursors that write see nothing temporary
            rows = "placed"
        connection.execute(f"CREATE OR REPLACE VIEW incoming AS SELECT *, 0 AS __part FROM {rows}")
        return [()]
    named, numbers = ", ".join(f"{v} AS __p{i}" for i, v in enumerate(values)), ", ".join(f"__p{i}" for i in range(len(values)))
    connection.execute(f"""CREATE OR REPLACE TABLE parts AS SELECT CAST(row_number() OVER () - 1 AS INTEGER) AS __part, * FROM (
      SELECT {named}, COUNT(*) AS __rows FROM {rows} GROUP BY {numbers})""")
    on = " AND ".join(f"{v} IS NOT DISTINCT FROM __p{i}" for i, v in enumerate(values))
    (count,) = connection.execute("SELECT SUM(__rows) FROM parts").fetchone() or (0,)
    # in order, so that each partition's writer finds its own without reading the others; sorting many rows would cost more than that
    order = " ORDER BY __part" if (count or 0) <= FILE_ROWS else ""
    connection.execute(f"CREATE OR REPLACE TABLE placed AS SELECT r.*, __part FROM {rows} r JOIN parts ON {on}{order}")
    connection.execute("CREATE OR REPLACE VIEW incoming AS FROM placed")
    # by way of Arrow: DuckDB itself makes Python's instants only where pytz is
    found = connection.execute("SELECT * EXCLUDE (__part, __rows) FROM parts ORDER BY __part").to_arrow_table()
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


def assign(connection: duckdb.DuckDBPyConnection, partitions: Sequence[tuple[object, ...]], slots: Sequence[Slot], first_key: str, type_name: str) -> None:
    """Name the incoming rows with the slot that each goes to as `assigned`, in the order of slot and key."""
    import pyarrow as pa

    numbers = {place(partition): i for i, partition in enumerate(partitions)}
    open_slots = [s for s in slots if place(s.partition) in numbers]
    if all(numbers[place(s.partition)] == s.number for s in open_slots):  # nothing to choose: the n-th slot is the n-th partition's only one
        connection.execute("CREATE OR REPLACE VIEW assigned AS SELECT * EXCLUDE (__part), __part AS __slot FROM incoming")
        return
    connection.register("__slots", pa.table({
        "part": pa.array([numbers[place(s.partition)] for s in open_slots], pa.int32()),
        "slot": pa.array([s.number for s in open_slots], pa.int32()),
        "least": pa.array([bound(s.least(first_key)) for s in open_slots], pa.string()),
    }))  # fmt: skip
    connection.execute("CREATE OR REPLACE TABLE slots AS FROM __slots")
    connection.unregister("__slots")
    connection.execute(f"""CREATE OR REPLACE TABLE chosen_slots AS
      WITH bounded AS (SELECT part, slot, CAST(least AS {type_name}) AS least FROM slots WHERE least IS NOT NULL),
        lowest AS (SELECT part, MIN(slot) AS slot FROM slots GROUP BY part)
      SELECT i.* EXCLUDE (__part), COALESCE(b.slot, l.slot) AS __slot FROM incoming i
      ASOF LEFT JOIN bounded b ON i.__part = b.part AND i.{quote(first_key)} >= b.least
      JOIN lowest l ON i.__part = l.part ORDER BY __slot, i.{quote(first_key)}""")
    connection.execute("CREATE OR REPLACE VIEW assigned AS FROM chosen_slots")


@dataclass(frozen=True)
class FilledSlot:
    """A slot that rows come to or leave, and how many rows it has then."""

    slot: Slot
    rows: int


def filled_slots(connection: duckdb.DuckDBPyConnection, slots: Sequence[Slot], gone: Mapping[str, int]) -> list[FilledSlot]:
    """`gone`: file -> touched rows in it."""
    new = Counter(dict(connection.execute("SELECT __slot, COUNT(*) FROM assigned GROUP BY __slot").fetchall()))
    touched = [s for s in slots if new[s.number] or any(f.uri in gone for f in s.files)]
    return [FilledSlot(s, new[s.number] + sum(f.rows - gone.get(f.uri, 0) for f in s.files)) for s in touched]


def slot_output(writer: Writer, table: FileTable, pinned: Pinned, filled: FilledSlot, keys: Sequence[str]) -> Output:
    """Old rows in their order, new ones behind them; by key where the file is about to be divided, or put together from several; a table's own order first.

    The new rows are those of the relation `assigned`; of the old ones `gone` names those that go.
    """
    slot, columns = filled.slot, listed("{0}", writer.columns)
    ordered = filled.rows > FILE_ROWS or len(slot.files) > 1
    parts = [_left(writer, table, pinned, file, columns) for file in slot.files]
    parts.append(f"SELECT {columns} FROM assigned WHERE __slot = {slot.number}")
    query = " UNION ALL ".join(parts)
    within = [k for k in keys if k in writer.columns]
    order = sorted_by(table, within if ordered else ())
    return Output(slot.partition, f"SELECT * FROM ({query}){order}" if order else query, filled.rows)


def _left(writer: Writer, table: FileTable, pinned: Pinned, file: DataFile, columns: str) -> str:
    """The rows of a file that stay: found by their place in it."""
    gone = f"SELECT __row FROM gone WHERE __file = {literal(file.uri)}"
    return f"SELECT {columns} FROM ({source(writer.positions, table, pinned, [file], writer.columns)}) t ANTI JOIN ({gone}) g USING (__row)"
