"""`copy`: rows, unchanged, into a lake table (from a read step) or into Redshift (from a lake table, by COPY)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

from penstock.batches import Batch
from penstock.changes.counts import Counts
from penstock.connections import RedshiftConnection
from penstock.connectors.redshift.sql import StagedFile, manifest
from penstock.killpoints import reach
from penstock.pipeline import CopyStep
from penstock.schema import names, quote

from .context import Context
from .pins import cut_reads, pinned
from .reading import read_batch
from .record import StepRecord
from .rows import Writing, publish_rows

STAGED_ROWS = 1_000_000


def reads_files(context: Context, step: CopyStep) -> bool:
    return any(s.id == step.copy_.from_ for s in context.pipeline.steps)


def cut(context: Context, step: CopyStep) -> Sequence[Batch]:
    """A batch when the copied table has a new snapshot."""
    return cut_reads(context, step.id, [step.copy_.from_], {})


def apply(context: Context, step: CopyStep, batch: Batch) -> StepRecord:
    """Apply one batch once."""
    copy = step.copy_
    if reads_files(context, step):
        writing = Writing(step.id, "copy", copy.into, copy.write, step.gate)
        return publish_rows(context, writing, batch, lambda _: read_batch(context, copy.from_, copy.into, batch))
    return _load(context, step, batch)
