"""What a batch of a reading step holds, as typed rows."""

from __future__ import annotations

from penstock.batches import Batch
from penstock.connectors.readers import ReadSpec, read_rows
from penstock.pipeline import ReadStep
from penstock.schema import Column, Columns
from penstock.sources import Rows

from .context import Context
from .targets import merge_into


def columns_of(context: Context, step: ReadStep, location: str) -> Columns:
    """The columns a step reads: its own when declared, else those of the table its rows go into."""
    if step.read.columns is None:
        merge = merge_into(context, location)
        mark = merge.merge.soft_delete if merge else None
        return tuple(c for c in context.declared(location).schema_columns if c.name != mark)
    return tuple(Column.parse(name, text) for name, text in step.read.columns.items())


def read_batch(context: Context, read_id: str, location: str, batch: Batch) -> Rows:
    """Read a batch's files as the manifest names them; raises SourceError or SourceChangedError when they are no longer that."""
    step = context.pipeline.step(read_id)
    columns = columns_of(context, step, location)
    return read_rows(context.store(step.read.from_), batch.files, ReadSpec.of(step.read, columns, context.declared(location).keys))
