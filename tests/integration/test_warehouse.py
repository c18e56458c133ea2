"""Loads, calls and unloads in Redshift: each batch once, whole or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.config import AwsSettings
from penstock.connections import RedshiftConnection
from penstock.connectors.redshift.sql import StagedFile, Target, manifest
from penstock.connectors.redshift.warehouse import Warehouse
from penstock.connectors.s3.access import client
from penstock.errors import CommitConflictError, DataError, WarehouseError
from penstock.infra.local.control import LocalAws
from penstock.schema import Column, arrow_schema

COLUMNS = (Column.parse("id", "bigint!"), Column.parse("name", "string"), Column.parse("amount", "decimal(38,10)"))


class Loader:
    """A warehouse, a table of the test's own, and files for it."""

    def __init__(self, aws: LocalAws, bucket: str, name: str) -> None:
        settings = AwsSettings.from_environment(aws.environment())
        self.s3, self.bucket = client("s3", settings), bucket
        self.warehouse = Warehouse(RedshiftConnection(kind="redshift", workgroup="local"), settings)
        self.target, self.steps = Target("mart", name, COLUMNS, ("id",)), (f"test/{name}",)

    def load(self, batch: int, rows: list[tuple[Any, ...]], write: str = "merge", *, claimed_rows: int | None = None) -> None:
        data = pa.Table.from_pylist([dict(zip(("id", "name", "amount"), r, strict=True)) for r in rows], schema=arrow_schema(COLUMNS))
        sink = pa.BufferOutputStream()
        pq.write_table(data, sink)
        body, key = sink.getvalue().to_pybytes(), f"stage/{batch}.parquet"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        files = [StagedFile(f"s3://{self.bucket}/{key}", len(body), len(rows) if claimed_rows is None else claimed_rows)]
        self.s3.put_object(Bucket=self.bucket, Key="manifest", Body=manifest(files))
        self.warehouse.load(self.steps, batch, self.target, files, write, f"s3://{self.bucket}/manifest")

    def rows(self) -> list[tuple[Any, ...]]:
        return [tuple(r.values()) for r in self.warehouse.query(f"SELECT id, name, amount FROM {self.target.name} ORDER BY id").to_pylist()]


@pytest.fixture
def loader(local_aws: LocalAws, local_bucket: Callable[[str], str], request: pytest.FixtureRequest) -> Loader:
    bucket = local_bucket("load")
    return Loader(local_aws, bucket, f"t_{bucket[-8:]}")


A, B, C = (1, "a", Decimal("1.5000000000")), (2, "", None), (3, None, Decimal("-9999999999999999999999999999.9999999999"))


def test_merge_makes_the_table_equal_to_the_snapshot(loader: Loader) -> None:
    loader.load(1, [A, B, C])
    assert loader.rows() == [A, B, C]
    changed = (2, "now", None)
    loader.load(2, [changed, C, (4, "new", None)])
    assert loader.rows() == [changed, C, (4, "new", None)]
    assert loader.warehouse.applied(loader.steps) == 2


def test_overwrite_and_an_empty_snapshot(loader: Loader) -> None:
    loader.load(1, [A, B], "overwrite")
    loader.warehouse.load(loader.steps, 2, loader.target, [], "overwrite", "")
    assert (loader.rows(), loader.warehouse.applied(loader.steps)) == ([], 2)


def test_a_batch_that_is_there_is_left_alone(loader: Loader) -> None:
    loader.load(1, [A])
    loader.load(1, [A, B])
    assert loader.rows() == [A]


def test_a_load_that_misses_rows_publishes_nothing(loader: Loader) -> None:
    with pytest.raises(DataError, match=r"loaded 1 rows .* where the files hold 2"):
        loader.load(1, [A], claimed_rows=2)
    assert (loader.rows(), loader.warehouse.applied(loader.steps)) == ([], 0)


def test_a_key_that_stands_twice_publishes_nothing(loader: Loader) -> None:
    with pytest.raises(DataError, match="stand more than once"):
        loader.load(1, [A, A])
    assert loader.rows() == []


def test_other_columns_than_declared_are_refused(loader: Loader) -> None:
    loader.load(1, [A])
    loader.target = replace(loader.target, columns=COLUMNS[:2])
    with pytest.raises(DataError, match="are declared"):
        loader.load(2, [A])


def test_of_two_loads_of_one_batch_one_is_published(loader: Loader) -> None:
    loader.load(1, [A])
    outcomes: list[str] = []

    def race(name: str) -> None:
        twin = Loader.__new__(Loader)
        twin.__dict__.update(loader.__dict__)
        twin.warehouse = Warehouse(RedshiftConnection(kind="redshift", workgroup="local"), AwsSettings.from_environment())
        try:
            twin.warehouse.call(twin.steps, 2, "mart.race_" + loader.target.table, [name])
            outcomes.append("done")
        except (CommitConflictError, WarehouseError) as error:
            outcomes.append(type(error).__name__)

    table = f"mart.race_log_{loader.target.table}"
    loader.warehouse.define(f"""CREATE TABLE {table} (who VARCHAR(10));
      CREATE PROCEDURE mart.race_{loader.target.table}(who VARCHAR) AS $$ BEGIN INSERT INTO {table} VALUES (who); END; $$ LANGUAGE plpgsql""")
    threads = [threading.Thread(target=race, args=(n,)) for n in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loader.warehouse.query(f"SELECT COUNT(*) AS n FROM {table}")["n"].to_pylist() == [1], outcomes
    assert loader.warehouse.applied(loader.steps) == 2


def test_a_procedure_that_fails_leaves_the_ledger(loader: Loader) -> None:
    name = f"mart.bad_{loader.target.table}"
    loader.warehouse.define(f"CREATE SCHEMA IF NOT EXISTS mart; CREATE PROCEDURE {name}() AS $$ BEGIN RAISE EXCEPTION 'no'; END; $$ LANGUAGE plpgsql")
    with pytest.raises(WarehouseError, match="no"):
        loader.warehouse.call(loader.steps, 1, name, [])
    assert loader.warehouse.applied(loader.steps) == 0


def test_unload_is_counted_and_done_again_does_not_double(loader: Loader) -> None:
    loader.load(1, [A, B, C])

    def read(uri: str) -> bytes:
        return bytes(loader.s3.get_object(Bucket=loader.bucket, Key=uri.split("/", 3)[3])["Body"].read())

    query = f"SELECT id, name FROM {loader.target.name} WHERE id <> :skip AND name IS DISTINCT FROM ':x'"
    for batch in (1, 1, 2):
        steps = ("test/unload_" + loader.target.table,)
        done = loader.warehouse.unload(steps, batch, query, f"s3://{loader.bucket}/out/{batch}/", ("id",), {"skip": 2}, read)
        assert (done.rows, len(done.files)) == (2, 2)


def test_skip_moves_the_ledger_alone(loader: Loader) -> None:
    loader.load(1, [A])
    loader.warehouse.skip(loader.steps, 2)
    assert (loader.warehouse.applied(loader.steps), loader.rows()) == (2, [A])
