"""Keys and partitions of every type, through the engine, onto real tables: found again, updated, moved, deleted."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from values import VALUES

from penstock.changes.counts import Counts
from penstock.changes.facts import MergeSpec, memory_columns
from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import Catalog, open_catalog
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.schema import BIGINT, Column, DataType, arrow_schema, sequence_columns
from penstock.tables import PartitionField


@pytest.fixture
def folder(tmp_path: Path) -> Catalog:
    return open_catalog(CatalogConnection(kind="catalog", catalog="sqlite", warehouse="warehouse"), AwsSettings(), tmp_path)


class Keyed:
    """A table of `columns` with its memory; events are given as (operation, key, other values)."""

    def __init__(self, catalog: Catalog, table_format: str, columns: dict[str, str], *partitions: PartitionField) -> None:
        declared = tuple(Column.parse(n, t) for n, t in columns.items())
        self.columns = (*declared, *sequence_columns([BIGINT]))
        self.spec = MergeSpec((declared[0].name,), tuple(columns)[1:], 1)
        name = f"k_{secrets.token_hex(4)}"
        self.table = catalog.create("ops", name, table_format, self.columns, partitions)
        self.memory = catalog.create("ops", f"{name}__memory", table_format, memory_columns(self.spec, self.columns))
        self.batch = 0

    def merge(self, events: Iterable[tuple[str, Any, Any]]) -> Counts:
        self.batch += 1
        rows = [
            {**dict(zip((*self.spec.keys, *self.spec.data), event, strict=True)), "__sequence_1": self.batch, "__op": op, "__unavailable": None}
            for op, *event in events
        ]
        nullable = pa.schema([f.with_nullable(True) for f in arrow_schema(self.columns)])
        with EmbeddedEngine(AwsSettings()).session() as session:
            session.load(
                "batch", pa.Table.from_pylist(rows, schema=nullable.append(pa.field("__op", pa.string())).append(pa.field("__unavailable", pa.string())))
            )
            pinned, remembered = self.table.pin(), self.memory.pin()
            found = session.settle(self.spec, self.table, pinned, self.memory, remembered)
            for table, state, upserts, deletes in (
                (self.memory, remembered, found.remember, found.forget), (self.table, pinned, found.upserts, found.deletes),
            ):  # fmt: skip
                change = session.rewrite(table, state, upserts, deletes, "run")
                assert table.commit(state, replace(change, ledger={"p/s": self.batch})).state == "done"
        return found.counts.check("batch")

    def rows(self) -> list[str]:
        """What stands in the table, as text: NaN then equals itself."""
        with EmbeddedEngine(AwsSettings()).session() as session:
            session.scan("now", self.table, self.table.pin())
            return sorted(str(tuple(row.values())[:2]) for row in session.query("SELECT * FROM now").to_pylist())


def values_of(kind: str) -> list[Any]:
    """The values as Arrow gives them back: floats of the right width, decimals of the right scale."""
    found: list[Any] = pa.array(VALUES[kind], DataType.parse(kind).arrow()).to_pylist()
    return found


def text(rows: Iterable[tuple[Any, Any]]) -> list[str]:
    return sorted(str(row) for row in rows)


@pytest.mark.parametrize("kind", VALUES)
def test_keys_of_every_type_are_found_again(folder: Catalog, table_format: str, kind: str) -> None:
    """Each key comes in a batch, and so a file range, of its own; then all are updated at once, then all but the first deleted one by one."""
    values = values_of(kind)
    keyed = Keyed(folder, table_format, {"k": f"{kind}!", "n": "int"})
    for value in reversed(values):
        assert keyed.merge([("c", value, 1)]).applied == 1
    keyed.merge([("u", value, 2) for value in values])
    assert keyed.rows() == text((value, 2) for value in values)
    for value in values[1:]:
        keyed.merge([("d", value, None)])
    assert keyed.rows() == text([(values[0], 2)])
    assert keyed.merge([("d", value, None) for value in values[1:]]).superseded == 0


def partition_values(kind: str, table_format: str) -> list[Any]:
    if (kind, table_format) == ("binary", "delta"):
        pytest.skip("delta is not partitioned by binary columns: refused when the table is made")
    return [*values_of(kind), None]


@pytest.fixture
def _no_pytz(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run set has none, and DuckDB asks for it when it makes Python's instants itself."""
    monkeypatch.setitem(sys.modules, "pytz", None)


@pytest.mark.usefixtures("_no_pytz")
@pytest.mark.parametrize("kind", VALUES)
def test_rows_move_between_partitions_of_every_type(folder: Catalog, table_format: str, kind: str) -> None:
    values = partition_values(kind, table_format)
    keyed = Keyed(folder, table_format, {"k": "int!", "v": kind}, PartitionField("identity", "v"))
    keyed.merge(("c", i, value) for i, value in enumerate(values))
    assert keyed.rows() == text(enumerate(values))
    keyed.merge(("u", i, value) for i, value in enumerate(reversed(values)))
    assert keyed.rows() == text(enumerate(reversed(values)))
    keyed.merge(("d", i, None) for i in range(len(values)))
    assert keyed.rows() == []


@pytest.mark.usefixtures("_no_pytz")
@pytest.mark.parametrize("kind", VALUES)
def test_partitions_of_every_type_are_overwritten(folder: Catalog, table_format: str, kind: str, request: pytest.FixtureRequest) -> None:
    """The second time, each partition but the first gets one row in place of its one row: nothing stands twice, nothing else goes."""
    if (kind, table_format) == ("double", "iceberg"):
        reason = "not there upstream: pyiceberg 0.12.0 reads a double of a manifest as a float (apache/iceberg-python#3808)"
        request.applymarker(pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason))
    values = partition_values(kind, table_format)
    keyed = Keyed(folder, table_format, {"k": "int!", "v": kind}, PartitionField("identity", "v"))
    for add, first in ((0, 0), (100, 1)):
        rows = [{"k": add + i, "v": value, "__sequence_1": 1} for i, value in enumerate(values) if i >= first]
        with EmbeddedEngine(AwsSettings()).session() as session:
            session.load("rows", pa.Table.from_pylist(rows, schema=arrow_schema(keyed.columns)))
            pinned = keyed.table.pin()
            change = session.overwrite(keyed.table, pinned, "rows", "run", lambda _: False)
            assert keyed.table.commit(pinned, replace(change, ledger={"p/s": add + 1})).state == "done"
    assert keyed.rows() == text([(0, values[0]), *((100 + i, value) for i, value in enumerate(values) if i)])
