"""Typed decoders for JSON objects that hold a row."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from penstock.schema import Columns

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_FLOATING = frozenset({"float", "double"})


def image_type(columns: Columns, absent: object) -> type[msgspec.Struct]:
    """A struct with the attributes `c0, c1 …` for the columns; what an object lacks is `absent`, what it has besides is skipped.

    Decode it with `float_hook=Decimal`: a number stays exact, save in columns that are floating themselves.
    """
    fields = [(f"c{i}", float | str | bool | None if c.type.name in _FLOATING else Any, absent) for i, c in enumerate(columns)]
    return msgspec.defstruct("Image", fields, rename={f"c{i}": c.name for i, c in enumerate(columns)}, gc=False)


def column_values(images: Sequence[msgspec.Struct], columns: Columns) -> list[list[Any]]:
    return [list(map(attrgetter(f"c{i}"), images)) for i in range(len(columns))]
