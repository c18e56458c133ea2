"""SCD type 2 where a key's events are whole, newer than all that is known of it, and each change something: they close the open version and open new ones.

Most keys of most batches are such. What else there is, `scd2` settles, for the keys that are `astray`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from penstock.sources import UNAVAILABLE

from .facts import MergeSpec, listed, steps
from .rules import Rules

ASTRAY = "astray"


@dataclass(frozen=True)
class InOrderRules:
    """Queries, each over relations named before it.

    In: `batch`, without truncates, `stored` and `remembered`, as for `Rules`. `astray` has the keys that these rules do not settle by what their events are.
    `same` has those besides of which an event changes nothing, by `upserts`: where there are any they are astray too, and `others` are the upserts that stay.
    """

    astray: str
    upserts: str
    same: str
    others: str
    deletes: str
    remember: str
    forget: str
    counts: str


def in_order_rules(spec: MergeSpec) -> InOrderRules:
    """The text of the rules for one table."""
    mine = f"FROM batch b {_not_astray(spec, 'b')}"
    event = ", ".join(part for part in (listed("b.{0}", (*spec.keys, *spec.sequence)), listed("NULL AS {0}", spec.data)) if part)
    deleted = f"SELECT DISTINCT {listed('b.{0}', spec.keys)} {mine} WHERE b.__op = 'd'"
    return InOrderRules(
        astray=_astray(spec),
        upserts=_upserts(spec),
        same=f"SELECT DISTINCT {listed('{0}', spec.keys)} FROM upserts WHERE __same = 1",
        others=f"SELECT u.* FROM upserts u {_not_astray(spec, 'u')}",
        deletes=f"SELECT {listed('{0}', (*spec.keys, *spec.start))} FROM stored WHERE FALSE",
        # the rows with types come first: of a union whose first part has NULLs alone, Sail takes them for its type
        remember=f"""SELECT {listed("r.{0}", spec.event)} FROM remembered r SEMI JOIN ({deleted}) d ON {listed("r.{0} = d.{0}", spec.keys, " AND ")}
          UNION ALL SELECT 'd' AS __op, {event}, NULL AS {UNAVAILABLE} {mine} WHERE b.__op = 'd'""",
        forget=deleted,
        counts=f"""SELECT COUNT(*) AS read, COUNT(*) AS applied, CAST(0 AS BIGINT) AS superseded, CAST(0 AS BIGINT) AS quarantined,
          CAST(0 AS BIGINT) AS unchanged, CAST(0 AS BIGINT) AS duplicate {mine}""",
    )


def of_astray(text: Rules) -> Rules:
    """The rules for the keys that are astray: over `astray_batch`, `astray_remembered` and `astray_stored` instead of all."""
    return replace(text, **{name: within(query) for name, query in vars(text).items()})


def within(query: str, part: str = ASTRAY) -> str:
    """A query over `<part>_batch` and so on instead of all."""
    named = {name: f"SELECT * FROM {part}_{name}" for name in ("batch", "remembered", "stored")}
    return steps(f"SELECT * FROM ({query}) settled_{part}", **named)


def _astray(spec: MergeSpec) -> str:
    """Keys with a partial event, with two facts of one sequence, with an event that is not newer than all that is known, or whose newest known fact
    is neither an open version nor a delete."""
    keys, sequence, fact = (listed("{0}", part) for part in (spec.keys, spec.sequence, (*spec.keys, *spec.sequence)))
    starts = ", ".join(f"{a} AS {b}" for a, b in zip(spec.start, spec.sequence, strict=True))
    by_key = f"OVER (PARTITION BY {keys} ORDER BY {listed('{0} NULLS FIRST', spec.sequence)})"
    truncate = f"SELECT {sequence} FROM remembered WHERE __op = 't' ORDER BY {listed('{0} DESC', spec.sequence)} LIMIT 1"
    return steps(
        f"""SELECT DISTINCT {keys} FROM neighbours WHERE __partial = 1 OR __at > 1 OR (__new = 0 AND __new_before = 1)
          OR (__new = 1 AND __new_before = 0 AND __ends_before = 0) OR (__open = 1 AND __new_after = 0)""",
        known=f"""SELECT {fact}, 1 AS __new, CASE WHEN {UNAVAILABLE} IS NULL THEN 0 ELSE 1 END AS __partial, 0 AS __open, 0 AS __ends FROM batch
          UNION ALL SELECT {fact}, 0 AS __new, CASE WHEN __op = 'u' THEN 1 ELSE 0 END AS __partial, 0 AS __open, 1 AS __ends FROM remembered WHERE __op <> 't'
          UNION ALL SELECT {fact}, 0 AS __new, 0 AS __partial, 0 AS __open, 1 AS __ends FROM (SELECT DISTINCT {keys} FROM batch) k CROSS JOIN ({truncate}) t
          UNION ALL SELECT {keys}, {starts}, 0 AS __new, 0 AS __partial, CASE WHEN {spec.end[0]} IS NULL THEN 1 ELSE 0 END AS __open,
            CASE WHEN {spec.end[0]} IS NULL THEN 1 ELSE 0 END AS __ends FROM stored""",
        neighbours=f"""SELECT *, COUNT(*) OVER (PARTITION BY {fact}) AS __at, LAG(__new) {by_key} AS __new_before, LAG(__ends) {by_key} AS __ends_before,
          LEAD(__new) {by_key} AS __new_after FROM known""",
    )


def _not_astray(spec: MergeSpec, of: str) -> str:
    return f"ANTI JOIN {ASTRAY} a ON {listed(of + '.{0} = a.{0}', spec.keys, ' AND ')}"


def _upserts(spec: MergeSpec) -> str:
    """The open versions, which the first of their key's events closes, and the versions that the events open; `__same` where that changes nothing."""
    keys, content = listed("{0}", spec.keys), listed("{0}, ", spec.data, "")
    by_key = f"OVER (PARTITION BY {keys} ORDER BY {listed('{0} NULLS FIRST', spec.start)})"
    starts = ", ".join(f"{a} AS {b}" for a, b in zip(spec.sequence, spec.start, strict=True))
    ends = ", ".join(f"LEAD({a}) {by_key} AS {b}" for a, b in zip(spec.start, spec.end, strict=True))
    was = listed(", LAG({0}) " + by_key + " AS __was_{i}", spec.tracked, "")
    equal = listed(" AND {0} IS NOT DISTINCT FROM __was_{i}", spec.tracked, "")
    return steps(
        f"""SELECT {listed("{0}", spec.stored)}, CASE WHEN __before = 1{equal} THEN 1 ELSE 0 END AS __same
          FROM compared WHERE __rank = 1 AND (__new = 1 OR {spec.end[0]} IS NOT NULL)""",
        said=f"""SELECT {keys}, {content}{starts}, CASE WHEN __op = 'd' THEN 2 ELSE 1 END AS __rank, 1 AS __new FROM batch b {_not_astray(spec, "b")}
          UNION ALL SELECT {keys}, {content}{listed("{0}", spec.start)}, 1 AS __rank, 0 AS __new FROM stored s {_not_astray(spec, "s")}
          WHERE {spec.end[0]} IS NULL""",
        compared=f"SELECT *, LAG(__rank) {by_key} AS __before, {ends}{was} FROM said",
    )
