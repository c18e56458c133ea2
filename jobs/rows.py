"""Rows, as they come, onto a lake table: gate, quarantine, table. What `copy` and `transform` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.batches import Batch
from penstock.changes.counts import Counts
from penstock.engines.base import Session, Work
from penstock.errors import DataError
from penstock.pipeline import Gate, Write
from penstock.schema import is_hidden, literal, names, quote
from penstock.sources import OP, REASON
from penstock.tables import Pinned
from penstock.windows import Window, covers

from .context import Context
from .gate import judge, sort_rows
from .publish import publish
from .quarantine import quarantine
from .reading import Arriving
from .record import StepRecord
from .targets import Target, lake_target

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Writing:
    """What a step says of its writing."""

    step: str
    kind: str
    into: str
    write: Write
    gate: Gate | None
    window: Window | None = None


def publish_rows(context: Context, writing: Writing, batch: Batch, arriving: Callable[[Target], Arriving]) -> StepRecord:
    """Apply one batch once; raises CommitConflictError when the table or its quarantine moved meanwhile."""
    from penstock.quality.quarantine import quarantine_rows

    target = lake_target(context, writing.into)
    pinned = target.table.state
    if context.applied(pinned.ledger, writing.step) >= batch.number:
        return StepRecord(writing.step, writing.kind, "nothing to do", note=f"batch {batch.number} is there already")
    incoming = arriving(target)
    with context.engine.session(work=Work(incoming.weigh, target.table, pinned)) as session:
        rows = incoming.into(session)
        inserts, changes = _inserts(session, session.columns("rows"))
        passed, failed = sort_rows(context, writing.gate, session, inserts)
        published, kept = _published(session, target, pinned, passed)
        gates = judge(context, writing.gate, session, published, batch.number, passed=kept.applied + kept.unchanged)
        bad = quarantine_rows(context.key(writing.step), batch.number, rows.rejected, failed, changes)
        commits = quarantine(context, session, writing.into, writing.step, batch.number, bad, read=rows.read)
        if writing.write == "append":
            change = session.append(target.table, pinned, published, context.run)
        else:
            change = session.overwrite(target.table, pinned, published, context.run, _replaces(context, writing, session, target, published))
        done = publish(context, target.table, pinned, change, writing.step, batch.number)
    counts = kept + Counts(read=rows.read, filtered=rows.filtered, quarantined=bad.num_rows)
    counts.check(f"step {writing.step}, batch {batch.number}")
    return StepRecord(writing.step, writing.kind, "done", (batch.number,), counts, commits + 1, change.bytes, gates=gates, version=done.version)


def _replaces(context: Context, writing: Writing, session: Session, target: Target, rows: str) -> Callable[[tuple[object, ...]], bool] | None:
    """Which partitions go though no row comes to them: those that the window covers. None where all rows of the table go.

    Raises DataError for a row outside the window.
    """
    if writing.write == "overwrite" or writing.window is None:
        return None if writing.write == "overwrite" else lambda _: False
    kind = next(c.type for c in target.columns if c.name == writing.window.column)
    bounds = writing.window.bounds(context.loaded.parameters, kind.name)
    least, end = (f"CAST({literal(str(bound))} AS {kind.duckdb})" for bound in (bounds.least, bounds.end))
    column = quote(bounds.column)
    (found,) = session.query(f"SELECT COUNT(*) AS rows FROM {rows} WHERE COALESCE({column} < {least} OR {column} >= {end}, TRUE)").to_pylist()
    if found["rows"]:
        said = f"{bounds.column} from {bounds.least} until {bounds.end}"
        raise DataError(f"step {writing.step}: {found['rows']} rows lie outside the window {said}", hint="select the rows of the window alone, or widen it")
    ranges = bounds.ranges(target.table.partition_by)
    return lambda partition: covers(ranges, partition)


def _inserts(session: Session, columns: Sequence[str]) -> tuple[str, pa.Table | None]:
    """The rows that a table may take; of change data the inserts alone, and the other events with the reason."""
    if OP not in columns:
        return "rows", None
    session.execute(f"CREATE OR REPLACE TEMP VIEW inserts AS SELECT * FROM rows WHERE {OP} IN ('c', 'r')")
    return "inserts", session.query(f"SELECT *, 'a table without keys takes inserts alone' AS {REASON} FROM rows WHERE {OP} NOT IN ('c', 'r')")


def _published(session: Session, target: Target, pinned: Pinned, passed: str) -> tuple[str, Counts]:
    """The relation to be published, and its counts: an event that the table holds already, or that comes twice, goes into it once."""
    columns = names(pinned.columns)
    session.execute(f"CREATE OR REPLACE TEMP VIEW published AS SELECT {', '.join(map(quote, columns))} FROM {passed}")
    sequence = [c for c in columns if is_hidden(c)]
    if not sequence:
        (count,) = session.query("SELECT COUNT(*) AS rows FROM published").to_pylist()
        return "published", Counts(applied=count["rows"])
    new = session.unknown(target.table, pinned, "published", sequence)
    (count,) = session.query(f"""SELECT (SELECT COUNT(*) FROM {new}) AS new, (SELECT COUNT(*) FROM (SELECT DISTINCT * FROM published)) AS said,
      COUNT(*) AS read FROM published""").to_pylist()
    return new, Counts(applied=count["new"], unchanged=count["said"] - count["new"], duplicate=count["read"] - count["said"])
