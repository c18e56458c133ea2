"""Every format, in every catalog: one body of cases runs over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spark_server

from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import Catalog, open_catalog
from penstock.connectors.stores import filesystem
from penstock.engines.base import Engine
from penstock.engines.opening import open_engine
from penstock.schema import arrow_schema
from penstock.tables import LakeTable, Pinned, WrittenFile


@pytest.fixture(params=("sqlite", "glue"))
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Catalog:
    if request.param == "sqlite":
        found: Catalog = request.getfixturevalue("lake")
        return found
    make: Callable[[str], str] = request.getfixturevalue("local_bucket")
    connection = CatalogConnection(kind="catalog", catalog="glue", warehouse=f"s3://{make('lake')}/warehouse")
    return open_catalog(connection, AwsSettings.from_environment(), tmp_path)


@pytest.fixture
def spark(spark_address: str) -> Iterator[Any]:
    """A session on the run's real Spark; skipped where there is no Java for it."""
    with spark_server.connected(spark_address) as session:
        yield session


@pytest.fixture
def on_spark(spark_address: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine that a run has where $SPARK_REMOTE names the run's Spark."""
    monkeypatch.setenv("SPARK_REMOTE", spark_address)
    return open_engine("spark", AwsSettings())


@pytest.fixture
def lake(tmp_path: Path) -> Catalog:
    """A SQLite catalog in a folder."""
    return open_catalog(CatalogConnection(kind="catalog", catalog="sqlite", warehouse="warehouse"), AwsSettings(), tmp_path)


Write = Callable[..., WrittenFile]


@pytest.fixture
def write_file() -> Write:
    """`write_file(table, pinned, rows, partition)`: one data file as `layout` wants it, written by pyarrow; no reader sees it."""

    def write(table: LakeTable, pinned: Pinned, rows: list[dict[str, Any]], partition: tuple[object, ...] = ()) -> WrittenFile:
        layout = table.layout(pinned)
        schema = arrow_schema(pinned.columns)
        if layout.field_ids is not None:
            schema = pa.schema([f.with_metadata({"PARQUET:field_id": str(layout.field_ids[f.name].number)}) for f in schema])
        data = pa.Table.from_pylist(rows, schema=schema)
        if not layout.partition_columns_in_file:
            data = data.drop([p.column for p in table.partition_by])
        uri = table.new_file(partition, "test")
        system, path = filesystem(uri, AwsSettings.from_environment())
        system.create_dir(path.rpartition("/")[0], recursive=True)
        pq.write_table(data, path, filesystem=system)
        return WrittenFile(uri, partition)

    return write
