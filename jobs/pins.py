"""What a step that reads tables or a warehouse would read now: the pins of its next batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from penstock.batches import Batch
from penstock.connections import RedshiftConnection
from penstock.engines.base import Input, Session
from penstock.errors import DataError
from penstock.evolution import BY_DECLARATION, read_as
from penstock.schema import is_hidden, quote
from penstock.tables import LakeTable

from .context import Context
from .cut import cut_pins


def existing(context: Context, location: str) -> LakeTable:
    """A lake table that must be there. Raises DataError naming what makes it."""
    table = context.lake_table(location)
    if table is None:
        makers = [s.id for s in context.plan.steps if location in s.writes]
        raise DataError(f"table {location} does not exist", hint=f"run the step that makes it: {', '.join(makers) or 'none does'}")
    return table


def pins_of_tables(context: Context, locations: Iterable[str]) -> dict[str, int]:
    """location -> the snapshot or version that the table has now; a table without one, or that its step is still to make, is left out.

    Raises DataError for a table that is not there and that no step makes.
    """
    made = {w for s in context.plan.steps for w in s.writes}
    versions = {at: existing(context, at).state.version for at in locations if at not in made or context.lake_table(at)}
    return {location: version for location, version in versions.items() if version is not None}


def pinned(context: Context, batch: Batch, location: str) -> Input:
    """A batch's input table at the version that the batch pinned, with the columns that the table has now."""
    table = existing(context, location)
    then, now = table.pin(batch.pins[location]), table.state.columns
    if then.columns == now:
        return Input(location, table, then)
    declared = context.pipeline.tables.get(location)
    found = read_as(then.columns, now, declared.on_schema_change if declared else BY_DECLARATION)
    return Input(location, table, then, read_as=tuple((c, found[c.name]) for c in now if not is_hidden(c.name)))


def scan_pinned(context: Context, session: Session, batch: Batch, location: str, name: str) -> None:
    """Name a batch's input rows in a session."""
    read = pinned(context, batch, location)
    assert read.table is not None
    assert read.pinned is not None
    session.scan(f"{name}_then" if read.read_as else name, read.table, read.pinned)
    if read.read_as:
        columns = ", ".join(f"CAST({quote(then) if then else 'NULL'} AS {c.type.duckdb}) AS {quote(c.name)}" for c, then in read.read_as)
        session.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT {columns} FROM {name}_then")


def pins_of_loads(context: Context, step_id: str, connection: str) -> dict[str, int]:
    """`step <id>` -> last batch applied, for each earlier step that writes on a warehouse, which itself keeps no snapshots."""
    warehouse = context.warehouse(connection)
    before = {s.id: s for s in context.plan.steps}
    loads = [i for i in before[step_id].after if any(w == connection or w.startswith(f"{connection}.") for w in before[i].writes)]
    return {f"step {i}": warehouse.applied(context.keys(i)) for i in loads}


def pin_of_text(path: Path) -> dict[str, int]:
    """The file's content as a pin: a step whose text changed has something to do."""
    return {f"file {path.name}": int(hashlib.sha256(path.read_bytes()).hexdigest()[:15], 16)}


def hashed(*parts: str) -> int:
    """What texts say as a pin."""
    return int(hashlib.sha256("\0".join(parts).encode()).hexdigest()[:15], 16)


def is_warehouse(context: Context, location: str) -> bool:
    return isinstance(context.pipeline.connections[context.table_location(location).connection], RedshiftConnection)


def cut_reads(context: Context, step_id: str, tables: Sequence[str], extra: dict[str, int]) -> Sequence[Batch]:
    """Cut a batch over lake tables; none when a table has no snapshot yet, or all are as the last batch read them."""
    pins = pins_of_tables(context, tables)
    return cut_pins(context.batches(step_id), step_id, pins | extra) if len(pins) == len(tables) else []
