"""Columns in Delta's words, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from penstock.errors import NotSupportedError
from penstock.schema import Column, Columns, DataType

if TYPE_CHECKING:
    from deltalake import Schema

_NAMES = {DataType(n).delta: n for n in ("boolean", "int", "bigint", "float", "double", "string", "binary", "date", "timestamp", "timestamp_ntz")}


def schema_of(columns: Columns) -> Schema:
    from deltalake import Schema

    return Schema.from_json(json.dumps(DataType("struct", fields=columns).delta))


def columns_of(schema: Schema) -> Columns:
    """Raises NotSupportedError for a type that Penstock has no name for."""
    return _columns(json.loads(schema.to_json())["fields"])


def _columns(fields: list[dict[str, Any]]) -> Columns:
    return tuple(_column(f["name"], f["type"], required=not f["nullable"]) for f in fields)


def _column(name: str, kind: Any, *, required: bool) -> Column:
    match kind:
        case {"type": "struct", "fields": fields}:
            found = DataType("struct", fields=_columns(fields))
        case {"type": "array", "elementType": element, "containsNull": nullable}:
            found = DataType("array", fields=(_column("element", element, required=not nullable),))
        case {"type": "map", "keyType": key, "valueType": value, "valueContainsNull": nullable}:
            found = DataType("map", fields=(_column("key", key, required=True), _column("value", value, required=not nullable)))
        case str() if kind in _NAMES or kind.startswith("decimal("):
            found = DataType.parse(_NAMES.get(kind, kind))
        case _:
            raise NotSupportedError(f"column {name!r} of type {kind}")
    return Column(name, found, required)
