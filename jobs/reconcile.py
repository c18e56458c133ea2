"""`reconcile`: a lake table and a Redshift table (or two of a kind) compared by key, by value, at the positions that the batch pinned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from penstock.batches import Batch
from penstock.changes.counts import Counts
from penstock.engines.base import Session
from penstock.errors import DataError
from penstock.pipeline import ReconcileStep
from penstock.schema import Columns, names, quote

from .context import Context
from .cut import cut_pins
from .pins import is_warehouse, pins_of_loads, pins_of_tables, scan_pinned
from .record import StepRecord


def checked(context: Context, step: ReconcileStep) -> int:
    """The last batch whose comparison was kept; a comparison that found a difference is not, and is made again."""
    return len(list(context.state.list(f"{step.id}/results/")))


def keep(context: Context, step: ReconcileStep, batch: Batch, result: Mapping[str, object]) -> None:
    context.state.write(f"{step.id}/results/{batch.number:08d}.json", json.dumps(result).encode())


def cut(context: Context, step: ReconcileStep) -> Sequence[Batch]:
    """A batch when a side has a new snapshot, or a load into it was made."""
    pins: dict[str, int] = {}
    for side in (step.reconcile.left, step.reconcile.right):
        if is_warehouse(context, side):
            pins |= pins_of_loads(context, step.id, context.table_location(side).connection)
        elif found := pins_of_tables(context, [side]):
            pins |= found
        else:
            return []
    return cut_pins(context.batches(step.id), step.id, pins)


def _named(context: Context, session: Session, batch: Batch, name: str, location: str, columns: Columns) -> None:
    """Name one side's rows as a relation of the session."""
    if is_warehouse(context, location):
        where = context.table_location(location)
        listed = ", ".join(map(quote, names(columns)))
        rows = context.warehouse(where.connection).query(f"SELECT {listed} FROM {quote(where.namespace)}.{quote(where.table)}")
        session.load(name, rows)
    else:
        scan_pinned(context, session, batch, location, name)


def apply(context: Context, step: ReconcileStep, batch: Batch) -> StepRecord:
    """Compare once. Raises DataError when the sides differ, after writing the differing rows to the state store."""
    from penstock.quality.reconcile import compare

    ask = step.reconcile
    left, right = context.declared(ask.left), context.declared(ask.right)
    keys = ask.keys or left.keys or right.keys
    columns = tuple(c for c in left.schema_columns if c.name in right.columns and (not ask.columns or c.name in {*ask.columns, *keys}))
    with context.engine.session() as session:
        _named(context, session, batch, "left_side", ask.left, columns)
        _named(context, session, batch, "right_side", ask.right, columns)
        found = compare(session, "left_side", "right_side", keys, tuple(n for n in names(columns) if n not in keys))
    if not found.equal:
        key = f"{step.id}/differences/{batch.number:08d}.json"
        context.state.write(key, json.dumps(found.sample, default=str, indent=1).encode())
        raise DataError(
            f"{ask.left} and {ask.right} differ: {found.matched} rows equal, {found.different} with other values, "
            f"{found.only_left} only left, {found.only_right} only right, {found.duplicates} under a key that is there twice",
            hint=f"the rows are in {context.state.root}{key}; correct the side that is wrong and run again",
        )
    keep(context, step, batch, {"matched": found.matched})
    return StepRecord(step.id, "reconcile", "done", (batch.number,), Counts(read=found.matched, unchanged=found.matched), note=f"{found.matched:,} rows equal")
