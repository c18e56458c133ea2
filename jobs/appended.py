"""What is done to a merge's memory before it gets a column, whose NULL would pass for a value."""

from __future__ import annotations

from dataclasses import replace

from penstock.changes.appended import PARTIAL, leaving_out, standing, waits
from penstock.changes.facts import MergeSpec
from penstock.evolution import former_names
from penstock.pipeline import MergeStep
from penstock.schema import Columns, names
from penstock.tables import LakeTable

from .context import Context
from .publish import publish


def leave_out_appended(context: Context, step: MergeStep, spec: MergeSpec, memory: LakeTable) -> None:
    """Events that wait for a row leave out the columns that the memory is about to get; done again after a crash, it does no harm."""
    before = _former(context, step, memory.state.columns)
    appended = [c for c in spec.data if before.get(c, c) not in names(memory.state.columns)]
    table = context.lake_table(step.merge.into) if appended else None
    if table is None:
        return
    pinned, rows = memory.pin(), table.state
    with context.engine.session() as session:
        session.scan("memory_rows", memory, pinned)
        (found,) = session.query(f"SELECT COUNT(*) AS partial FROM memory_rows WHERE {PARTIAL}").to_pylist()
        if not found["partial"]:
            return
        session.scan("table_rows", table, rows)
        session.execute(f"CREATE OR REPLACE TABLE standing AS {standing(_named(spec, _former(context, step, rows.columns)), 'table_rows')}")
        change = session.amend(memory, pinned, waits(_named(spec, before)), leaving_out(appended), context.run)
        if not change.is_empty:
            publish(context, memory, pinned, change, step.id, context.applied(pinned.ledger, step.id))


def _former(context: Context, step: MergeStep, held: Columns) -> dict[str, str]:
    """Columns that are yet to be renamed: the names that they have."""
    return former_names(names(held), context.declared(step.merge.into).on_schema_change)


def _named(spec: MergeSpec, before: dict[str, str]) -> MergeSpec:
    return replace(spec, keys=tuple(before.get(c, c) for c in spec.keys))
