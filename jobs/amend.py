"""`delete` and `update`: rows of a lake table removed or changed by a condition, where there are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.batches import Batch
from penstock.changes.counts import Counts
from penstock.engines.base import Session
from penstock.errors import DataError
from penstock.pipeline import Delete, DeleteStep, Update, UpdateStep
from penstock.tables import LakeTable, Pinned

from .context import Context
from .cut import cut_pins
from .pins import existing, pins_of_tables
from .publish import publish
from .record import StepRecord


def _said(step: DeleteStep | UpdateStep) -> Delete | Update:
    return step.delete if isinstance(step, DeleteStep) else step.update


def _matching(context: Context, said: Delete | Update, session: Session, table: LakeTable, pinned: Pinned) -> int:
    session.scan("present", table, pinned)
    (found,) = session.query(f"SELECT COUNT(*) AS rows FROM present WHERE {context.bound(said.where)}").to_pylist()
    return int(found["rows"])


def _check_values(context: Context, said: Delete | Update, session: Session, values: Mapping[str, str]) -> None:
    """Raises DataError where a column that is never NULL would become so. The table's rows are `present`."""
    for column in (c for c in context.declared(said.table).schema_columns if c.required and c.name in values):
        condition = f"({context.bound(said.where)}) AND ({values[column.name]}) IS NULL"
        (found,) = session.query(f"SELECT COUNT(*) AS rows FROM present WHERE {condition}").to_pylist()
        if found["rows"]:
            what = f"the update would set column {column.name!r} of {found['rows']} rows of {said.table} to NULL; it is {column.type}!"
            raise DataError(what, hint="leave such rows out by `where`, or give them a value (coalesce)")


def cut(context: Context, step: DeleteStep | UpdateStep) -> Sequence[Batch]:
    """A batch when the table has rows that the condition is true for."""
    said = _said(step)
    pins = pins_of_tables(context, [said.table])
    if not pins:
        return []
    table = existing(context, said.table)
    with context.engine.session() as session:
        found = _matching(context, said, session, table, table.state)
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
        rows = _matching(context, said, session, table, pinned)
        _check_values(context, said, session, values)
        change = session.amend(table, pinned, context.bound(said.where), values, context.run)
        publish(context, table, pinned, change, step.id, batch.number)
    return StepRecord(step.id, kind, "done", (batch.number,), Counts(read=rows, applied=rows), 1, change.bytes)
