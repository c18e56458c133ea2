"""Rows kept from a table: whole, with the reason and the place that they came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.documents import json_rows
from penstock.schema import Column, DataType, is_hidden
from penstock.sources import OP, PAYLOAD, POSITION, REASON

if TYPE_CHECKING:
    import pyarrow as pa

QUARANTINE_COLUMNS = (
    Column("__step", DataType("string")),
    Column("__batch", DataType("bigint")),
    Column(POSITION, DataType("string")),
    Column(REASON, DataType("string")),
    Column(PAYLOAD, DataType("string")),
)


def quarantine_rows(step: str, batch: int, rejected: pa.Table, *refused: pa.Table | None) -> pa.Table:
    """A batch's bad rows in the quarantine's columns: those that could not be read as they came, those that were refused later as JSON."""
    import pyarrow as pa

    rows = list(rejected.to_pylist())
    for failed in (failed for failed in refused if failed is not None):
        payloads = json_rows(failed, without=lambda name: is_hidden(name) and name != OP)
        rows += [
            {POSITION: at, REASON: why, PAYLOAD: payload}
            for at, why, payload in zip(failed[POSITION].to_pylist(), failed[REASON].to_pylist(), payloads, strict=True)
        ]
    schema = pa.schema([(c.name, c.type.arrow()) for c in QUARANTINE_COLUMNS])
    return pa.Table.from_pylist([{"__step": step, "__batch": batch, **row} for row in rows], schema=schema)
