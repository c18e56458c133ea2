"""SCD type 2: a row for each version of a key, from the sequence that opened it to the one that closed it.

A row that another tool put there may have no sequence; it is older than all that have one.
"""

from __future__ import annotations

from .facts import MergeSpec, changes, complete, counts, each, facts, listed, newest_first, oldest_first, steps, truncates
from .rules import Rules, remembering

_SO_FAR = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"


def history_rules(spec: MergeSpec) -> Rules:
    """Late events split versions, a delete closes one, a truncate closes all; tracked columns that did not change open none."""
    edge, found = (*spec.keys, *spec.start), _versions(spec)
    upserts, deletes = changes(steps("", **found), spec.stored, edge, (*spec.data, *spec.end))
    # left to the history alone where that says exactly this fact, and a crash before the history is committed could not lose it
    says = listed(" AND f.__has_{i} AND r.{0} IS NOT DISTINCT FROM f.{0}", spec.data, "")
    told = f"f.__rank = 1 AND f.__at = 1 AND f.__rivals = 0 AND (f.__read > 0 OR f.__in_table = 1){says}"
    at = " AND ".join(
        [listed("r.{0} = f.{0}", spec.keys, " AND "), *(f"r.{b} IS NOT DISTINCT FROM f.{a}" for a, b in zip(spec.sequence, spec.start, strict=True))]
    )
    kept = f"FROM settled f LEFT JOIN result r ON {at} WHERE f.__rank < 3 AND NOT ({listed('r.{0}', spec.keys[:1])} IS NOT NULL AND {told})"
    outcome = "WHEN __rank = 1 AND NOT __whole THEN 'quarantined' WHEN __back = 1 THEN 'applied' ELSE 'superseded'"
    return Rules(
        settled=as_of(spec),
        upserts=upserts,
        deletes=deletes,
        memory=steps(remembering(spec, kept, ""), **found, truncates=truncates(spec)),
        counts=counts(outcome, "WHEN TRUE THEN 'applied'", spec),
    )


def as_of(spec: MergeSpec) -> str:
    """The facts with the value that each column has as of them, `__v_i`, since the last barrier of their key."""
    keys, sequence, oldest, newest = listed("{0}", spec.keys), listed("{0}", spec.sequence), oldest_first(spec), newest_first(spec)
    as_of = f"OVER (PARTITION BY {keys}, __epoch ORDER BY {oldest} {_SO_FAR})"
    # two fills a column: which value came last, and whether that value is NULL, which the first leaves out
    is_null = "LAST_VALUE(CASE WHEN __has_{i} THEN CASE WHEN {0} IS NULL THEN 0 ELSE 1 END END IGNORE NULLS) " + as_of + " AS __got_{i}"
    fill = "LAST_VALUE({0} IGNORE NULLS) " + as_of + " AS __fill_{i}"
    return steps(
        f"""SELECT *{each(spec, ", CASE WHEN __got_{i} = 1 THEN __fill_{i} END AS __v_{i}")}, __rank = 1{complete(spec, "__got")} AS __whole
          FROM filled""",
        **(facts(spec, spec.start, (*spec.keys, *spec.sequence)) if spec.history else facts(spec, spec.sequence, spec.keys)),
        ordered=f"""SELECT *, SUM(CASE WHEN __rank > 1 THEN 1 ELSE 0 END) OVER (PARTITION BY {keys} ORDER BY {oldest} {_SO_FAR}) AS __epoch,
          ROW_NUMBER() OVER (PARTITION BY {keys}, {sequence} ORDER BY {newest}) AS __back,
          COUNT(*) OVER (PARTITION BY {keys}, {sequence}) AS __at FROM facts""",
        filled=f"SELECT *{each(spec, ', ' + is_null)}{each(spec, ', ' + fill)} FROM ordered",
    )


def _versions(spec: MergeSpec) -> dict[str, str]:
    """The steps to `result`, the versions of the keys as they should stand: one fact a sequence, runs of equal tracked values, each with both ends."""
    keys, oldest = listed("{0}", spec.keys), listed("{0} NULLS FIRST", spec.sequence)
    by_key = f"OVER (PARTITION BY {keys} ORDER BY {oldest})"
    tracked = [f"__v_{spec.data.index(c)}" for c in spec.tracked]
    before = "".join(f", LAG({c}) {by_key} AS __was{c}" for c in tracked)
    differs = "".join(f" OR {c} IS DISTINCT FROM __was{c}" for c in tracked)
    ends = "".join(f", LEAD({a}) {by_key} AS {b}" for a, b in zip(spec.sequence, spec.end, strict=True))
    starts = ", ".join(
        f"MAX(CASE WHEN __opens = 1 THEN {a} END) OVER (PARTITION BY {keys}, __run) AS {b}" for a, b in zip(spec.sequence, spec.start, strict=True)
    )
    return {
        "points": "SELECT * FROM settled WHERE __back = 1 AND (__rank > 1 OR __whole)",
        "compared": f"SELECT *, LAG(__rank) {by_key} AS __before{before} FROM points",
        "opened": f"SELECT *, CASE WHEN __rank = 1 AND (__before IS NULL OR __before > 1{differs}) THEN 1 ELSE 0 END AS __opens FROM compared",
        "runs": f"""SELECT *, SUM(__opens) OVER (PARTITION BY {keys} ORDER BY {oldest} {_SO_FAR}) AS __run,
          LEAD(__rank) {by_key} AS __next, LEAD(__opens) {by_key} AS __reopens{ends} FROM opened""",
        "spans": f"SELECT *, {starts} FROM runs",
        # keys under their names once more: joined with the facts that it is made of, Spark 3.5 does not tell theirs apart
        "result": f"""SELECT {listed("{0} AS {0}", spec.keys)}{each(spec, ", __v_{i} AS {0}")}, {listed("{0}", (*spec.start, *spec.end))} FROM spans
          WHERE __rank = 1 AND (__next IS NULL OR __next > 1 OR __reopens = 1)""",
    }
