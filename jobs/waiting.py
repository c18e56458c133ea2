"""States of tables that batches still need."""

from __future__ import annotations

from .context import Context
from .steps import source_of, waiting


def pinned_versions(context: Context, location: str) -> frozenset[int]:
    """The snapshots or versions of a table that batches which wait have pinned."""
    pinning = [s for s in context.pipeline.steps if source_of(context, s) == s.id and not hasattr(s, "read")]
    return frozenset(batch.pins[location] for step in pinning for batch in waiting(context, step) if location in batch.pins)
