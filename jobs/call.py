"""`call`: a stored procedure, its ledger entry claimed in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.batches import Batch
from penstock.pipeline import CallStep

from .context import Context
from .cut import cut_pins
from .pins import pin_of_text, pins_of_loads
from .record import StepRecord


def cut(context: Context, step: CallStep) -> Sequence[Batch]:
    """A batch when an earlier step wrote to the warehouse, or the definition changed."""
    pins = pins_of_loads(context, step.id, step.call.on)
    if step.call.definition:
        pins |= pin_of_text(context.loaded.folder / step.call.definition)
    return cut_pins(context.batches(step.id), step.id, pins)


def apply(context: Context, step: CallStep, batch: Batch) -> StepRecord:
    """Define what the procedure needs, then claim the ledger and call it in one transaction."""
    warehouse = context.warehouse(step.call.on)
    if step.call.definition:
        warehouse.define((context.loaded.folder / step.call.definition).read_text())
    call = step.call
    given = warehouse.call(context.keys(step.id), batch.number, call.procedure, call.arguments, together=not call.idempotent)
    note = f"{call.procedure} gave {', '.join(f'{k}={v}' for k, v in given.items())}" if given else ""
    return StepRecord(step.id, "call", "done", (batch.number,), commits=1, note=note)
