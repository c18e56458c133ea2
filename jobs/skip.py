"""A batch committed as skipped, on each kind of target."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
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

_SKIPPED = "skipped"


def note_skipped(context: Context, step_id: str, numbers: Iterable[int]) -> None:
    """Keep beside the step's manifests that a person gave batches up."""
    for number in numbers:
        note = {"step": step_id, "batch": number, "time": str(datetime.now(UTC)), "run": context.run}
        context.state.write(f"{step_id}/{_SKIPPED}/{number:08d}.json", json.dumps(note).encode())


def skipped(context: Context, step: Any) -> frozenset[int]:
    """The batches of a step that were given up."""
    found = (file.uri for name in (step.renamed_from, step.id) if name for file in context.state.list(f"{name}/{_SKIPPED}/"))
    return frozenset(int(uri.rpartition("/")[2].removesuffix(".json")) for uri in found)


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
