"""Files that Redshift reads where they lie: external schemas, tables with their partitions, and views, declared in a pipeline."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pipelines import Project
from warehouse import LOCAL

from penstock.config import AwsSettings
from penstock.connectors.redshift.warehouse import Warehouse
from penstock.connectors.s3.access import client
from penstock.infra.local.control import LocalAws

PIPELINE = """
pipeline: NAME
params: {least: 2}
connections:
  raw: {kind: s3, bucket: BUCKET}
  disk: {kind: files, path: in}
  warehouse: {kind: redshift, workgroup: local}
steps:
  - id: outside
    external:
      on: warehouse
      schema: NAME_ext
      tables:
        sales: {from: raw/sales/, columns: {id: bigint!, amount: "decimal(12,2)"}, partition_by: {month: date, kind: string}}
        names: {from: raw/names/, format: csv, columns: {id: string, name: string}}
        events: {from: raw/events/, format: json, columns: {id: int, at: timestamp}}
      views: {NAME.large: large.sql}
environments:
  local: {aws: local}
"""


class Outside:
    """A pipeline of one external step, and a bucket of files."""

    def __init__(self, folder: Path, aws: LocalAws, bucket: str) -> None:
        self.project, self.bucket, self.name = Project(folder), bucket, bucket.replace("-", "_")
        self.settings = AwsSettings.from_environment(aws.environment())
        self.write("pipeline.yaml", PIPELINE)
        self.write("large.sql", "SELECT s.id, n.name FROM NAME_ext.sales s JOIN NAME_ext.names n ON n.id = s.id::VARCHAR WHERE s.id >= :least")
        self.sales("2026-01-01", "a", [1, 2])
        self.put("names/1.csv", b'id,name\n1,"a, b"\n2,c\n')
        self.put("events/1.json", b'{"id": 7, "at": "2026-01-01 10:00:00"}\n')

    def write(self, name: str, text: str) -> None:
        self.project.write(name, text.replace("NAME", self.name).replace("BUCKET", self.bucket))

    def put(self, key: str, body: bytes) -> None:
        client("s3", self.settings).put_object(Bucket=self.bucket, Key=key, Body=body)

    def sales(self, month: str, kind: str, ids: list[int]) -> None:
        sink = io.BytesIO()
        pq.write_table(pa.table({"id": pa.array(ids, pa.int64()), "amount": pa.array(["1.00"] * len(ids)).cast(pa.decimal128(12, 2))}), sink)
        self.put(f"sales/month={month}/kind={kind}/1.parquet", sink.getvalue())

    def run(self) -> Any:
        done, steps = self.project.record("--env", "local")
        assert done.code == 0, done.err
        return steps["outside"]

    def refused(self, command: str = "run") -> str:
        done = self.project.penstock(command, ".", "--env", "local")
        assert done.code, done.out
        return done.err

    def held(self, table: str, columns: str = "*") -> list[list[Any]]:
        return [list(r.values()) for r in self.project.rows(table.replace("NAME", self.name), columns, connection="warehouse")]


@pytest.fixture
def outside(tmp_path: Path, local_aws: LocalAws, local_bucket: Callable[[str], str]) -> Outside:
    return Outside(tmp_path, local_aws, local_bucket("outside"))


def test_tables_partitions_and_views_as_declared_and_what_comes_later(outside: Outside) -> None:
    assert "4 statements for 3 tables, 1 views" in outside.run()["note"]
    assert outside.held("NAME_ext.sales") == [[1, "1.00", "2026-01-01", "a"], [2, "1.00", "2026-01-01", "a"]]
    assert outside.held("NAME_ext.names") == [["1", "a, b"], ["2", "c"]]
    assert outside.held("NAME_ext.events") == [[7, "2026-01-01 10:00:00"]]
    assert outside.held("NAME.large") == [[2, "c"]]
    assert outside.run()["status"] == "nothing to do"
    outside.sales("2026-02-01", "it's%2Fb", [3])
    assert "1 statements for 3 tables" in outside.run()["note"]
    assert outside.held("NAME_ext.sales", "id, month, kind")[2] == [3, "2026-02-01", "it's/b"]
    outside.write("pipeline.yaml", PIPELINE.replace("least: 2", "least: 1"))
    assert "0 statements for 3 tables" in outside.run()["note"]
    assert outside.held("NAME.large") == [[1, "a, b"], [2, "c"]], "a parameter is part of a view"
    outside.write("pipeline.yaml", PIPELINE.replace("format: json", "format: csv"))
    assert "2 statements for 3 tables" in outside.run()["note"], "the one that differs is made anew, the others stay"
    outside.write("large.sql", "SELECT COUNT(*) AS n FROM NAME_ext.sales -- all of them")
    assert "0 statements" in outside.run()["note"]
    assert outside.held("NAME.large") == [[3]]


def test_what_somebody_else_made_stays(outside: Outside) -> None:
    warehouse = Warehouse(LOCAL, outside.settings)
    warehouse.define(
        f"CREATE EXTERNAL SCHEMA {outside.name}_ext FROM DATA CATALOG DATABASE '{outside.name}_other' IAM_ROLE default CREATE EXTERNAL DATABASE IF NOT EXISTS"
    )
    assert f"shows the database {outside.name}_other" in outside.refused()
    outside.write("pipeline.yaml", PIPELINE.replace("schema: NAME_ext", "schema: NAME_ext\n      database: NAME_other"))
    warehouse.define(f"CREATE EXTERNAL TABLE {outside.name}_ext.sales (id INTEGER) STORED AS PARQUET LOCATION 's3://{outside.bucket}/sales/'")
    assert "was not made by step" in outside.refused()
    warehouse.define(f"DROP TABLE {outside.name}_ext.sales")
    outside.run()
    assert len(outside.held("NAME_ext.sales")) == 2


def test_a_folder_that_names_no_partition_is_told(outside: Outside) -> None:
    outside.put("sales/month=2026-03-01/1.parquet", b"")
    assert "month=2026-03-01/ does not name its partition: month=…/kind=…/ is declared" in outside.refused()


@pytest.mark.parametrize(
    ("was", "said", "message"),
    [
        ("from: raw/names/", "from: disk/names/", "Redshift reads external tables on S3"),
        ("kind: string}", "id: string}", "column 'id' is in the files too"),
        ("id: int, at", "id: 'array<int>', at", "column 'id' is a array"),
        ("month: date", "month: dat", "did you mean"),
        ("large.sql", "lareg.sql", "there is no file lareg.sql"),
        ("on: warehouse", "on: raw", "redshift connection 'raw' is not one of warehouse"),
    ],
)
def test_what_cannot_be_is_told_by_plan(outside: Outside, was: str, said: str, message: str) -> None:
    outside.write("pipeline.yaml", PIPELINE.replace(was, said))
    assert message in outside.refused("plan")
