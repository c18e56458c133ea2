"""Columns and partitions in Iceberg's words, and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from penstock.errors import NotSupportedError
from penstock.schema import Column, Columns, DataType
from penstock.tables import PartitionField

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table.sorting import SortOrder
    from pyiceberg.transforms import Transform

_TRANSFORMS = {"identity": "identity", "year": "years", "month": "months", "day": "days", "hour": "hours"}
_SIZED = re.compile(r"(bucket|truncate)\[(\d+)\]")
_NAMES = {DataType(n).iceberg: n for n in ("boolean", "int", "bigint", "float", "double", "string", "binary", "date", "timestamp", "timestamp_ntz")}


def schema_of(columns: Columns) -> Schema:
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField

    return Schema(*(NestedField(i + 1, c.name, c.type.iceberg, required=c.required) for i, c in enumerate(columns)))


def columns_of(schema: Schema) -> Columns:
    """Raises NotSupportedError for a type that Penstock has no name for."""
    found = []
    for field in schema.fields:
        text = str(field.field_type)
        if text not in _NAMES and not text.startswith("decimal("):
            raise NotSupportedError(f"column {field.name!r} of type {text}")
        found.append(Column(field.name, DataType.parse(_NAMES.get(text, text)), field.required))
    return tuple(found)


def spec_of(schema: Schema, partition_by: Sequence[PartitionField]) -> PartitionSpec:
    from pyiceberg.partitioning import PartitionField as SpecField
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.transforms import parse_transform

    words = {plural: word for word, plural in _TRANSFORMS.items()}

    def transform(field: PartitionField) -> Transform[Any, Any]:
        return parse_transform(f"{field.transform}[{field.width}]" if field.width else words[field.transform])

    return PartitionSpec(
        *(SpecField(source_id=schema.find_field(p.column).field_id, field_id=1000 + i, transform=transform(p), name=p.name) for i, p in enumerate(partition_by))
    )


def partitions_of(table: str, schema: Schema, spec: PartitionSpec) -> tuple[PartitionField, ...]:
    """Raises NotSupportedError for a transform that Penstock has no name for."""

    def field(text: str, column: str) -> PartitionField:
        if sized := _SIZED.fullmatch(text):
            return PartitionField(sized[1], column, int(sized[2]))
        if text not in _TRANSFORMS:
            raise NotSupportedError(f"writing {table}, partitioned by {text},")
        return PartitionField(_TRANSFORMS[text], column)

    return tuple(field(str(f.transform), schema.find_column_name(f.source_id) or "") for f in spec.fields)


def order_of(schema: Schema, sort_by: Sequence[str]) -> SortOrder:
    """Ascending, NULLs first, as Spark sorts."""
    from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, NullOrder, SortField, SortOrder
    from pyiceberg.transforms import IdentityTransform

    fields = [SortField(schema.find_field(c).field_id, IdentityTransform(), null_order=NullOrder.NULLS_FIRST) for c in sort_by]
    return SortOrder(*fields) if fields else UNSORTED_SORT_ORDER
