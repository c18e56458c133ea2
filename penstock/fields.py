"""Kinds of fields that the models of the pipeline language share."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from pydantic import AfterValidator, Field

from penstock.errors import ArgumentError
from penstock.schema import Column, is_reserved, name_fault, paths, same_but_for_case

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Location = Annotated[str, Field(min_length=1)]


def _known_columns(columns: dict[str, str]) -> dict[str, str]:
    parsed = []
    for name, text in columns.items():
        try:
            parsed.append(Column.parse(name, text))
        except ArgumentError as error:
            raise ValueError(f"column {name!r}: {error.message}") from None
        if is_reserved(name):
            raise ValueError(f"column {name!r}: names that begin with two underscores are Penstock's own")
        if fault := name_fault(name):
            raise ValueError(f"column {name!r}: {fault}")
    if twice := [name for name, n in Counter(paths(parsed)).items() if n > 1]:
        raise ValueError(f"{twice[0]!r} is a column, or a field inside one, twice over; Iceberg takes the two for one")
    if pair := same_but_for_case(columns):
        raise ValueError(f"columns {pair[0]!r} and {pair[1]!r} differ only in case; engines take them for one")
    return columns


ColumnTypes = Annotated[dict[str, str], Field(min_length=1), AfterValidator(_known_columns)]
