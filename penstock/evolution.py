"""How a table's columns become the declared ones: new columns and wider types by policy; anything else stops before a write."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.connections import Model
from penstock.errors import DataError, some
from penstock.schema import Column, Columns, DataType, is_reserved, names

_WIDER = frozenset({("int", "bigint"), ("float", "double")})
_ANEW = "declare what the table has, or make it anew with `penstock run --full-refresh`"


class OnSchemaChange(Model):
    """What happens to a table whose declaration gained a column, or a wider type of one, or lost one; every other difference stops the run before a write."""

    new_column: Literal["append", "fail"] = "append"
    wider_type: Literal["widen", "fail"] = "widen"
    dropped_column: Literal["drop", "fail"] = "fail"
    renamed_from: dict[str, str] = Field(default={}, description="new name: the name that the column had")

    @model_validator(mode="after")
    def _no_chains(self) -> Self:
        if both := sorted(set(self.renamed_from) & set(self.renamed_from.values())):
            raise ValueError(f"column {both[0]!r} is said to be a new and a former name; rename one column after the other, with a run between")
        return self


BY_DECLARATION = OnSchemaChange()


@dataclass(frozen=True)
class Evolution:
    """Columns to be appended, columns with the wider type that they get, old and new names, and names of columns that go."""

    append: Columns = ()
    widen: Columns = ()
    rename: tuple[tuple[str, str], ...] = ()
    drop: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.append or self.widen or self.rename or self.drop)

    @property
    def former_names(self) -> dict[str, str]:
        """New names of columns: the names that they have before."""
        return {new: old for old, new in self.rename}

    def of(self, held: Columns) -> Columns:
        """What the columns that a table holds become."""
        renamed, wider = dict(self.rename), {c.name: c for c in self.widen}
        stay = (replace(c, name=renamed.get(c.name, c.name)) for c in held if c.name not in self.drop)
        return (*(wider.get(c.name, c) for c in stay), *self.append)


UNCHANGED = Evolution()


def renames(held: Iterable[str], policy: OnSchemaChange) -> tuple[tuple[str, str], ...]:
    """Old and new names of the columns that are yet to be renamed."""
    there = set(held)
    return tuple((old, new) for new, old in policy.renamed_from.items() if old in there and new not in there)


def former_names(held: Iterable[str], policy: OnSchemaChange) -> dict[str, str]:
    """New names of the columns that are yet to be renamed: the names that they have."""
    return {new: old for old, new in renames(held, policy)}


def read_as(then: Columns, now: Columns, policy: OnSchemaChange) -> dict[str, str | None]:
    """Under which names a former state has the columns of now; None for one that it lacks."""
    before = former_names(names(then), policy)
    there = set(names(then))
    return {c.name: before.get(c.name, c.name if c.name in there else None) for c in now}


def evolution(table: str, held: Columns, declared: Columns, policy: OnSchemaChange, former: Collection[str] = (), *, is_begun: bool = False) -> Evolution:
    """What makes `held` the `declared` columns, in whatever order they stand. NOT NULL is no part of it: a table keeps the promises it was made with.

    `former`: names that columns had before. Given again, such a name would show NULL, or what is left in old files, in place of the values that it had:
    only where columns are dropped by declaration is that meant. `is_begun`: the table has batches, whose rows have a sequence of as many parts as it is.

    Raises DataError, naming every difference, where the policy does not allow one.
    """
    rename = renames(names(held), policy)
    held = tuple(replace(c, name=dict(rename).get(c.name, c.name)) for c in held)
    there = {c.name: c for c in held}
    wanted = {c.name for c in declared}
    gone = tuple(c for c in held if c.name not in wanted)
    former = () if policy.dropped_column == "drop" else former
    drop = names(c for c in gone if policy.dropped_column == "drop" and not is_reserved(c.name))
    append = tuple(c for c in declared if c.name not in there)
    changed = [c for c in declared if c.name in there and c.type != there[c.name].type]
    widen = tuple(c for c in changed if is_wider(c.type, there[c.name].type) and not is_reserved(c.name))
    wrong = [said for c in changed if c not in widen or policy.wider_type == "fail" for said in _differences(there[c.name], c)]
    wrong += [f"it has besides {c}" for c in gone if c.name not in drop]
    spelled = {c.name.casefold(): c.name for c in gone}
    wrong += [f"it has {spelled[c.name.casefold()]} where {c.name} is declared" for c in append if c.name.casefold() in spelled]
    if wrong or policy.new_column == "fail" or any(_why(c, former, is_begun) for c in append):
        wrong = [f"it lacks {c}{_why(c, former, is_begun)}" for c in append] + wrong
    if wrong:
        both = f"table {table} has the columns ({some(map(str, held))}) but ({some(map(str, declared))}) are declared"
        raise DataError(f"{both}: {'; '.join(wrong)}", hint=_ANEW)
    return Evolution(append, tuple(replace(c, required=there[c.name].required) for c in widen), rename, drop)


def _differences(held: Column, declared: Column) -> Iterator[str]:
    """What is other than declared, inside nested types as far down as these have the same fields."""
    parts = tuple(zip(held.type.fields, declared.type.fields, strict=False))
    if held.type == declared.type or held.type.name != declared.type.name or names(held.type.fields) != names(declared.type.fields) or not parts:
        why = ", which orders events: the type of a sequence does not change" if is_reserved(declared.name) else ""
        yield f"it has {held} where {declared} is declared{why}"
        return
    for inner, wanted in parts:
        if inner != wanted:
            yield from _differences(*(replace(part, name=f"{held.name}.{part.name}") for part in (inner, wanted)))


def _why(column: Column, former: Collection[str], is_begun: bool) -> str:
    """What speaks against appending a column; nothing where nothing does."""
    if column.name in former:
        return ", which it had before and another tool dropped or renamed"
    if is_begun and is_reserved(column.name):
        return ", which orders events, and the rows that are there were ordered without it"
    return ", and a new column has no value in the rows that are there" if column.required else ""


def is_wider(new: DataType, old: DataType) -> bool:
    """True where every value of the old type is one of the new."""
    if new.name == old.name == "decimal":
        return new.precision > old.precision and new.scale == old.scale
    return (old.name, new.name) in _WIDER
