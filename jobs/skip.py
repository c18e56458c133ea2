"""A batch committed as skipped, on each kind of target."""

from __future__ import annotations

from typing import Any

from penstock.batches import Batch
from penstock.pipeline import MergeStep, ReconcileStep
from penstock.tables import Change

from . import reconcile
from .context import Context
from .ledger import target_of
from .pins import is_warehouse
from .publish import publish
from .taking_back import take_back
from .targets import lake_target, merged


def skip_batch(context: Context, step: Any, batch: Batch) -> None:
    """Move the target's ledger past a batch; a run that was killed may have left some of it in the memory, which is taken back."""
    target = target_of(step)
    if isinstance(step, ReconcileStep):
        reconcile.keep(context, step, batch, {"skipped": True})
    elif target is not None and (target in context.pipeline.connections or is_warehouse(context, target)):
        context.warehouse(target.partition(".")[0]).skip(context.keys(step.id), batch.number)
    elif target is not None:
        table = (merged(context, step)[0] if isinstance(step, MergeStep) else lake_target(context, target)).table
        if isinstance(step, MergeStep):
            take_back(context, step, batch.number)
        publish(context, table, table.pin(), Change("append", summary={"penstock.skipped": str(batch.number)}), step.id, batch.number)
