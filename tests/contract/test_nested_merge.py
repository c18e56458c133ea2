"""Streams whose values are structs, arrays and maps end as the model's plain ones: each value wrapped in a way that keeps its place in the order."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from changes_model import HISTORY, SOFT, SPEC, TYPES, Event, stream
from merged import TEXTS, Merged, run

from penstock.changes.facts import MergeSpec
from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import Catalog, open_catalog
from penstock.engines.embedded import files
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.schema import Column, DataType
from penstock.tables import PartitionField

NESTED = {
    "order": "struct<n: bigint, deep: array<struct<`the n`: bigint>>>",
    "Total Amount": "map<string, decimal(12,2)>",
    "note": "array<map<string, string>>",
}
_shuffled = random.Random(1)


def _any_order(*entries: tuple[str, Any]) -> list[tuple[str, Any]]:
    """A map's entries as its writer happened to have them."""
    return _shuffled.sample(entries, len(entries))


WRAPPED: dict[str, Callable[[Any], Any]] = {
    "order": lambda v: {"n": v, "deep": [{"the n": v}]},
    "Total Amount": lambda v: _any_order(("also", 0), ("value", v), ("ä", None)),
    "note": lambda v: [_any_order(("a", v), ("b", v))],
}
PLAIN: dict[str, Callable[[Any], Any]] = {
    "order": lambda v: v["deep"][0]["the n"],
    "Total Amount": lambda v: dict(v)["value"],
    "note": lambda v: dict(v[0])["b"],
}


class Nested(Merged):
    texts = TEXTS | NESTED

    def said(self, events: list[Event]) -> pa.Table:
        rows = [{c: WRAPPED[c](v) if c in WRAPPED and v is not None else v for c, v in e.items()} for e in events]
        kinds = {c: DataType.parse(NESTED[c]).arrow() if c in NESTED else kind for c, kind in TYPES.items() if c != "gone"}
        return pa.Table.from_pylist(rows, schema=pa.schema(kinds))

    def found(self) -> list[dict[str, Any]]:
        return [{c: PLAIN[c](v) if c in PLAIN and v is not None else v for c, v in row.items()} for row in super().found()]


@pytest.fixture
def folder(tmp_path: Path) -> Catalog:
    return open_catalog(CatalogConnection(kind="catalog", catalog="sqlite", warehouse="warehouse"), AwsSettings(), tmp_path)


@pytest.mark.parametrize("position_deletes", [False, True], ids=["rewritten", "deleted"])
def test_whole_rows_end_as_the_model(folder: Catalog, table_format: str, position_deletes: bool) -> None:
    run(Nested(folder, table_format, position_deletes=position_deletes), stream(1), 1)


@pytest.mark.parametrize("spec", [SPEC, SOFT, HISTORY], ids=["scd1", "soft_delete", "scd2"])
def test_partial_rows_and_truncates_end_as_the_model(folder: Catalog, table_format: str, spec: MergeSpec) -> None:
    events = stream(2, partial=0.2, truncates=0.03, events_a_key=15)
    run(Nested(folder, table_format, PartitionField("identity", "tenant"), spec=spec), events, 2)


def test_equal_maps_in_another_order_are_one_value(catalog: Catalog, table_format: str) -> None:
    event = dict.fromkeys(TYPES) | {"tenant": 1, "Customer Id": "x", "order": 1, "Total Amount": 1, "note": "n", "__op": "c", "__sequence_1": 1}
    event |= {"__sequence_2": 1}
    merged = Nested(catalog, table_format)
    assert merged.apply([event], 1).applied == 1
    counts = merged.apply([event] * 20, 2)
    assert (counts.unchanged, counts.duplicate) == (1, 19)


@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
def test_files_that_are_divided_are_known_again_as_own(folder: Catalog, table_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another writer's file, odd names inside a column would not be believed."""
    monkeypatch.setattr(files, "FILE_ROWS", 2048)
    table = folder.create("ops", "parts", table_format, (Column.parse("id", "bigint"), Column.parse("s", "struct<`the n`: bigint>")))
    pinned = table.pin()
    with EmbeddedEngine(AwsSettings()).session() as session:
        session.execute("CREATE TABLE new AS SELECT i AS id, {'the n': i} AS s FROM range(10_000) t(i)")
        assert table.commit(pinned, session.append(table, pinned, "new", "run")).state == "done"
        session.scan("now", table, table.pin())
        assert session.query('SELECT COUNT(*) AS n, SUM(s."the n") AS s FROM now').to_pylist() == [{"n": 10_000, "s": 49_995_000}]
    assert len(table.files(table.pin())) > 1
