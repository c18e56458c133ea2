"""Rows, as they come, onto a lake table: gate, quarantine, table. What `copy` and `transform` share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from penstock.batches import Batch
from penstock.changes.counts import Counts
from penstock.pipeline import Gate, Write
from penstock.schema import names, quote
from penstock.sources import Rows

from .context import Context
from .gate import judge, sort_rows
from .publish import publish
from .quarantine import quarantine
from .record import StepRecord
from .targets import Target, lake_target


@dataclass(frozen=True)
class Writing:
    """What a step says of its writing."""

    step: str
    kind: str
    into: str
    write: Write
    gate: Gate | None


def publish_rows(context: Context, writing: Writing, batch: Batch, read: Callable[[Target], Rows]) -> StepRecord:
    """Apply one batch once; raises CommitConflictError when the table or its quarantine moved meanwhile."""
    from penstock.quality.quarantine import quarantine_rows

    target = lake_target(context, writing.into)
    pinned = target.table.pin()
    if context.applied(pinned.ledger, writing.step) >= batch.number:
        return StepRecord(writing.step, writing.kind, "nothing to do", note=f"batch {batch.number} is there already")
    rows = read(target)
    with context.engine.session() as session:
        session.load("rows", rows.table)
        passed, failed = sort_rows(context, writing.gate, session, "rows")
        session.execute(f"CREATE OR REPLACE TEMP VIEW published AS SELECT {', '.join(map(quote, names(target.columns)))} FROM {passed}")
        kept = rows.table.num_rows - (failed.num_rows if failed is not None else 0)
        gates = judge(context, writing.gate, session, "published", batch.number, passed=kept)
        bad = quarantine_rows(context.key(writing.step), batch.number, rows.rejected, failed)
        commits = quarantine(context, session, writing.into, writing.step, batch.number, bad)
        if writing.write == "append":
            change = session.append(target.table, pinned, "published", context.run)
        else:
            change = session.overwrite(target.table, pinned, "published", context.run, partitions_only=writing.write == "overwrite_partitions")
        publish(context, target.table, pinned, change, writing.step, batch.number)
    counts = Counts(read=rows.read, applied=kept, filtered=rows.filtered, quarantined=bad.num_rows).check(f"step {writing.step}, batch {batch.number}")
    return StepRecord(writing.step, writing.kind, "done", (batch.number,), counts, commits + 1, change.bytes, gates=gates)
