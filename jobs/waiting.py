"""Batches that wait: whose manifests a step applies, and the states of tables that they still need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.batches import Batch
from penstock.errors import ConnectionFailedError, WarehouseError
from penstock.pipeline import CopyStep, MergeStep

from .context import Context
from .copy import reads_files
from .ledger import applied_by, lake_ledger, rollback_begun
from .targets import MEMORY


def source_of(context: Context, step: Any) -> str:
    """The step whose manifests a step applies: the read step it reads, or itself."""
    if isinstance(step, MergeStep):
        return step.merge.from_
    if isinstance(step, CopyStep) and reads_files(context, step):
        return step.copy_.from_
    return str(step.id)


def waiting(context: Context, step: Any) -> Sequence[Batch]:
    """The batches that a step's target lacks, in order."""
    return context.batches(source_of(context, step)).read(after=applied_by(context, step))


def pinned_versions(context: Context, location: str) -> frozenset[int]:
    """The snapshots or versions of a table that batches which wait have pinned."""
    pinning = [s for s in context.pipeline.steps if source_of(context, s) == s.id and not hasattr(s, "read")]
    return frozenset(batch.pins[location] for step in pinning for batch in _may_wait(context, step) if location in batch.pins)


def _may_wait(context: Context, step: Any) -> Sequence[Batch]:
    """The batches that a step's target lacks, or may lack: of a warehouse that does not say, all."""
    try:
        return waiting(context, step)
    except (ConnectionFailedError, WarehouseError):
        return context.batches(step.id).read(after=0)


def may_go_back(context: Context, location: str) -> bool:
    """True where former states of a table are needed, whatever their age: while a rollback is not done, and by a memory that is ahead of its table."""
    if rollback_begun(context):
        return True
    if (table := location.removesuffix(MEMORY)) == location:
        return False
    held = lake_ledger(context, table)
    return any(number > held.get(key, 0) for key, number in lake_ledger(context, location).items())
