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
