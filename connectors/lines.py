"""Objects that hold one record a line: what each line became, and the rows made of it."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from penstock.connectors.nested import Array
from penstock.connectors.readers import ReadSpec, rejected_schema, row_schema

_CHUNK_BYTES = 2 * 1024 * 1024

Line = tuple[int, bytes]


def chunks(data: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """The lines in groups of a few megabytes, blank ones included, each with the number (from 1) of its first line."""
    number, start = 1, 0
    while start < len(data):
        end = len(data) if start + _CHUNK_BYTES >= len(data) else data.find(b"\n", start + _CHUNK_BYTES)
        group = data[start : len(data) if end < 0 else end].split(b"\n")
        yield number, group
        number, start = number + len(group), start + sum(map(len, group)) + len(group)


def count_lines(data: bytes) -> int:
    """How many lines are not blank."""
    return sum(not is_blank(line) for _, group in chunks(data) for line in group)


def without(data: bytes, numbers: Container[int]) -> bytes:
    """The object without some lines, by their numbers."""
    return b"\n".join(line for first, group in chunks(data) for number, line in enumerate(group, start=first) if number not in numbers)


def is_blank(line: bytes) -> bool:
    return not line or line.isspace()


@dataclass
class Rejected:
    """Records that cannot be rows, with the reason; kept whole."""

    numbers: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    payloads: list[str] = field(default_factory=list)

    def add(self, number: int, payload: bytes, reason: str) -> None:
        self.numbers.append(number)
        self.reasons.append(reason)
        self.payloads.append(payload.decode(errors="backslashreplace"))

    def table(self, uri: str) -> pa.Table:
        return pa.Table.from_arrays(
            [positions(uri, self.numbers), pa.array(self.reasons, pa.string()), pa.array(self.payloads, pa.string())], schema=rejected_schema()
        )


def positions(uri: str, numbers: Sequence[int]) -> Array:
    parts: list[Any] = [pa.scalar(f"{uri}#"), pa.array(numbers, pa.int64()).cast(pa.string()), ""]
    return pc.binary_join_element_wise(*parts)


def accepted(uri: str, spec: ReadSpec, numbers: Sequence[int], arrays: Sequence[Array], reasons: Mapping[int, str]) -> pa.Table:
    """The rows that have no reason against them; `arrays` are the columns of `row_schema` in order, but for the position."""
    schema = row_schema(spec)
    width = len(spec.columns)
    table = pa.Table.from_arrays([*arrays[:width], positions(uri, numbers), *arrays[width:]], schema=schema)
    return table.filter(pa.array([i not in reasons for i in range(len(numbers))])) if reasons else table
