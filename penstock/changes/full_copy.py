"""A whole table as it is now, compared with the rows that are kept: differences become changes."""

from __future__ import annotations

from penstock.schema import quote
from penstock.sources import OP, POSITION, UNAVAILABLE

from .facts import MergeSpec, listed


def current(spec: MergeSpec, table: str) -> str:
    """The rows that the last copy had: open versions, rows not marked as deleted."""
    conditions = [f"{quote(end)} IS NULL" for end in spec.end[:1] if spec.history]
    conditions += [f"{quote(spec.soft_delete)} IS NOT TRUE"] if spec.soft_delete else []
    return f"SELECT {listed('{0}', (*spec.keys, *_copied(spec)))} FROM {table}{' WHERE ' + ' AND '.join(conditions) if conditions else ''}"


def beaten(spec: MergeSpec, passed: str) -> str:
    """Positions of the rows that another of their key beats: as among facts of one sequence the greatest content stands. `__copy` above 1: it says the same."""
    keys, content = listed("{0}", spec.keys), listed(", {0}", _copied(spec), "")
    greatest = listed("{0} DESC NULLS LAST, ", _copied(spec), "")
    twice = f"SELECT {keys} FROM {passed} GROUP BY {keys} HAVING COUNT(*) > 1"
    places = f"""ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {greatest}{POSITION}) AS __place,
      ROW_NUMBER() OVER (PARTITION BY {keys}{content} ORDER BY {POSITION}) AS __copy"""
    contested = f"SELECT a.* FROM {passed} a SEMI JOIN ({twice}) t ON {listed('a.{0} = t.{0}', spec.keys, ' AND ')}"
    return f"SELECT {POSITION}, __copy FROM (SELECT {POSITION}, {places} FROM ({contested}) c) ranked WHERE __place > 1"


def differences(spec: MergeSpec, passed: str, said: str, known: str, *, deletes: bool) -> str:
    """Events: the `passed` rows that differ from the `known` ones, and deletes of keys that nothing of what was `said` has."""
    keys, same = listed("a.{0} = b.{0}", spec.keys, " AND "), listed(" AND a.{0} IS NOT DISTINCT FROM b.{0}", _copied(spec), "")
    changed = f"SELECT a.* FROM {passed} a ANTI JOIN {known} b ON {keys}{same}"
    if not deletes:
        return changed
    sequence = listed("(SELECT MAX({0}) FROM " + said + ") AS {0}", spec.sequence)
    nothing = listed(", NULL AS {0}", _copied(spec), "")
    gone = f"SELECT 'd' AS {OP}, {listed('a.{0}', spec.keys)}, {sequence}{nothing}, NULL AS {UNAVAILABLE}, 'gone' AS {POSITION}"
    return f"{changed} UNION ALL {gone} FROM {known} a ANTI JOIN {said} b ON {keys}"


def _copied(spec: MergeSpec) -> tuple[str, ...]:
    return tuple(c for c in spec.data if c != spec.soft_delete)
