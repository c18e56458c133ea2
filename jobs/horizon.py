"""A merge's bounds: events too late, too far ahead, or reaching what others wrote are kept aside; the memory lets go of what no event can need any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.changes.facts import MergeSpec
from penstock.changes.horizon import MARK, forgotten, horizon, is_behind, is_due, marked
from penstock.engines.base import Session
from penstock.maintenance import duration
from penstock.pipeline import Merge, MergeStep
from penstock.schema import DataType, literal, names, quote
from penstock.sources import OP, REASON, UNAVAILABLE
from penstock.tables import LakeTable, Pinned

from .adopt import OLDEST
from .context import Context
from .ledger import others_of
from .publish import publish
from .targets import MEMORY, merge_spec

if TYPE_CHECKING:
    import pyarrow as pa

MARKS = "marks"


@dataclass(frozen=True)
class Taken:
    """The relation of the events that may go on, and the others, with reasons."""

    events: str
    failed: pa.Table | None = None


def taken(context: Context, merge: Merge, spec: MergeSpec, session: Session, events: str, table: LakeTable, pinned: Pinned, first: DataType) -> Taken:
    """Hold the events against the horizon, which the relation MARKS tells, against `max_ahead`, and against what other pipelines wrote."""
    conditions = {}
    if merge.retention and not context.backfill:
        session.execute(f"CREATE OR REPLACE TEMP VIEW horizon AS {horizon(spec, MARKS, context.now, duration(merge.retention))}")
        conditions["behind the horizon of the retention"] = is_behind(spec, "horizon")
    if greatest := _greatest(context, merge, spec, table, pinned, first):
        conditions["a sequence too far ahead (max_ahead)"] = f"e.{spec.sequence[0]} > {greatest}"
    if context.declared(merge.into).shared:
        conditions["a truncate would empty what other pipelines wrote"] = f"e.{OP} = 't'"
    if not conditions:
        return Taken(events)
    whens = " ".join(f"WHEN {condition} THEN {literal(reason)}" for reason, condition in conditions.items())
    session.execute(f"CREATE OR REPLACE TEMP TABLE examined AS SELECT e.*, CASE {whens} ELSE '' END AS {REASON} FROM {events} e")
    session.execute(f"CREATE OR REPLACE TEMP VIEW taken AS SELECT {', '.join(map(quote, session.columns(events)))} FROM examined WHERE {REASON} = ''")
    return Taken("taken", session.query(f"SELECT * FROM examined WHERE {REASON} <> ''"))


def _greatest(context: Context, merge: Merge, spec: MergeSpec, table: LakeTable, pinned: Pinned, first: DataType) -> str | None:
    """SQL for the greatest first part of a sequence that is believed; None where there is no bound, or nothing to compare a number with.

    What was adopted, and the rows of a log's snapshot, say nothing of where the log is.
    """
    if isinstance(merge.max_ahead, str):
        last = context.now + duration(merge.max_ahead)
        said = last.date() if first.name == "date" else last if first.name == "timestamp" else last.replace(tzinfo=None)
        return f"CAST({literal(said.isoformat())} AS {first.duckdb})"
    if merge.max_ahead is None:
        return None
    before_all = int(OLDEST[first.name]) if merge.sequence_columns else 0
    known = max((int(str(found)) for f in table.files(pinned) if (found := f.upper.get(spec.hidden[0])) is not None), default=before_all)
    return str(known + merge.max_ahead) if known > before_all else None


def recall_marks(session: Session, memory: LakeTable, remembered: Pinned) -> None:
    session.scan("memory_rows", memory, remembered)
    session.execute(f"CREATE OR REPLACE TEMP TABLE {MARKS} AS SELECT * FROM memory_rows WHERE {OP} = '{MARK}'")


def with_mark(context: Context, merge: Merge, spec: MergeSpec, session: Session, remember: str) -> str:
    """What is to be remembered, with a mark where one is due."""
    (last,) = session.query(f"SELECT MAX({UNAVAILABLE}) AS at FROM {MARKS}").to_pylist()
    if not merge.retention or not is_due(last["at"], context.now, duration(merge.retention)):
        return remember
    session.execute(f"CREATE OR REPLACE TABLE to_mark AS {marked(spec, remember, 'batch', MARKS, context.now)}")
    return "to_mark"


def forget(context: Context, step: MergeStep) -> int:
    """Let the memory go of the keys of which nothing lies before the horizon; returns how many. A history's memory stays whole, and one of several pipelines,
    whose sequences are not those of this horizon.

    Both tables are taken as they are: what is declared anew is for a run to bring about, and where that is the keys, nothing goes before it did. Raises
    CommitConflictError when a writer was quicker.
    """
    spec, merge = merge_spec(context, step), step.merge
    if not merge.retention or spec.history:
        return 0
    table, memory = context.lake_table(merge.into), context.lake_table(merge.into + MEMORY)
    if table is None or memory is None:
        return 0
    pinned, remembered = table.state, memory.state
    if others_of(context, pinned.ledger) or others_of(context, remembered.ledger):
        return 0
    known = (*spec.keys, *spec.sequence)
    if names(remembered.columns)[1 : 1 + len(known)] != known or not {*known} <= set(names(pinned.columns)):
        return 0
    with context.engine.session() as session:
        recall_marks(session, memory, remembered)
        session.scan("table_rows", table, pinned)
        session.execute(f"CREATE OR REPLACE TABLE horizon AS {horizon(spec, MARKS, context.now, duration(merge.retention))}")
        session.execute(f"CREATE OR REPLACE TABLE forgotten AS {forgotten(spec, 'memory_rows', 'table_rows', 'horizon')}")
        (found,) = session.query("SELECT COUNT(*) AS keys FROM forgotten").to_pylist()
        if not found["keys"]:
            return 0
        session.execute("CREATE OR REPLACE TABLE nothing AS SELECT * FROM memory_rows LIMIT 0")
        change = session.rewrite(memory, remembered, "nothing", "forgotten", context.run)
        publish(context, memory, remembered, change, step.id, context.applied(remembered.ledger, step.id))
    return int(found["keys"])
