"""`merge`: one batch of change events onto a keyed table. Gate, quarantine, companion, table: in this order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.batches import Batch
from penstock.changes.events import prepared
from penstock.changes.facts import MergeSpec
from penstock.engines.base import Session
from penstock.killpoints import reach
from penstock.pipeline import MergeStep
from penstock.schema import quote
from penstock.sources import OP, POSITION, UNAVAILABLE

from .context import Context
from .gate import judge, sort_rows
from .publish import publish
from .quarantine import quarantine
from .reading import read_batch
from .record import StepRecord
from .targets import lake_target, memory_table, merge_spec

if TYPE_CHECKING:
    import pyarrow as pa

EVENTS = "events"


def as_events(step: MergeStep, spec: MergeSpec, session: Session, rows: pa.Table) -> None:
    """Name a batch's rows as canonical events; a feed that is not change data says itself what orders, what deletes, what empties."""
    merge = step.merge
    said = [quote(c) for c in (*spec.keys, *spec.data) if c != spec.soft_delete]
    if merge.sequence_columns:
        whens = " ".join(f"WHEN {on} THEN '{op}'" for op, on in {"t": merge.apply_as_truncates, "d": merge.apply_as_deletes}.items() if on)
        said += [f"CASE {whens} ELSE 'u' END AS {OP}" if whens else f"'u' AS {OP}", f"CAST(NULL AS VARCHAR) AS {UNAVAILABLE}"]
        said += [f"{quote(c)} AS {quote(name)}" for c, name in zip(merge.sequence_columns, spec.sequence, strict=True)]
    else:
        said += [OP, UNAVAILABLE, *map(quote, spec.sequence)]
    session.load("rows", rows)
    session.execute(f"CREATE OR REPLACE TEMP TABLE {EVENTS} AS SELECT {', '.join((*said, POSITION))} FROM rows")


def apply(context: Context, step: MergeStep, batch: Batch) -> StepRecord:
    """Apply one batch once; raises CommitConflictError when the table, its companion or its quarantine moved meanwhile."""
    from penstock.quality.quarantine import quarantine_rows

    location = step.merge.into
    target, memory = lake_target(context, location), memory_table(context, step)
    pinned, remembered = target.table.pin(), memory.pin()
    if context.applied(pinned.ledger, step.id) >= batch.number:
        return StepRecord(step.id, "merge", "nothing to do", note=f"batch {batch.number} is there already")
    spec = merge_spec(context, step)
    rows = read_batch(context, step.merge.from_, location, batch)
    with context.engine.session() as session:
        as_events(step, spec, session, rows.table)
        passed, failed = sort_rows(context, step.gate, session, EVENTS)
        session.execute(f"CREATE OR REPLACE TEMP TABLE batch AS {prepared(spec, passed)}")
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
    quarantined = settled.counts.quarantined + bad.num_rows
    counts = replace(settled.counts, read=rows.read, filtered=rows.filtered, quarantined=quarantined)
    return StepRecord(step.id, "merge", "done", (batch.number,), counts.check(f"step {step.id}, batch {batch.number}"), commits + 1, change.bytes, gates=gates)
