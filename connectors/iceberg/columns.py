"""Columns and partitions in Iceberg's words, and back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from penstock.errors import NotSupportedError
from penstock.schema import Column, Columns, DataType
from penstock.tables import FieldId, PartitionField

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table.sorting import SortOrder
    from pyiceberg.transforms import Transform
    from pyiceberg.types import IcebergType, NestedField

_TRANSFORMS = {"identity": "identity", "year": "years", "month": "months", "day": "days", "hour": "hours"}
_SIZED = re.compile(r"(bucket|truncate)\[(\d+)\]")
_WORDS = {"array": "list", "map": "map"}
_NAMES = {DataType(n).iceberg: n for n in ("boolean", "int", "bigint", "float", "double", "string", "binary", "date", "timestamp", "timestamp_ntz")}


def schema_of(columns: Columns) -> Schema:
    """With a number for each field, those inside nested ones too; the columns' own are 1, 2 ..."""
    from pyiceberg.schema import Schema

    numbers = count(len(columns) + 1)
    return Schema.model_validate({"type": "struct", "fields": [_field(i, c, numbers) for i, c in enumerate(columns, 1)]})


def _field(number: int, column: Column, numbers: Iterator[int]) -> dict[str, Any]:
    return {"id": number, "name": column.name, "required": column.required, "type": _type(column.type, numbers)}


def _type(kind: DataType, numbers: Iterator[int]) -> Any:
    """A type in Iceberg's JSON."""
    if not kind.is_nested:
        return kind.iceberg
    if kind.name == "struct":
        return {"type": "struct", "fields": [_field(next(numbers), f, numbers) for f in kind.fields]}
    parts = {f.name: {"": _type(f.type, numbers), "-id": next(numbers), "-required": f.required} for f in kind.fields}
    return {"type": _WORDS[kind.name]} | {f"{name}{what}": said for name, part in parts.items() for what, said in part.items()}


def columns_of(schema: Schema) -> Columns:
    """Raises NotSupportedError for a type that Penstock has no name for."""
    return tuple(_column(field) for field in schema.fields)


def _column(field: NestedField) -> Column:
    text = str(field.field_type)
    if inside := parts_of(field.field_type):
        name = next((own for own, word in _WORDS.items() if text.startswith(f"{word}<")), "struct")
        return Column(field.name, DataType(name, fields=tuple(map(_column, inside))), field.required)
    if text not in _NAMES and not text.startswith("decimal("):
        raise NotSupportedError(f"column {field.name!r} of type {text}")
    return Column(field.name, DataType.parse(_NAMES.get(text, text)), field.required)


def parts_of(kind: IcebergType) -> tuple[NestedField, ...]:
    """What is inside a struct, a list or a map; nothing in a primitive."""
    from pyiceberg.types import ListType, MapType, StructType

    match kind:
        case StructType():
            return kind.fields
        case ListType():
            return (kind.element_field,)
        case MapType():
            return (kind.key_field, kind.value_field)
    return ()


def field_ids(fields: Sequence[NestedField]) -> dict[str, FieldId]:
    return {f.name: FieldId(f.field_id, field_ids(parts_of(f.field_type))) for f in fields}


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
