"""How Debezium wrote each column: told by an event's schema, or by the connector's settings where events carry none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from penstock.connectors.readers import ReadSpec
from penstock.connectors.values import Encoding, Epoch
from penstock.schema import DataType

_EPOCHS: Mapping[str, Epoch] = {
    "io.debezium.time.Date": "days",
    "io.debezium.time.Timestamp": "ms",
    "io.debezium.time.MicroTimestamp": "us",
    "io.debezium.time.NanoTimestamp": "ns",
    "org.apache.kafka.connect.data.Date": "days",
    "org.apache.kafka.connect.data.Timestamp": "ms",
}
_TIMESTAMP_UNITS: Mapping[str, Epoch] = {"postgresql": "us", "mysql": "ms"}
_DECIMAL, _BITS, _JSON = "org.apache.kafka.connect.data.Decimal", "io.debezium.data.Bits", "io.debezium.data.Json"


def without_schema(spec: ReadSpec) -> tuple[Encoding, ...]:
    """By the step's options; a decimal's scale is the declared one, and text in a nested column a JSON column's value."""
    unit = spec.option("timestamp_unit") or _TIMESTAMP_UNITS[str(spec.option("connector"))]
    precise = spec.option("decimal_handling_mode") == "precise"

    def encoding(kind: DataType) -> Encoding:
        epoch = "days" if kind.name == "date" else cast("Epoch", unit)
        scale = kind.scale if precise and kind.name == "decimal" else None
        return Encoding(epoch=epoch, decimal_scale=scale, json=True, parts={f.name: encoding(f.type) for f in kind.fields})

    return tuple(encoding(c.type) for c in spec.columns)


def from_schema(spec: ReadSpec, schema: bytes) -> tuple[Encoding, ...]:
    """By the `schema` beside an event's payload; raises msgspec.MsgspecError when it is no schema."""
    images = {f.field: f.fields for f in msgspec.json.decode(schema, type=_Field).fields}
    fields = {f.field: f for f in images.get("after", images.get("before", ()))}
    return tuple(_encoding(column.type, fields.get(column.name)) for column in spec.columns)


class _Field(msgspec.Struct, gc=False):
    field: str | None = None
    name: str | None = None
    parameters: dict[str, Any] | None = None
    fields: Sequence[_Field] = ()
    items: _Field | None = None
    keys: _Field | None = None
    values: _Field | None = None

    def part(self, name: str, of: str) -> _Field | None:
        """The field of that name in a struct, an array or a map."""
        if of == "struct":
            return next((f for f in self.fields if f.field == name), None)
        return {"element": self.items, "key": self.keys, "value": self.values}[name]


def _encoding(kind: DataType, found: _Field | None) -> Encoding:
    if found is None:
        return Encoding()
    parts = {f.name: _encoding(f.type, found.part(f.name, kind.name)) for f in kind.fields}
    scale = int((found.parameters or {}).get("scale", kind.scale)) if found.name == _DECIMAL else None
    return Encoding(epoch=_EPOCHS.get(found.name or ""), decimal_scale=scale, bits=found.name == _BITS, json=found.name == _JSON, parts=parts)
