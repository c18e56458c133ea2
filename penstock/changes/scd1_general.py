"""SCD type 1 in general: partial rows, truncates, soft deletes, ties. Each column of a row has the newest value that an event since the last barrier says."""

from __future__ import annotations

from .facts import MergeSpec, changes, complete, counts, each, facts, listed, newest_first, steps, truncates
from .rules import Rules, remembering


def general_rules(spec: MergeSpec) -> Rules:
    """The text of the rules; a batch of whole rows and deletes needs only those of `scd1`."""
    found = _result(spec)
    upserts, deletes = changes(found, spec.stored, spec.keys, (*spec.data, *spec.sequence))
    # left to the row alone where that says it all, and no stale row of the same sequence is in its place should this process end now
    told = f"f.__whole AND f.__rivals = 0{each(spec, ' AND COALESCE(f.__from_{i}, 0) = 1')}"
    # a row newer than a delete holds older values back itself, but for those of columns that no event since has a value for
    remembered = f"__rank = 2 AND __barriers = 1 AND NOT (__whole{each(spec, ' AND __from_{i} IS NOT NULL')})"
    kept = f"FROM settled f WHERE (f.__needed AND NOT ({told})) OR ({remembered})"
    soft = f"WHEN __needed AND {listed('{0}', [spec.soft_delete])} THEN 'applied' " if spec.soft_delete else ""
    outcome = f"""WHEN {remembered} THEN 'applied' WHEN __needed AND __whole THEN 'applied'
      {soft}WHEN __needed THEN 'quarantined' ELSE 'superseded'"""
    return Rules(
        settled=_settled(spec),
        upserts=upserts,
        deletes=deletes,
        # DuckDB 1.5 makes a row of NULLs where the newest of none, by one column, is asked for
        memory=steps(remembering(spec, kept, f"WHERE __age = 1 AND {spec.sequence[0]} IS NOT NULL"), truncates=truncates(spec)),
        counts=counts(outcome, "WHEN __age = 1 THEN 'applied' ELSE 'superseded'", spec),
    )


def _settled(spec: MergeSpec) -> str:
    """The facts with their age among their key's, the age of the fact that each column's value is from, and whether the row needs them."""
    keys, newest = listed("{0}", spec.keys), newest_first(spec)
    window = f"OVER (PARTITION BY {keys} ORDER BY {newest}"
    nearest = ", MIN(CASE WHEN __live AND __has_{i} THEN __age END) AS __from_{i}"
    used = " OR ".join(["__age = 1", *(f"__age = COALESCE(__from_{i}, 0)" for i in range(len(spec.data)))])
    return steps(
        f"SELECT *, __alive = 1{complete(spec, '__from')} AS __whole, __live AND ({used}) AS __needed FROM sourced",
        **facts(spec, spec.sequence, spec.keys),
        aged=f"""SELECT *, ROW_NUMBER() {window}) AS __age,
          SUM(CASE WHEN __rank > 1 THEN 1 ELSE 0 END) {window} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS __barriers FROM facts""",
        lively="SELECT *, __rank = 1 AND __barriers = 0 AS __live FROM aged",
        # grouped and joined, not MIN(…) OVER (PARTITION BY key): many such windows are slow on some engines
        sources=f"SELECT {keys}, MAX(CASE WHEN __live THEN 1 ELSE 0 END) AS __alive{each(spec, nearest)} FROM lively GROUP BY {keys}",
        sourced=f"SELECT l.*, o.__alive{each(spec, ', o.__from_{i}')} FROM lively l JOIN sources o ON {listed('l.{0} = o.{0}', spec.keys, ' AND ')}",
    )


def _result(spec: MergeSpec) -> str:
    # no FILTER: with a thousand of them DuckDB plans for a minute
    values = each(spec, ", MAX(CASE WHEN __age = __from_{i} THEN {0} END) AS {0}")
    sequence = listed("MAX({0}) FILTER (WHERE __age = 1) AS {0}", spec.sequence)
    keys = listed("{0}", spec.keys)
    return steps("", result=f"SELECT {keys}{values}, {sequence} FROM settled WHERE __needed AND __whole GROUP BY {keys}")
