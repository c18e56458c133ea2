"""`merge`: one batch of change events onto a keyed table. Gate, quarantine, companion, table: in this order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.batches import Batch
from penstock.changes.scd1 import MergeSpec
from penstock.engines.base import Session
from penstock.killpoints import reach
from penstock.pipeline import MergeStep
from penstock.schema import names, quote

from .context import Context
from .gate import judge, sort_rows
from .publish import publish
from .quarantine import quarantine
from .reading import read_batch
from .record import StepRecord
from .targets import lake_target, memory_table, sequence_width

if TYPE_CHECKING:
    import pyarrow as pa

EVENTS, BATCH = "events", "batch"


def as_events(step: MergeStep, session: Session, rows: pa.Table) -> None:
    """Name a batch's rows as canonical events; a feed that is not change data says itself what orders and what deletes."""
    if step.merge.sequence_by is None:
        session.load(EVENTS, rows)
        return
    by = (step.merge.sequence_by,) if isinstance(step.merge.sequence_by, str) else step.merge.sequence_by
    parts = ", ".join(f"CAST({number(quote(c), rows.schema.field(c).type)} AS BIGINT) AS __sequence_{i + 1}" for i, c in enumerate(by))
    operation = f"CASE WHEN {step.merge.apply_as_deletes} THEN 'd' ELSE 'u' END" if step.merge.apply_as_deletes else "'u'"
    session.load("feed", rows)
    session.execute(f"CREATE OR REPLACE TEMP TABLE {EVENTS} AS SELECT *, {operation} AS __op, {parts} FROM feed")


def number(column: str, kind: pa.DataType) -> str:
    """A sequence column as a whole number that orders as the column does: instants in microseconds, dates in days."""
    import pyarrow.types as types

    if types.is_timestamp(kind):
        return f"epoch_us({column})"
    return f"date_diff('day', DATE '1970-01-01', {column})" if types.is_date(kind) else column


def apply(context: Context, step: MergeStep, batch: Batch) -> StepRecord:
    """Apply one batch once; raises CommitConflictError when the table, its companion or its quarantine moved meanwhile."""
    from penstock.quality.quarantine import quarantine_rows

    location = step.merge.into
    target, memory = lake_target(context, location), memory_table(context, location)
    pinned, remembered = target.table.pin(), memory.pin()
    if context.applied(pinned.ledger, step.id) >= batch.number:
        return StepRecord(step.id, "merge", "nothing to do", note=f"batch {batch.number} is there already")
    spec = MergeSpec(target.keys, tuple(n for n in names(target.columns) if n not in target.keys), sequence_width(context, step))
    rows = read_batch(context, step.merge.from_, location, batch)
    with context.engine.session() as session:
        as_events(step, session, rows.table)
        passed, failed = sort_rows(context, step.gate, session, EVENTS)
        session.execute(f"CREATE OR REPLACE TEMP VIEW {BATCH} AS SELECT * FROM {passed}")
        settled = session.settle(spec, target.table, pinned, memory, remembered)
        gates = judge(context, step.gate, session, settled.upserts, batch.number, passed=settled.counts.read)
        bad = quarantine_rows(context.key(step.id), batch.number, rows.rejected, failed)
        commits = quarantine(context, session, location, step.id, batch.number, bad)
        reminder = session.rewrite(memory, remembered, settled.remember, settled.forget, context.run)
        if reminder.add or reminder.remove:
            publish(context, memory, remembered, reminder, step.id, batch.number)
            commits += 1
        reach("after_memory")
        change = session.rewrite(target.table, pinned, settled.upserts, settled.deletes, context.run)
        publish(context, target.table, pinned, change, step.id, batch.number)
    counts = replace(settled.counts, read=rows.read, filtered=rows.filtered, quarantined=bad.num_rows)
    return StepRecord(step.id, "merge", "done", (batch.number,), counts.check(f"step {step.id}, batch {batch.number}"), commits + 1, change.bytes, gates=gates)
