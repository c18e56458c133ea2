"""`delete` and `update`: rows of a lake table removed or changed by a condition, where there are any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.batches import Batch
from penstock.changes.counts import Counts
from penstock.engines.base import Session
from penstock.engines.user_code import ALLOWED, explained
from penstock.errors import DataError
from penstock.pipeline import Delete, DeleteStep, Update, UpdateStep
from penstock.schema import Column, DataType, literal, quote
from penstock.tables import LakeTable, Pinned

from .context import Context
from .cut import cut_pins
from .pins import existing, pins_of_tables
from .publish import publish
from .record import StepRecord


def _said(step: DeleteStep | UpdateStep) -> Delete | Update:
    return step.delete if isinstance(step, DeleteStep) else step.update


def _matching(context: Context, step: DeleteStep | UpdateStep, session: Session, table: LakeTable, pinned: Pinned) -> int:
    """How many rows the condition is true for. Raises TransformError where it, or a new value, cannot be computed, and DataError where a column, or a part
    of one, that is never NULL would become so.
    """
    said = _said(step)
    values = [f"CAST({context.bound(said.set[c.name])} AS {c.type.duckdb}) AS {quote(c.name)}" for c in pinned.columns if c.name in said.set]
    promised = [p for c in (*pinned.columns, *context.declared(said.table).schema_columns) if c.name in said.set for p in _promised(c, quote(c.name))]
    nulls = {name: (kind, condition) for name, kind, condition in promised}
    # counts of the values too: so all are computed
    counts = [f"COUNT({quote(c)})" for c in said.set] + [f"COUNT(*) FILTER (WHERE {condition}) AS {quote(name)}" for name, (_, condition) in nulls.items()]
    session.scan("present", table, pinned)
    with explained(f"step {step.id}", ALLOWED):
        (found,) = session.query(f"""SELECT {", ".join(["COUNT(*) AS __rows", *counts])}
          FROM (SELECT {", ".join(values) or "TRUE"} FROM present WHERE {context.bound(said.where)}) amended""").to_pylist()
    for name, (kind, _) in nulls.items():
        if found[name]:
            what = f"the update would set column {name!r} of {found[name]} rows of {said.table} to NULL; it is {kind}!"
            raise DataError(what, hint="leave such rows out by `where`, or give them a value (coalesce)")
    return int(found["__rows"])


def _promised(column: Column, value: str, inside: str = "") -> Iterator[tuple[str, DataType, str]]:
    """Of a column and all inside it what is never NULL: its name, its type, and the condition that a value breaks this."""
    name = f"{inside}{column.name}"
    if column.required:
        yield name, column.type, f"{value} IS NULL"
    if column.type.name == "struct":
        for field in column.type.fields:
            for part, kind, broken in _promised(field, f"struct_extract({value}, {literal(field.name)})", f"{name}."):
                yield part, kind, f"{value} IS NOT NULL AND {broken}"
    elif column.type.is_nested:
        items, item = f"map_values({value})" if column.type.name == "map" else value, quote(f"__{name}")
        for part, kind, broken in _promised(column.type.fields[-1], item, f"{name}."):
            yield part, kind, f"list_contains(list_transform({items}, lambda {item}: {broken}), TRUE)"


def cut(context: Context, step: DeleteStep | UpdateStep) -> Sequence[Batch]:
    """A batch when the table has rows that the condition is true for."""
    said = _said(step)
    pins = pins_of_tables(context, [said.table])
    if not pins:
        return []
    table = existing(context, said.table)
    with context.engine.session() as session:
        found = _matching(context, step, session, table, table.state)
    return cut_pins(context.batches(step.id), step.id, pins) if found else []


def apply(context: Context, step: DeleteStep | UpdateStep, batch: Batch) -> StepRecord:
    """Apply one batch once, to the rows that are there now; raises CommitConflictError when the table moved meanwhile, DataError for NULL where none may be."""
    said, kind = _said(step), "delete" if isinstance(step, DeleteStep) else "update"
    table = existing(context, said.table)
    pinned = table.state
    if context.applied(pinned.ledger, step.id) >= batch.number:
        return StepRecord(step.id, kind, "nothing to do", note=f"batch {batch.number} is there already")
    with context.engine.session() as session:
        values = {column: context.bound(expression) for column, expression in said.set.items()}
        rows = _matching(context, step, session, table, pinned)
        change = session.amend(table, pinned, context.bound(said.where), values, context.run)
        done = publish(context, table, pinned, change, step.id, batch.number)
    return StepRecord(step.id, kind, "done", (batch.number,), Counts(read=rows, applied=rows), 1, change.bytes, version=done.version)
