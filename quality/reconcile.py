"""Two tables compared by key, by value: not counts, which agree where values do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock.engines.base import Session
from penstock.schema import quote

SAMPLE = 1000


@dataclass(frozen=True)
class Reconciliation:
    """`duplicates` counts keys that stand more than once on a side; `sample` holds up to 1,000 differing rows, both sides of each."""

    matched: int
    different: int
    only_left: int
    only_right: int
    duplicates: int
    sample: Sequence[dict[str, Any]] = ()

    @property
    def equal(self) -> bool:
        return not (self.different or self.only_left or self.only_right or self.duplicates)


def compare(session: Session, left: str, right: str, keys: Sequence[str], columns: Sequence[str]) -> Reconciliation:
    """Compare two relations of the session. NULL differs from '', 1.10 equals 1.1, an instant is compared as such, trailing blanks count."""
    named = ", ".join(map(quote, keys))
    on = " AND ".join(f"l.{quote(k)} IS NOT DISTINCT FROM r.{quote(k)}" for k in keys)
    differ = " OR ".join(f"l.{quote(c)} IS DISTINCT FROM r.{quote(c)}" for c in columns) or "FALSE"
    shown = ", ".join(f"l.{quote(c)} AS {quote('left ' + c)}, r.{quote(c)} AS {quote('right ' + c)}" for c in (*keys, *columns))
    session.execute(f"""CREATE OR REPLACE TEMP TABLE compared AS SELECT {shown},
        CASE WHEN r.__side IS NULL THEN 'only left' WHEN l.__side IS NULL THEN 'only right' WHEN {differ} THEN 'different' ELSE 'matched' END AS __outcome
      FROM (SELECT *, 1 AS __side FROM {left}) l FULL OUTER JOIN (SELECT *, 1 AS __side FROM {right}) r ON {on}""")
    counts = {row["__outcome"]: row["n"] for row in session.query("SELECT __outcome, COUNT(*) AS n FROM compared GROUP BY __outcome").to_pylist()}
    twice = " UNION ALL ".join(f"(SELECT {named} FROM {side} GROUP BY {named} HAVING COUNT(*) > 1)" for side in (left, right))
    duplicates = int(session.query(f"SELECT COUNT(*) AS n FROM ({twice})").to_pylist()[0]["n"])
    sample = session.query(f"SELECT * FROM compared WHERE __outcome <> 'matched' LIMIT {SAMPLE}").to_pylist()
    return Reconciliation(counts.get("matched", 0), counts.get("different", 0), counts.get("only left", 0), counts.get("only right", 0), duplicates, sample)
