"""What a set of rules gives: queries over relations named before them, in the subset of DuckDB's dialect that Spark and Sail have too."""

from __future__ import annotations

from dataclasses import dataclass

from .facts import MergeSpec, listed


@dataclass(frozen=True)
class Rules:
    """In: `batch` (canonical events), `remembered` (the memory of the batch's keys, and all its truncates), `stored` (the rows that the batch can change).

    `settled` has the batch's facts; the others are short queries over it and the relations above.
    `upserts`: rows that are new or differ; `deletes`: keys of rows that go. `memory`: all that is to be remembered of the keys touched.
    """

    settled: str
    memory: str
    upserts: str
    deletes: str
    counts: str


def remembered_changes(spec: MergeSpec) -> tuple[str, str]:
    """Over `memory` and `remembered`: the rows to be remembered of every key whose memory changes, with the new truncates; and those keys."""
    event = listed("{0}", spec.event)
    # keys under their names once more: joined with the memory that they are of, Spark 3.5 does not tell them apart
    moved = f"""SELECT DISTINCT {listed("{0} AS {0}", spec.keys)} FROM (
      (SELECT {event} FROM memory WHERE __op <> 't' EXCEPT SELECT {event} FROM remembered WHERE __op <> 't')
      UNION ALL (SELECT {event} FROM remembered WHERE __op <> 't' EXCEPT SELECT {event} FROM memory WHERE __op <> 't')) moved"""
    of, same_key = listed("m.{0}", spec.event), listed("m.{0} = c.{0}", spec.keys, " AND ")
    remember = f"""SELECT {of} FROM memory m SEMI JOIN ({moved}) c ON {same_key} WHERE m.__op <> 't'
      UNION ALL SELECT {of} FROM memory m ANTI JOIN (SELECT * FROM remembered WHERE __op = 't') t ON {listed("m.{0} = t.{0}", spec.sequence, " AND ")}
      WHERE m.__op = 't'"""
    return remember, moved


def remembering(spec: MergeSpec, facts: str, truncates: str) -> str:
    """Facts (`FROM … f …`) and truncates as events."""
    columns = listed("f.{0}", (*spec.keys, *spec.sequence, *spec.data))
    nothing = ", ".join(part for part in (listed("NULL AS {0}", spec.keys), listed("{0}", spec.sequence), listed("NULL AS {0}", spec.data)) if part)
    return f"""SELECT CASE WHEN f.__rank = 2 THEN 'd' ELSE 'u' END AS __op, {columns}, f.__unavailable {facts}
      UNION ALL SELECT 't' AS __op, {nothing}, NULL AS __unavailable FROM truncates {truncates}"""
