"""What a reading connector hands on: typed rows, the rows it had to reject, and its own count of what it read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from penstock.errors import ArgumentError, choice
from penstock.types import Column

if TYPE_CHECKING:
    import pyarrow as pa

OP = "__op"
UNAVAILABLE = "__unavailable"
POSITION = "__position"
REASON = "__reason"
PAYLOAD = "__payload"
OPERATIONS = {"c": "insert", "u": "update", "d": "delete", "r": "snapshot read", "t": "truncate"}


def lacks(column: Column) -> str:
    """The reason against a row without a value of a column that must have one."""
    return f"column {column.name!r} is {column.type}! and may not be NULL"


@dataclass(frozen=True)
class Rows:
    """One batch as a connector read it.

    `table` holds the declared columns, typed, and `__position` (`<uri>#<line or row, from 1>`); change feeds add `__op` (a key of OPERATIONS),
    `__unavailable` (the columns whose value an event leaves out, as `changes.facts.unavailable` says them) and `__sequence_1..n` (bigint). A delete holds
    its keys, other columns NULL; a truncate holds nothing. `rejected` has the columns `__position, __reason, __payload`, all strings.
    A record that changes a key is a delete and an upsert, two rows of one position.
    `read` is counted by the connector alone: read = table.num_rows + rejected.num_rows + filtered, or something was lost.
    """

    table: pa.Table
    rejected: pa.Table
    read: int
    filtered: int = 0


@dataclass(frozen=True)
class SourceFormat:
    """What a format of files is able to say, and the module that reads it; light enough for a scheduler.

    `options` are the fields of a `read` that go with this format, with the value each has when it is not given.
    `sequence_parts`: how many numbers order an event, by the source connector that wrote it; empty for formats that are no change feed.
    `has_nested`: its values may be structs, arrays and maps. Files without a `reader` only Redshift reads, by COPY.
    """

    name: str
    reader: str
    options: Mapping[str, str | None] = field(default_factory=dict)
    sequence_parts: Mapping[str, int] = field(default_factory=dict)
    has_nested: bool = True

    @property
    def is_change_feed(self) -> bool:
        return bool(self.sequence_parts)


_DECLARED_IN = {
    "avro": "penstock.connectors.files.config",
    "csv": "penstock.connectors.files.config",
    "debezium": "penstock.connectors.debezium.config",
    "json": "penstock.connectors.files.config",
    "orc": "penstock.connectors.files.config",
    "parquet": "penstock.connectors.files.config",
}


def source_format(name: str) -> SourceFormat:
    """The format by its name in a pipeline file; raises ArgumentError for a name that no connector has."""
    if name not in _DECLARED_IN:
        raise ArgumentError(f"format {choice(name, _DECLARED_IN)}")
    found: SourceFormat = import_module(_DECLARED_IN[name]).FORMATS[name]
    return found


def source_formats() -> tuple[SourceFormat, ...]:
    return tuple(source_format(name) for name in _DECLARED_IN)
