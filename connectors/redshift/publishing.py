"""How the rows of a stage come into a table: the statements that stand behind the claim of the ledger, in one transaction. Never TRUNCATE: it commits.

A stage holds, for `merge`, `history` and `overwrite`, a whole snapshot of its source; for `append` and `insert_missing`, new rows; for `changes` and
`history_of_changes`, rows that are new or differ, and those whose keys are gone; for `overwrite_partitions`, the rows of partitions that changed, and one
marker for each of these. Of files that come as they are it holds rows by key, for `upsert` and `history_of_rows`, or all rows of the partitions that are in
it, for `replace_partitions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from penstock.errors import ArgumentError, choice
from penstock.schema import Column, Columns, DataType, names, quote

from .sql import Target, listed

OP = Column("__op", DataType("string"))
UPSERT, DELETE, MARKER = "u", "d", "p"
BY_KEY = ("changes", "history", "history_of_changes", "history_of_rows", "merge", "overwrite", "upsert")  # a key stands once in their stages


def stage_columns(target: Target, write: str) -> Columns:
    """The columns of a stage; a row that only says which key or partition it means has no others."""
    if write not in ("changes", "history_of_changes", "overwrite_partitions"):
        return target.columns
    return (*(Column(c.name, c.type) for c in target.columns), OP)


def publish(target: Target, stage: str, write: str) -> list[str]:
    """The statements for a `write`. Raises ArgumentError for one that is not known, or that misses keys or partitions."""
    if write not in _WRITES:
        raise ArgumentError(f"write {choice(write, _WRITES)}")
    if write in BY_KEY and write != "overwrite" and not target.keys:
        raise ArgumentError(f"{target.name} has no keys; a merge needs them")
    if write in ("overwrite_partitions", "replace_partitions") and not target.partition_by:
        raise ArgumentError(f"{target.name} has no partitions to overwrite; declare partition_by")
    return _WRITES[write](target, stage)


def _into(target: Target, stage: str, where: str = "") -> str:
    columns = listed(names(target.columns))
    return f"INSERT INTO {target.name} ({columns}) SELECT {columns} FROM {stage}{where}"


def _same(target: Target, columns: Sequence[str], *, nulls: bool) -> str:
    """A row of the target `t` and one of the stage `s` agree in these columns."""
    pairs = ((f"{target.name}.{quote(c)}", f"s.{quote(c)}") for c in columns)
    return " AND ".join(f"({a} = {b} OR ({a} IS NULL AND {b} IS NULL))" if nulls else f"{a} = {b}" for a, b in pairs)


def _overwrite(target: Target, stage: str) -> list[str]:
    return [f"DELETE FROM {target.name}", _into(target, stage)]


def _merge(target: Target, stage: str) -> list[str]:
    keys, same = listed(target.keys), _same(target, target.keys, nulls=False)
    equal, staged = _same(target, names(target.columns), nulls=True), listed(names(target.columns), "s.")
    missing = " AND ".join(f"s.{quote(k)} = t.{quote(k)}" for k in target.keys)
    columns = listed(names(target.columns))
    return [
        # keys are not enforced: rows of a key that somebody else doubled go as well, and come back once
        f"DELETE FROM {target.name} WHERE ({keys}) IN (SELECT {keys} FROM {target.name} GROUP BY {keys} HAVING COUNT(*) > 1)",
        # rows that are gone from the source, or differ from it, go; those that are not there, or no longer, come
        f"DELETE FROM {target.name} WHERE NOT EXISTS (SELECT 1 FROM {stage} s WHERE {same} AND {equal})",
        f"INSERT INTO {target.name} ({columns}) SELECT {staged} FROM {stage} s WHERE NOT EXISTS (SELECT 1 FROM {target.name} t WHERE {missing})",
    ]


def _changes(target: Target, stage: str) -> list[str]:
    """By DELETE and INSERT: MERGE has no clause for a row that is to go."""
    gone = f"DELETE FROM {target.name} USING {stage} s WHERE {_same(target, target.keys, nulls=False)}"
    return [gone, _into(target, stage, f" WHERE {quote(OP.name)} <> '{DELETE}'")]


def _upsert(target: Target, stage: str) -> list[str]:
    """By MERGE: columns that the stage has not keep their values."""
    columns = names(target.columns)
    changed = ", ".join(f"{quote(c)} = s.{quote(c)}" for c in columns if c not in target.keys) or f"{quote(columns[0])} = s.{quote(columns[0])}"
    inserted = f"INSERT ({listed(columns)}) VALUES ({listed(columns, 's.')})"
    same = _same(target, target.keys, nulls=False)
    return [f"MERGE INTO {target.name} USING {stage} s ON {same} WHEN MATCHED THEN UPDATE SET {changed} WHEN NOT MATCHED THEN {inserted}"]


def _replace_partitions(target: Target, stage: str) -> list[str]:
    return [_without_partitions(target, stage), _into(target, stage)]


def _without_partitions(target: Target, stage: str) -> str:
    return f"DELETE FROM {target.name} WHERE EXISTS (SELECT 1 FROM {stage} s WHERE {_same(target, target.partition_by, nulls=True)})"


def _overwrite_partitions(target: Target, stage: str) -> list[str]:
    return [_without_partitions(target, stage), _into(target, stage, f" WHERE {quote(OP.name)} <> '{MARKER}'")]


def _append(target: Target, stage: str) -> list[str]:
    return [_into(target, stage)]


def _history(target: Target, stage: str, *, staged: str = "TRUE", kept: str = "") -> list[str]:
    """Of a stage that is a whole snapshot: versions end whose rows are gone or differ, and rows begin one that have none open.

    The time is the transaction's own, which there is once for a batch. `staged`: the condition that a staged row is a row; `kept`: one more for those to end.
    """
    assert target.history
    begin, end = map(quote, target.history)
    same, equal = _same(target, target.keys, nulls=False), _same(target, names(target.columns), nulls=True)
    columns, of_stage = listed(names(target.columns)), listed(names(target.columns), "s.")
    is_open = " AND ".join(f"t.{quote(k)} = s.{quote(k)}" for k in target.keys) + f" AND t.{end} IS NULL"
    gone = f"NOT EXISTS (SELECT 1 FROM {stage} s WHERE {same} AND {equal} AND {staged})"
    new = f"{staged} AND NOT EXISTS (SELECT 1 FROM {target.name} t WHERE {is_open})"
    return [
        f"UPDATE {target.name} SET {end} = SYSDATE WHERE {end} IS NULL AND {gone}{kept}",
        f"INSERT INTO {target.name} ({columns}, {begin}) SELECT {of_stage}, SYSDATE FROM {stage} s WHERE {new}",
    ]


def _history_of_rows(target: Target, stage: str, *, staged: str = "TRUE") -> list[str]:
    """Of a stage that has some rows: what it does not name stays open."""
    return _history(target, stage, staged=staged, kept=f" AND EXISTS (SELECT 1 FROM {stage} s WHERE {_same(target, target.keys, nulls=False)})")


def _history_of_changes(target: Target, stage: str) -> list[str]:
    return _history_of_rows(target, stage, staged=f"s.{quote(OP.name)} <> '{DELETE}'")


def _insert_missing(target: Target, stage: str) -> list[str]:
    """Rows that the table has not, each once: MINUS takes NULL for equal to NULL. Of the table only the range of the sort key is read that the stage has."""
    columns = listed(names(target.columns))
    bounds = ""
    if target.layout.sort_by:
        key = quote(target.layout.sort_by[0])
        bounds = f" WHERE {key} BETWEEN (SELECT MIN({key}) FROM {stage}) AND (SELECT MAX({key}) FROM {stage})"
        required = next(c.required for c in target.columns if c.name == target.layout.sort_by[0])
        bounds += "" if required else f" OR {key} IS NULL"
    return [f"INSERT INTO {target.name} ({columns}) SELECT {columns} FROM {stage} MINUS SELECT {columns} FROM {target.name}{bounds}"]


_WRITES: Mapping[str, Callable[[Target, str], list[str]]] = {
    "append": _append, "history": _history, "history_of_changes": _history_of_changes, "history_of_rows": _history_of_rows,
    "changes": _changes, "insert_missing": _insert_missing, "merge": _merge, "overwrite": _overwrite,
    "overwrite_partitions": _overwrite_partitions, "replace_partitions": _replace_partitions, "upsert": _upsert,
}  # fmt: skip
