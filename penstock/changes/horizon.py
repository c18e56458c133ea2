"""Which events a table takes: none behind the horizon, which the memory no longer reaches, and none so far ahead that it would freeze its key.

The horizon is a place in the sequence: the greatest that was committed longer ago than the retention. The memory holds marks, events with `__op` 'w', that say
which sequence was the greatest at which time (ISO 8601, UTC, in `__unavailable`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from penstock.schema import literal
from penstock.sources import OP, UNAVAILABLE

from .facts import MergeSpec, listed

MARK = "w"
_MARKS_A_RETENTION = 8


def is_due(newest: str | None, now: datetime, retention: timedelta) -> bool:
    """True where the newest mark is so old that the horizon would lag behind."""
    return newest is None or now - datetime.fromisoformat(newest) >= retention / _MARKS_A_RETENTION


def horizon(spec: MergeSpec, marks: str, now: datetime, retention: timedelta) -> str:
    """The sequence, one row or none, at and behind which nothing is taken."""
    old = f"{UNAVAILABLE} <= {literal((now - retention).isoformat())}"
    return f"SELECT {listed('{0}', spec.sequence)} FROM {marks} WHERE {old} ORDER BY {listed('{0} DESC', spec.sequence)} LIMIT 1"


def is_behind(spec: MergeSpec, horizon: str) -> str:
    """A condition on an event `e`: it lies at or behind the sequence that a relation holds."""
    return f"ROW({listed('e.{0}', spec.sequence)}) <= (SELECT ROW({listed('{0}', spec.sequence)}) FROM {horizon})"


def marked(spec: MergeSpec, remember: str, batch: str, marks: str, now: datetime) -> str:
    """What is to be remembered, and the greatest sequence so far as a mark of this time."""
    event, sequence = listed("{0}", spec.event), listed("{0}", spec.sequence)
    nothing = listed("NULL AS {0}, ", (*spec.keys, *spec.data), "")
    known = f"SELECT {sequence} FROM {batch} UNION ALL SELECT {sequence} FROM {marks}"
    greatest = f"SELECT {sequence} FROM ({known}) k ORDER BY {listed('{0} DESC', spec.sequence)} LIMIT 1"
    said = f"SELECT '{MARK}' AS {OP}, {nothing}{sequence}, {literal(now.isoformat())} AS {UNAVAILABLE} FROM ({greatest}) g"
    return f"SELECT {event} FROM {remember} UNION ALL SELECT {event} FROM ({said}) m"


def forgotten(spec: MergeSpec, memory: str, table: str, behind: str) -> str:
    """Keys of which the memory may go: nothing that is known of them lies before the horizon, and the table says it all."""
    keys, at = listed("{0}", spec.keys), f"ROW({listed('{0}', spec.sequence)})"
    last, stored = f"(SELECT {at} FROM {behind})", f"ROW({listed('t.{0}', spec.sequence)})"
    remembered = f"SELECT {keys}, MAX({at}) AS __newest, BOOL_OR({OP} = 'u') AS __waits FROM {memory} WHERE {OP} IN ('d', 'u') GROUP BY {keys}"
    return f"""SELECT {listed("m.{0}", spec.keys)} FROM ({remembered}) m LEFT JOIN {table} t ON {listed("m.{0} = t.{0}", spec.keys, " AND ")}
      WHERE m.__newest <= {last} AND CASE WHEN {listed("t.{0}", spec.keys[:1])} IS NULL THEN NOT m.__waits ELSE {stored} <= {last} END"""
