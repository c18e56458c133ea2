"""`copy`: rows, unchanged, into a lake table (from a read step) or into Redshift (by COPY)."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.batches import Batch
from penstock.pipeline import CopyStep

from . import load
from .context import Context
from .pins import cut_reads, is_warehouse
from .reading import files_of
from .record import StepRecord
from .rows import Writing, publish_rows


def reads_files(context: Context, step: CopyStep) -> bool:
    return any(s.id == step.copy_.from_ for s in context.pipeline.steps)


def cut(context: Context, step: CopyStep) -> Sequence[Batch]:
    """A batch when the copied table has a new snapshot."""
    return cut_reads(context, step.id, [step.copy_.from_], {})


def apply(context: Context, step: CopyStep, batch: Batch) -> StepRecord:
    """Apply one batch once."""
    copy = step.copy_
    if is_warehouse(context, copy.into):
        return load.apply(context, step, batch, load.of_files if reads_files(context, step) else load.of_table)
    writing = Writing(step.id, "copy", copy.into, copy.write, step.gate, copy.window)
    return publish_rows(context, writing, batch, lambda _: files_of(context, copy.from_, copy.into, batch))
