"""Changes of stored rows, up to the files: which rows of which files go, and what comes in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from penstock.changes.facts import listed, same_place
from penstock.evolution import Evolution
from penstock.schema import names, quote
from penstock.tables import Change, LakeTable, Pinned, WrittenFile

from .settling import Finder
from .slots import Partition, place


class Writing(Finder, Protocol):
    """A session that writes files."""

    def written(self, table: LakeTable, pinned: Pinned, rows: str, keys: Sequence[str], tag: str) -> Change:
        """Write a relation's rows, near those of like keys, and leave out the stored rows that the relation `gone` names by `__file` and `__row`."""
        ...


def rewrite(session: Writing, table: LakeTable, pinned: Pinned, upserts: str, deletes: str, tag: str) -> Change:
    """Rows by key: `upserts` in place of those that are stored, `deletes` gone."""
    keys = session.columns(deletes)
    of = listed("{0}", keys)
    session.name("touched", f"SELECT {of} FROM {upserts} UNION ALL SELECT {of} FROM {deletes}")
    (count,) = session.query("SELECT COUNT(*) AS rows FROM touched").to_pylist()
    if not count["rows"]:
        return Change("append")
    located = session.found.get((table.name, pinned.version))
    if located is None:
        located = "found"
        session.locate(located, "SELECT * FROM touched", table, pinned, keys, keys)
    session.name("gone", f"SELECT l.__file, l.__row FROM {located} l SEMI JOIN touched t ON {same_place('l', 't', keys)}")
    return session.written(table, pinned, upserts, keys, tag)


def amend(session: Writing, table: LakeTable, pinned: Pinned, where: str, values: Mapping[str, str], tag: str) -> Change:
    """Delete the rows for which a condition is true, or with `values` (column -> expression over the row) change them."""
    columns, types = names(pinned.columns), {c.name: c.type.duckdb for c in pinned.columns}
    session.name("touched", f"SELECT * FROM ({session.rows_of(table, pinned, session.files(table, pinned), columns)}) WHERE {where}")
    changed = ", ".join(f"CAST({values[c]} AS {types[c]}) AS {quote(c)}" if c in values else quote(c) for c in columns)
    session.name("amended", f"SELECT {changed} FROM touched{'' if values else ' WHERE FALSE'}")
    session.name("gone", "SELECT __file, __row FROM touched")
    return session.written(table, pinned, "amended", columns[:1], tag)


def evolved(evolution: Evolution, pinned: Pinned) -> tuple[Pinned, Mapping[str, str]]:
    """What a state becomes, and the expression for each column over its rows as they are."""
    columns, before, new = evolution.of(pinned.columns), evolution.former_names, names(evolution.append)
    values = {c.name: f"CAST({'NULL' if c.name in new else quote(before.get(c.name, c.name))} AS {c.type.duckdb})" for c in columns}
    return replace(pinned, columns=columns), values if evolution else {c: quote(c) for c in values}


def overwriting(session: Finder, table: LakeTable, pinned: Pinned, added: Sequence[WrittenFile], replaces: Callable[[Partition], bool] | None) -> Change:
    """Files in place of all that the table has, or of those in their partitions and in others that `replaces` names."""
    places = {place(file.partition) for file in added}
    removed = [f for f in session.files(table, pinned) if replaces is None or place(f.partition) in places or replaces(f.partition)]
    return Change("overwrite", added, removed)
