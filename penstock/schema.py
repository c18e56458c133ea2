"""Columns: those that a user declares, and the hidden ones that Penstock adds to a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from penstock.naming import backquote as backquote
from penstock.naming import literal as literal
from penstock.naming import name_fault as name_fault
from penstock.naming import quote as quote
from penstock.naming import same_but_for_case as same_but_for_case
from penstock.types import Column as Column
from penstock.types import DataType as DataType

if TYPE_CHECKING:
    import pyarrow as pa

Columns = tuple[Column, ...]


def names(columns: Iterable[Column]) -> tuple[str, ...]:
    return tuple(c.name for c in columns)


def paths(columns: Iterable[Column], inside: str = "") -> Iterator[str]:
    """The columns, and the fields inside them, by the names that Iceberg gives each: with dots between."""
    for column in columns:
        yield f"{inside}{column.name}"
        yield from paths(column.type.fields, f"{inside}{column.name}.")


def arrow_schema(columns: Iterable[Column]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([pa.field(c.name, c.type.arrow(), nullable=not c.required) for c in columns])


HIDDEN = "__"


_INTERVAL = ("__start_at", "__end_at")


def is_reserved(name: str) -> bool:
    """True for names that columns of a user may not have."""
    return name.startswith(HIDDEN)


def is_hidden(name: str) -> bool:
    """True for the columns that Penstock adds to a table: plans, copies and queries leave them out unless named. The ends of versions are shown."""
    return is_reserved(name) and not name.startswith(_INTERVAL)


def sequence_columns(types: Iterable[DataType]) -> Columns:
    """The hidden columns that hold a row's sequence, one a part."""
    return tuple(Column(f"__sequence_{i + 1}", t) for i, t in enumerate(types))


def interval_columns(types: Sequence[DataType]) -> Columns:
    """The columns of a version's two ends, one a part of the sequence; numbered where it has several."""
    numbers = [""] if len(types) == 1 else [f"_{i + 1}" for i in range(len(types))]
    return tuple(Column(f"{end}{number}", t) for end in _INTERVAL for number, t in zip(numbers, types, strict=True))


BIGINT = DataType("bigint")
