"""What a batch of a reading step holds, as typed rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from penstock.batches import Batch
from penstock.connectors.readers import Files, ReadSpec
from penstock.engines.base import Arrived, Session
from penstock.pipeline import MergeStep, ReadStep
from penstock.schema import Column, Columns, literal, quote
from penstock.sources import OP, lacks

from .context import Context
from .targets import merge_into


def columns_of(context: Context, step: ReadStep, location: str) -> Columns:
    """The columns a step reads: its own when declared, else those of the table its rows go into; never NULL where the table's are not."""
    if step.read.columns is None:
        merge = merge_into(context, location)
        mark = merge.merge.soft_delete if merge else None
        return tuple(c for c in context.declared(location).schema_columns if c.name != mark)
    needed = {c.name for c in context.declared(location).schema_columns if c.required}
    own = (Column.parse(name, text) for name, text in step.read.columns.items())
    return tuple(replace(c, required=c.required or c.name in needed) for c in own)


def unfit(context: Context, step: MergeStep, read: ReadStep) -> str:
    """SQL for the reason against a row that says itself what it is, '' where there is none: a truncate needs only what orders it, a delete also its key."""
    sequence, keys = step.merge.sequence_columns, context.declared(step.merge.into).keys
    whens = ""
    for column in (c for c in columns_of(context, read, step.merge.into) if c.required):
        lacking = "" if column.name in sequence else f" AND {OP} <> 't'" if column.name in keys else f" AND {OP} = 'u'"
        whens += f" WHEN {quote(column.name)} IS NULL{lacking} THEN {literal(lacks(column))}"
    return f"CASE{whens} ELSE '' END"


@dataclass(frozen=True)
class Arriving:
    """What a batch brings: `weigh` says about how many bytes, or of how many it is made; `into` names it `rows` in a session."""

    weigh: Callable[[], int]
    into: Callable[[Session], Arrived]


def files_of(context: Context, read_id: str, location: str, batch: Batch) -> Arriving:
    """A batch's files as the manifest names them; `into` raises SourceError or SourceChangedError when they are no longer that."""
    step = context.pipeline.step(read_id)
    columns, merge = columns_of(context, step, location), merge_into(context, location)
    if merge and merge.merge.conditions:  # what an event is, and so what it may lack, is known when it was read
        columns = tuple(replace(c, required=False) for c in columns)
    files = Files(context.store(step.read.from_), batch.files, ReadSpec.of(step.read, columns, context.declared(location).keys))
    return Arriving(lambda: files.bytes, lambda session: session.read("rows", files))
