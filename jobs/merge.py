"""`merge`: one batch of change events onto a keyed table. Gate, quarantine, companion, table: in this order."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.batches import Batch
from penstock.changes.counts import Counts
from penstock.changes.events import prepared
from penstock.changes.facts import MergeSpec
from penstock.changes.full_copy import beaten, current, differences
from penstock.engines.base import Session, Work
from penstock.engines.user_code import ALLOWED, explained
from penstock.errors import DataError
from penstock.killpoints import reach
from penstock.pipeline import MergeStep
from penstock.schema import quote
from penstock.sources import OP, POSITION, REASON, UNAVAILABLE
from penstock.tables import Pinned

from .context import Context
from .gate import judge, sort_rows
from .horizon import recall_marks, taken, with_mark
from .publish import publish
from .quarantine import quarantine
from .reading import files_of, unfit
from .record import StepRecord
from .targets import Target, merge_spec, merged, sequence_types

if TYPE_CHECKING:
    import pyarrow as pa

EVENTS = "events"
_U = "'u'"


def as_events(context: Context, step: MergeStep, spec: MergeSpec, session: Session, batch: int) -> pa.Table | None:
    """Name a batch's rows as canonical events; a feed that is not change data says itself what orders, what deletes, what empties.

    Returns the rows that are no such event, with reasons.
    """
    merge, source, failed = step.merge, "rows", None
    said = [quote(c) for c in (OP, *spec.keys, *spec.sequence, *spec.data, UNAVAILABLE, POSITION) if c != spec.soft_delete]
    if merge.full_copy or merge.sequence_columns:
        whens = " ".join(f"WHEN {context.bound(condition)} THEN '{op}'" for op, condition in merge.conditions.items())
        order = [f"CAST({batch} AS BIGINT)"] if merge.full_copy else [quote(c) for c in merge.sequence_columns]
        numbered = ", ".join(f"{by} AS {quote(name)}" for by, name in zip(order, spec.sequence, strict=True))
        op = f"CASE {whens} ELSE {_U} END" if whens else _U
        source = f"(SELECT *, {op} AS {OP}, CAST(NULL AS VARCHAR) AS {UNAVAILABLE}, {numbered} FROM rows)"
    with explained(f"step {step.id}", ALLOWED) if merge.conditions else nullcontext():
        if merge.conditions:
            read = context.pipeline.step(merge.from_)
            session.execute(f"CREATE OR REPLACE TEMP VIEW named AS SELECT *, {unfit(context, step, read)} AS {REASON} FROM {source} said")
            failed = session.query(f"SELECT * FROM named WHERE {REASON} <> ''")
            source = f"(SELECT * FROM named WHERE {REASON} = '')"
        session.execute(f"CREATE OR REPLACE TEMP TABLE {EVENTS} AS SELECT {', '.join(said)} FROM {source} said")
    return failed


def compared(spec: MergeSpec, session: Session, target: Target, pinned: Pinned, passed: str, *, deletes: bool) -> tuple[str, Counts, int]:
    """The changes that a full copy makes, what its rows are that make none, and how many keys it no longer has.

    Raises DataError for an empty copy of a table that has rows.
    """
    session.scan("target_rows", target.table, pinned)
    session.execute(f"CREATE OR REPLACE TEMP TABLE known AS {current(spec, 'target_rows')}")
    session.execute(f"CREATE OR REPLACE TEMP TABLE beaten AS {beaten(spec, passed)}")
    session.execute(f"CREATE OR REPLACE TEMP VIEW standing AS SELECT a.* FROM {passed} a ANTI JOIN beaten b ON a.{POSITION} = b.{POSITION}")
    (count,) = session.query(f"""SELECT (SELECT COUNT(*) FROM {EVENTS}) AS copied, (SELECT COUNT(*) FROM standing) AS standing, COUNT(*) AS known,
      (SELECT COUNT(*) FROM beaten) AS beaten, (SELECT COUNT(*) FROM beaten WHERE __copy > 1) AS again FROM known""").to_pylist()
    if count["known"] and not count["copied"]:
        hint = "deliver it again, or `penstock batch skip` it; a table is emptied by `penstock run --full-refresh`"
        raise DataError(f"the full copy of {target.table.name} is empty, and would delete all of its {count['known']} rows", hint=hint)
    session.execute(f"CREATE OR REPLACE TEMP TABLE differing AS {differences(spec, 'standing', EVENTS, 'known', deletes=deletes)}")
    (found,) = session.query(f"SELECT COUNT(*) FILTER (WHERE {OP} <> 'd') AS changed, COUNT(*) FILTER (WHERE {OP} = 'd') AS gone FROM differing").to_pylist()
    same, again = count["standing"] - found["changed"], count["again"]
    return "differing", Counts(same + count["beaten"], unchanged=same, superseded=count["beaten"] - again, duplicate=again), found["gone"]


def apply(context: Context, step: MergeStep, batch: Batch) -> StepRecord:
    """Apply one batch once; raises CommitConflictError when the table, its companion or its quarantine moved meanwhile."""
    from penstock.quality.quarantine import quarantine_rows

    location = step.merge.into
    target, memory = merged(context, step)
    pinned, remembered = target.table.state, memory.state
    if context.applied(pinned.ledger, step.id) >= batch.number:
        return StepRecord(step.id, "merge", "nothing to do", note=f"batch {batch.number} is there already")
    spec = merge_spec(context, step)
    arriving = files_of(context, step.merge.from_, location, batch)
    with context.engine.session(work=Work(arriving.weigh, target.table, pinned, whole=step.merge.full_copy)) as session:
        rows = arriving.into(session)
        unnamed = as_events(context, step, spec, session, batch.number)
        passed, failed = sort_rows(context, step.gate, session, EVENTS)
        if step.merge.retention:
            recall_marks(session, memory, remembered)
        may_go = taken(context, step.merge, spec, session, passed, target.table, pinned, sequence_types(context, step)[0])
        passed = may_go.events
        rest, gone = Counts(), 0
        if step.merge.full_copy:
            passed, rest, gone = compared(spec, session, target, pinned, passed, deletes=not rows.rejected.num_rows)
        session.execute(f"CREATE OR REPLACE TABLE batch AS {prepared(spec, passed)}")
        settled = session.settle(spec, target.table, pinned, memory, remembered)
        gates = judge(context, step.gate, session, settled.upserts, batch.number, passed=settled.counts.read + rest.read)
        bad = quarantine_rows(context.key(step.id), batch.number, rows.rejected, unnamed, failed, may_go.failed)
        commits = quarantine(context, session, location, step.id, batch.number, bad, read=rows.read)
        remember = with_mark(context, step.merge, spec, session, settled.remember) if step.merge.retention else settled.remember
        reminder = session.rewrite(memory, remembered, remember, settled.forget, context.run)
        if not reminder.is_empty:
            publish(context, memory, remembered, reminder, step.id, batch.number)
            commits += 1
        reach("after_memory")
        change = session.rewrite(target.table, pinned, settled.upserts, settled.deletes, context.run)
        done = publish(context, target.table, pinned, change, step.id, batch.number)
    counts = settled.counts + rest + Counts(filtered=rows.filtered, quarantined=bad.num_rows)
    # a full copy says besides its rows which keys it no longer has: the only events that no reader counts
    counts = replace(counts, read=rows.read + gone).check(f"step {step.id}, batch {batch.number}")
    return StepRecord(step.id, "merge", "done", (batch.number,), counts, commits + 1, change.bytes, gates=gates, version=done.version)
