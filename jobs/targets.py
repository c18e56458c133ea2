"""The lake tables that a writing step keeps: the table itself, its companion of remembered deletes, its quarantine."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.connectors.readers import sequence_parts
from penstock.pipeline import MergeStep, ReadStep
from penstock.quality.quarantine import QUARANTINE_COLUMNS
from penstock.schema import Columns, sequence_columns
from penstock.tables import LakeTable

from .context import Context

MEMORY, QUARANTINE = "__memory", "__quarantine"


@dataclass(frozen=True)
class Target:
    """A declared lake table, as a step writes it."""

    table: LakeTable
    columns: Columns
    keys: tuple[str, ...]


def sequence_width(context: Context, step: MergeStep) -> int:
    """How many parts the order of a merge's events has."""
    read = context.pipeline.step(step.merge.from_)
    assert isinstance(read, ReadStep)
    by = step.merge.sequence_by
    return sequence_parts(read.read) if by is None else 1 if isinstance(by, str) else len(by)


def hidden_columns(context: Context, location: str) -> Columns:
    """The sequence columns of a table that a merge keeps; none for other tables."""
    for step in context.pipeline.steps:
        if isinstance(step, MergeStep) and step.merge.into == location:
            return sequence_columns(sequence_width(context, step))
    return ()


def lake_target(context: Context, location: str) -> Target:
    """The declared table, created when it is missing. Raises DataError when it exists with other columns."""
    where, declared = context.table_location(location), context.declared(location)
    assert declared.format is not None
    columns = declared.schema_columns
    table = context.catalog(where.connection).create(
        where.namespace, where.table, declared.format, (*columns, *hidden_columns(context, location)), declared.partition_fields
    )
    return Target(table, columns, declared.keys)


def beside(context: Context, location: str, suffix: str, columns: Columns) -> LakeTable:
    """A table of Penstock's own next to a declared one, in the same format."""
    where, declared = context.table_location(location), context.declared(location)
    assert declared.format is not None
    return context.catalog(where.connection).create(where.namespace, where.table + suffix, declared.format, columns)


def memory_table(context: Context, location: str) -> LakeTable:
    """`<table>__memory`: keys and sequence of the newest delete of each key that has no row."""
    declared = context.declared(location)
    kept = tuple(c for c in declared.schema_columns if c.name in declared.keys)
    return beside(context, location, MEMORY, (*kept, *hidden_columns(context, location)))


def quarantine_table(context: Context, location: str) -> LakeTable:
    """`<table>__quarantine`: rows kept from the table, with reason and source position."""
    return beside(context, location, QUARANTINE, QUARANTINE_COLUMNS)
