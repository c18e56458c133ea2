"""The kinds of step: how each cuts its batches, where its ledger lies, how it applies a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.batches import Batch
from penstock.pipeline import CopyStep, MergeStep, ReadStep

from . import amend, call, copy, cut, merge, reconcile, transform, unload
from .context import Context
from .ledger import applied_by
from .record import StepRecord


@dataclass(frozen=True)
class Job:
    """One kind of step. `cut` returns the batches that it made just now; `apply` does one batch."""

    cut: Callable[[Context, Any], Sequence[Batch]]
    apply: Callable[[Context, Any, Batch], StepRecord]


def _from_read_step(context: Context, step: Any) -> Sequence[Batch]:
    """Such a step's batches are those of the step that it reads, cut there."""
    del context, step
    return []


def _cut_copy(context: Context, step: CopyStep) -> Sequence[Batch]:
    return [] if copy.reads_files(context, step) else copy.cut(context, step)


def _nothing(context: Context, step: ReadStep, batch: Batch) -> StepRecord:
    del context
    return StepRecord(step.id, "read", "done", (batch.number,))


JOBS: Mapping[str, Job] = {
    "read": Job(cut.cut_files, _nothing),
    "merge": Job(_from_read_step, merge.apply),
    "transform": Job(transform.cut, transform.apply),
    "copy": Job(_cut_copy, copy.apply),
    "delete": Job(amend.cut, amend.apply),
    "update": Job(amend.cut, amend.apply),
    "call": Job(call.cut, call.apply),
    "unload": Job(unload.cut, unload.apply),
    "reconcile": Job(reconcile.cut, reconcile.apply),
}


def source_of(context: Context, step: Any) -> str:
    """The step whose manifests a step applies: the read step it reads, or itself."""
    if isinstance(step, MergeStep):
        return step.merge.from_
    if isinstance(step, CopyStep) and copy.reads_files(context, step):
        return step.copy_.from_
    return str(step.id)


def waiting(context: Context, step: Any) -> Sequence[Batch]:
    """The batches that a step's target lacks, in order."""
    return context.batches(source_of(context, step)).read(after=applied_by(context, step))
