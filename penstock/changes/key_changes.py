"""A change of a key, which a log says as a delete of the old key and an upsert of the new one, of one sequence: what the upsert leaves out, the old row has.

The upsert is settled as if it were of the old key, just before the delete.
"""

from __future__ import annotations

from penstock.schema import literal, quote
from penstock.sources import UNAVAILABLE

from .facts import SEPARATOR, MergeSpec, listed, steps
from .scd2 import as_of
from .scd2_in_order import within

MOVED = "moved"


def leaving(spec: MergeSpec) -> str:
    """The condition that an event `b` deletes its key's row."""
    return f"(b.__op = 'u' AND b.{quote(spec.soft_delete)} IS TRUE)" if spec.soft_delete else "b.__op = 'd'"


def incomplete(spec: MergeSpec) -> str:
    """The condition that an event `b` leaves out values which another key's row may have."""
    return f"b.__op NOT IN ('d', 't') AND b.{UNAVAILABLE} IS NOT NULL AND NOT {leaving(spec)}"


def moved(spec: MergeSpec) -> str:
    """Over `batch` and `moved_from` (keys and sequence of deletes): incomplete events with the one key, `__was_…`, that their row had before."""
    event, was = listed("b.{0}", spec.event), listed("l.{0} AS __was_{i}", spec.keys)
    same_sequence, same_key = (listed("b.{0} = l.{0}", part, " AND ") for part in (spec.sequence, spec.keys))
    pairs = f"SELECT DISTINCT {event}, {was} FROM batch b JOIN {MOVED}_from l ON {same_sequence} WHERE {incomplete(spec)} AND NOT ({same_key})"
    old, new = (listed(form, spec.keys) for form in ("__was_{i}", "{0}"))
    at = listed("{0}", spec.sequence)
    return f"""SELECT * FROM (SELECT *, COUNT(*) OVER (PARTITION BY {new}, {at}) AS __olds, COUNT(*) OVER (PARTITION BY {old}, {at}) AS __news
      FROM ({pairs}) pairs) counted WHERE __olds = 1 AND __news = 1"""


def events_of_old_keys(spec: MergeSpec) -> str:
    """Over `batch` and `moved`: the batch's events of the old keys, and the moved ones as if they were theirs."""
    event, on = listed("b.{0}", spec.event), listed("b.{0} = m.__was_{i}", spec.keys, " AND ")
    rest = listed("{0}", (*spec.sequence, *spec.data, UNAVAILABLE))
    return f"""SELECT {event} FROM batch b SEMI JOIN {MOVED} m ON {on}
      UNION ALL SELECT __op, {listed("__was_{i} AS {0}", spec.keys)}, {rest} FROM {MOVED}"""


def completed(spec: MergeSpec) -> str:
    """Over `moved`, and what is known of the old keys as `moved_batch`, `moved_remembered`, `moved_stored`: the new keys with all values that are known."""
    on = [listed("f.{0} = m.__was_{i}", spec.keys, " AND "), listed("f.{0} = m.{0}", spec.sequence, " AND ")]
    values = listed(", f.__v_{i} AS {0}", spec.data, "")
    lacking = ", ".join(f"CASE WHEN f.__got_{i} IS NULL THEN {literal(SEPARATOR + c)} ELSE '' END" for i, c in enumerate(spec.data))
    at = listed("m.{0}", (*spec.keys, *spec.sequence))
    before = f"f.__rank = 1{f' AND f.{quote(spec.soft_delete)} IS NOT TRUE' if spec.soft_delete else ''}"
    return steps(
        f"SELECT {listed('{0}', (*spec.keys, *spec.sequence, *spec.data, UNAVAILABLE))} FROM found WHERE __nth = 1",
        known=within(as_of(spec), MOVED),
        found=f"""SELECT {at}{values}, NULLIF(CONCAT({lacking}, {literal(SEPARATOR)}), {literal(SEPARATOR)}) AS {UNAVAILABLE},
          ROW_NUMBER() OVER (PARTITION BY {at} ORDER BY f.__back) AS __nth FROM known f JOIN {MOVED} m ON {" AND ".join(on)} WHERE {before}""",
    )


def with_completed(spec: MergeSpec) -> str:
    """Over `batch` and `completed`: the batch, each event as often as before."""
    on = listed("b.{0} = c.{0}", (*spec.keys, *spec.sequence), " AND ")
    chosen = listed(", CASE WHEN __is_completed THEN {0} ELSE __said_{i} END AS {0}", (*spec.data, UNAVAILABLE), "")
    said = listed(", b.{0} AS __said_{i}, c.{0}", (*spec.data, UNAVAILABLE), "")
    fact = ("__op", *spec.keys, *spec.sequence)
    return f"""SELECT {listed("{0}", fact)}{chosen} FROM (
      SELECT {listed("b.{0}", fact)}{said}, {listed("c.{0}", spec.keys[:1])} IS NOT NULL AND {incomplete(spec)} AS __is_completed
      FROM batch b LEFT JOIN completed c ON {on}) both_said"""
