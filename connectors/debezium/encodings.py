"""How Debezium wrote each column: told by an event's schema, or by the connector's settings where events carry none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from penstock.connectors.readers import ReadSpec
from penstock.connectors.values import Encoding, Epoch
from penstock.schema import Column

_EPOCHS: Mapping[str, Epoch] = {
    "io.debezium.time.Date": "days",
    "io.debezium.time.Timestamp": "ms",
    "io.debezium.time.MicroTimestamp": "us",
    "io.debezium.time.NanoTimestamp": "ns",
    "org.apache.kafka.connect.data.Date": "days",
    "org.apache.kafka.connect.data.Timestamp": "ms",
}
_TIMESTAMP_UNITS: Mapping[str, Epoch] = {"postgresql": "us", "mysql": "ms"}
_DECIMAL, _BITS = "org.apache.kafka.connect.data.Decimal", "io.debezium.data.Bits"


def without_schema(spec: ReadSpec) -> tuple[Encoding, ...]:
    """By the step's options; a decimal's scale is the declared one."""
    unit = spec.option("timestamp_unit") or _TIMESTAMP_UNITS[str(spec.option("connector"))]
    precise = spec.option("decimal_handling_mode") == "precise"
    return tuple(
        Encoding(epoch="days" if c.type.name == "date" else cast("Epoch", unit), decimal_scale=c.type.scale if precise and c.type.name == "decimal" else None)
        for c in spec.columns
    )


def from_schema(spec: ReadSpec, schema: bytes) -> tuple[Encoding, ...]:
    """By the `schema` beside an event's payload; raises msgspec.MsgspecError when it is no schema."""
    images = {f.field: f.fields for f in msgspec.json.decode(schema, type=_Field).fields}
    fields = {f.field: f for f in images.get("after", images.get("before", ()))}
    return tuple(_encoding(column, fields.get(column.name)) for column in spec.columns)


class _Field(msgspec.Struct, gc=False):
    field: str | None = None
    name: str | None = None
    parameters: dict[str, Any] | None = None
    fields: Sequence[_Field] = ()


def _encoding(column: Column, found: _Field | None) -> Encoding:
    if found is None or found.name is None:
        return Encoding()
    scale = int((found.parameters or {}).get("scale", column.type.scale)) if found.name == _DECIMAL else None
    return Encoding(epoch=_EPOCHS.get(found.name), decimal_scale=scale, bits=found.name == _BITS)
