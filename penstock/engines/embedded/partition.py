"""Partition transforms as SQL: integers counted from 1970 as Iceberg's spec has them, before it too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from penstock.schema import quote
from penstock.tables import DataFile, PartitionField

Partition = tuple[object, ...]

_EXPRESSIONS = {
    "identity": "{0}",
    "years": "CAST(year({0}) - 1970 AS INTEGER)",
    "months": "CAST((year({0}) - 1970) * 12 + month({0}) - 1 AS INTEGER)",
    "days": "CAST(CAST({0} AS DATE) - DATE '1970-01-01' AS INTEGER)",
    "hours": "CAST(date_diff('hour', DATE '1970-01-01', {0}) AS INTEGER)",
}


def partition_value(field: PartitionField) -> str:
    return _EXPRESSIONS[field.transform].format(quote(field.column))


def place(partition: Partition) -> Partition:
    """A partition's values, to be compared: NaN is one place, though it does not equal itself."""
    return tuple("NaN" if value != value else value for value in partition)


def by_place(files: Iterable[DataFile]) -> dict[Partition, list[DataFile]]:
    """The files of each partition."""
    found: dict[Partition, list[DataFile]] = defaultdict(list)
    for file in files:
        found[place(file.partition)].append(file)
    return found
