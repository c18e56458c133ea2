"""`sql`: a script of statements in Redshift, its ledger entry claimed in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.batches import Batch
from penstock.connectors.redshift.sql import bound
from penstock.pipeline import SqlStep
from penstock.scripts import statements

from .context import Context
from .cut import cut_pins
from .pins import pin_of_text, pins_of_loads
from .record import StepRecord


def cut(context: Context, step: SqlStep) -> Sequence[Batch]:
    """A batch when an earlier step wrote to the warehouse, or the script changed."""
    pins = pins_of_loads(context, step.id, step.sql.on) | pin_of_text(context.loaded.folder / step.sql.file)
    return cut_pins(context.batches(step.id), step.id, pins)


def apply(context: Context, step: SqlStep, batch: Batch) -> StepRecord:
    """Run the statements and claim the ledger; the record says what each of them took."""
    text = (context.loaded.folder / step.sql.file).read_text()
    script = [bound(s, context.loaded.parameters) for s in statements(text)]
    ran = context.warehouse(step.sql.on).script(context.keys(step.id), batch.number, script, together=not step.sql.idempotent)
    shown = "; ".join(f"{i}. {p.seconds:.3f} s{f', {p.rows} rows' if p.rows >= 0 else ''}" for i, p in enumerate(ran, 1))
    commits = len(script) + 1 if step.sql.idempotent else 1
    return StepRecord(step.id, "sql", "done", (batch.number,), commits=commits, note=f"{len(script)} statements: {shown}")
