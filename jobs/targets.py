"""The lake tables that a writing step keeps: the table itself, its companion of remembered events, its quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from penstock.changes.facts import MergeSpec, memory_columns
from penstock.connectors.readers import sequence_parts
from penstock.errors import DataError, LedgerError
from penstock.evolution import OnSchemaChange, renames
from penstock.locations import MEMORY as MEMORY
from penstock.locations import QUARANTINE as QUARANTINE
from penstock.maintenance import duration
from penstock.pipeline import CopyStep, MergeStep, ReadStep, Table
from penstock.quality.quarantine import QUARANTINE_COLUMNS
from penstock.schema import BIGINT, Column, Columns, DataType, interval_columns, literal, names, sequence_columns
from penstock.sources import UNAVAILABLE
from penstock.tables import Design, LakeTable, PartitionField, table_format

from .appended import leave_out_appended
from .context import Context
from .ledger import lake_ledger
from .publish import publish
from .reshape import reshaped


@dataclass(frozen=True)
class Target:
    """A declared lake table, as a step writes it."""

    table: LakeTable
    columns: Columns
    keys: tuple[str, ...]


def merge_into(context: Context, location: str) -> MergeStep | None:
    """The step that merges into a table."""
    return next((s for s in context.pipeline.steps if isinstance(s, MergeStep) and s.merge.into == location), None)


def events_into(context: Context, location: str) -> ReadStep | None:
    """The change feed of which a table without keys takes the inserts."""
    copied = {s.copy_.from_ for s in context.pipeline.steps if isinstance(s, CopyStep) and s.copy_.into == location}
    return next((s for s in context.pipeline.steps if isinstance(s, ReadStep) and s.id in copied and sequence_parts(s.read)), None)


def sequence_types(context: Context, step: MergeStep) -> tuple[DataType, ...]:
    """The types of the numbers, or of the user's own columns, that order a merge's events."""
    read = context.pipeline.step(step.merge.from_)
    assert isinstance(read, ReadStep)
    if step.merge.full_copy:
        return (BIGINT,)
    if not step.merge.sequence_columns:
        return (BIGINT,) * sequence_parts(read.read)
    declared = read.read.columns or context.declared(step.merge.into).columns
    return tuple(Column.parse(c, declared[c]).type for c in step.merge.sequence_columns)


def hidden_columns(context: Context, location: str) -> Columns:
    """What a table keeps beside the declared columns: an event's sequence, or a version's two ends; none where no events come."""
    step, feed = merge_into(context, location), events_into(context, location)
    if step is None:
        return sequence_columns((BIGINT,) * sequence_parts(feed.read)) if feed else ()
    types = sequence_types(context, step)
    return interval_columns(types) if step.merge.stored_as_scd_type == 2 else sequence_columns(types)


def merge_spec(context: Context, step: MergeStep) -> MergeSpec:
    """What the rules need to know of a merge's table."""
    merge, declared = step.merge, context.declared(step.merge.into)
    data = sorted((c for c in declared.columns if c not in declared.keys), key=lambda c: c != merge.soft_delete)
    return MergeSpec(
        declared.keys,
        tuple(data),
        len(sequence_types(context, step)),
        history=merge.stored_as_scd_type == 2,
        tracked=merge.tracked(data),
        soft_delete=merge.soft_delete,
        optional=frozenset(merge.optional(data)) - {merge.soft_delete or ""},
        key_changes=not (merge.full_copy or merge.sequence_columns),
    )


def lake_target(context: Context, location: str) -> Target:
    """The declared table, created when it is missing. Raises DataError when it exists with other columns, or as some declared reader cannot read it."""
    where, declared, stated = context.table_location(location), context.declared(location), declaration(context, location)
    able = table_format(stated[0])
    design = replace(_design(declared), sort_by=declared.sort_by, lists_files=able.needs_lists(declared.readers))
    table = context.catalog(where.connection).create(where.namespace, where.table, *stated, design, partial(reshaped, context))
    if table.asks_for_position_deletes and declared.readers and (blind := able.without_position_deletes(declared.readers)):
        hint = f"make it anew with `penstock run --full-refresh`, have Spark drop that feature of the table, or take {blind[0]} off its readers"
        raise DataError(f"table {location} was made with {able.deletes}, which its reader {', '.join(blind)} does not know, and refuses", hint=hint)
    return Target(table, declared.schema_columns, declared.keys)


def declaration(context: Context, location: str) -> tuple[str, Columns, Sequence[PartitionField], OnSchemaChange]:
    """Of a lake table: format, columns, those of Penstock's own among them, partitions, and what becomes of one that is there with other columns."""
    declared = context.declared(location)
    assert declared.format is not None
    return declared.format, (*declared.schema_columns, *hidden_columns(context, location)), declared.partition_fields, declared.on_schema_change


def beside(context: Context, location: str, suffix: str, columns: Columns) -> LakeTable:
    """A table of Penstock's own next to a declared one, in the same format."""
    where, declared = context.table_location(location), context.declared(location)
    assert declared.format is not None
    return context.catalog(where.connection).create(
        where.namespace, where.table + suffix, declared.format, columns, (), declared.on_schema_change, _design(declared), partial(reshaped, context)
    )


def _design(declared: Table) -> Design:
    """That of a table, and of those beside it, whose rows lie in no order of their own."""
    assert declared.format is not None
    position_deletes = not table_format(declared.format).without_position_deletes(declared.readers)
    return Design(position_deletes=position_deletes, keeps=duration(declared.maintain.keep_snapshots))


def merged(context: Context, step: MergeStep) -> tuple[Target, LakeTable]:
    """A merge's table and its memory, held against each other before a column of either changes. Raises as `lake_target` and `memory_table` do."""
    held = _checked_memory(context, step)
    return lake_target(context, step.merge.into), _memory(context, step, held)


def memory_table(context: Context, step: MergeStep) -> LakeTable:
    """`<table>__memory`: events that the table itself cannot say.

    Raises DataError when the table was kept by other keys, which these do not fit, LedgerError when the memory of a table that has batches is gone.
    """
    return _memory(context, step, _checked_memory(context, step))


def _checked_memory(context: Context, step: MergeStep) -> LakeTable | None:
    into, spec, memory = step.merge.into, merge_spec(context, step), context.lake_table(step.merge.into + MEMORY)
    if memory is None:
        if context.applied(lake_ledger(context, into), step.id):
            hint = f"bring it back, or make {into} anew from its sources with `penstock run --full-refresh`"
            raise LedgerError(f"{into}{MEMORY} is gone: the deletes that it remembered could rise again", hint=hint)
        return None
    held = names(memory.state.columns)
    renamed = dict(renames(held, context.declared(into).on_schema_change))
    keys = tuple(renamed.get(c, c) for c in held[1 : held.index(spec.sequence[0])])
    if keys != spec.keys:
        hint = "declare the keys that it has, or make it anew with `penstock run --full-refresh`"
        raise DataError(f"table {into} is kept by the keys ({', '.join(keys)}) but ({', '.join(spec.keys)}) are declared", hint=hint)
    return memory


def _memory(context: Context, step: MergeStep, held: LakeTable | None) -> LakeTable:
    spec, known = merge_spec(context, step), (*context.declared(step.merge.into).schema_columns, *sequence_columns(sequence_types(context, step)))
    if held:
        _rename_in_events(context, step, held)
        leave_out_appended(context, step, spec, held)
    return beside(context, step.merge.into, MEMORY, memory_columns(spec, known))


def _rename_in_events(context: Context, step: MergeStep, memory: LakeTable) -> None:
    """Events say which values they leave out by the names of columns: those change first, so that a crash before the columns' own change does no harm."""
    for old, new in renames(names(memory.state.columns), context.declared(step.merge.into).on_schema_change):
        pinned = memory.pin()
        said, says = (f"chr(31) || {literal(name)} || chr(31)" for name in (old, new))
        with context.engine.session() as session:
            values = {UNAVAILABLE: f"replace({UNAVAILABLE}, {said}, {says})"}
            change = session.amend(memory, pinned, f"contains({UNAVAILABLE}, {said})", values, context.run)
            if not change.is_empty:
                publish(context, memory, pinned, change, step.id, context.applied(pinned.ledger, step.id))


def quarantine_table(context: Context, location: str) -> LakeTable:
    """`<table>__quarantine`: rows kept from the table, with reason and source position."""
    return beside(context, location, QUARANTINE, QUARANTINE_COLUMNS)
