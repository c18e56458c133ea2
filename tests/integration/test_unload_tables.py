"""What Redshift unloads, as a table of Glue: whole at every moment, whenever the run is killed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipelines import Project
from warehouse import LOCAL

from penstock.config import AwsSettings
from penstock.connectors.redshift.warehouse import Warehouse
from penstock.connectors.s3.access import client
from penstock.infra.local.control import LocalAws

PIPELINE = """
pipeline: NAMESPACE
connections:
  raw: {kind: s3, bucket: BUCKET}
  lake: {kind: catalog, catalog: glue, warehouse: "s3://BUCKET/lake"}
  warehouse: {kind: redshift, workgroup: local}
steps:
  - {id: fill, sql: {on: warehouse, file: fill.sql}}
  - {id: export, unload: {from: warehouse, sql: export.sql, into: raw/export/, table: lake.NAMESPACE_lake.sales, partition_by: [month]}}
  - {id: whole, unload: {from: warehouse, sql: whole.sql, into: raw/whole/, table: lake.NAMESPACE_lake.whole}}
environments:
  local: {aws: local}
"""
FILL = """CREATE SCHEMA IF NOT EXISTS NAMESPACE;
CREATE TABLE IF NOT EXISTS NAMESPACE.sales (id BIGINT, month VARCHAR(10), amount DECIMAL(12,2), at TIMESTAMP, day DATE);
DELETE FROM NAMESPACE.sales; INSERT INTO NAMESPACE.sales VALUES """


class Exports:
    """A pipeline that unloads, and Redshift's own view of what Glue then has."""

    def __init__(self, folder: Path, aws: LocalAws, bucket: str) -> None:
        self.project, self.bucket, self.schema = Project(folder), bucket, bucket.replace("-", "_")
        self.settings = AwsSettings.from_environment(aws.environment())
        self.write("pipeline.yaml", PIPELINE)
        self.write("export.sql", "SELECT id, month, amount, at, day FROM NAMESPACE.sales")
        self.write("whole.sql", "SELECT COUNT(*) AS rows, MAX(amount) AS most FROM NAMESPACE.sales")

    def write(self, name: str, text: str) -> None:
        self.project.write(name, text.replace("NAMESPACE", self.schema).replace("BUCKET", self.bucket))

    def fill(self, *rows: str) -> None:
        self.write("fill.sql", FILL + ", ".join(rows))

    def run(self) -> dict[str, Any]:
        done, steps = self.project.record("--env", "local")
        assert done.code == 0, done.err
        return steps

    def held(self, columns: str = "id, month, amount", table: str = "sales") -> list[list[Any]]:
        database = f"{self.schema}_lake"
        define = f"CREATE EXTERNAL SCHEMA IF NOT EXISTS ext_{self.schema} FROM DATA CATALOG DATABASE '{database}' IAM_ROLE default"
        Warehouse(LOCAL, self.settings).define(define)
        return [list(r.values()) for r in self.project.rows(f"ext_{self.schema}.{table}", columns, connection="warehouse")]

    def glue(self) -> Any:
        return client("glue", self.settings)


@pytest.fixture
def exports(tmp_path: Path, local_aws: LocalAws, local_bucket: Callable[[str], str]) -> Exports:
    return Exports(tmp_path, local_aws, local_bucket("exports"))


JANUARY, FEBRUARY = "(1, '2026/01', 1.50, '2026-01-31 23:59:59.000001', '2026-01-31')", "(2, '2026/02', NULL, NULL, NULL)"


def test_a_table_of_partitions_goes_from_batch_to_batch(exports: Exports) -> None:
    exports.fill(JANUARY, FEBRUARY)
    exports.run()
    assert exports.held("*") == [[1, "1.50", "2026-01-31 23:59:59.000001", "2026-01-31", "2026/01"], [2, None, None, None, "2026/02"]]
    assert exports.held("*", "whole") == [[2, "1.50"]]
    found = exports.glue().get_table(DatabaseName=f"{exports.schema}_lake", Name="sales")["Table"]
    assert {c["Name"]: c["Type"] for c in found["StorageDescriptor"]["Columns"]} == {
        "id": "bigint",
        "amount": "decimal(12,2)",
        "at": "timestamp",
        "day": "date",
    }
    exports.fill(FEBRUARY.replace("NULL, NULL, NULL", "2.50, NULL, NULL"), "(3, NULL, 3.00, NULL, NULL)")
    exports.run()
    assert exports.held() == [[2, "2026/02", "2.50"], [3, None, "3.00"]]
    assert exports.held("*", "whole") == [[2, "3.00"]]
    assert exports.run()["export"]["status"] == "nothing to do"
    exports.write("fill.sql", "DELETE FROM NAMESPACE.sales")
    exports.run()
    assert (exports.held(), exports.held("*", "whole")) == ([], [[0, None]])
    assert exports.project.penstock("run", ".", "--env", "local", "--full-refresh").code == 0


@pytest.mark.parametrize("at", ["after_unload", "after_claim", "after_export"])
def test_a_run_killed_anywhere_leaves_a_whole_table_and_the_next_one_goes_on(exports: Exports, at: str) -> None:
    exports.fill(JANUARY)
    exports.run()
    exports.fill(FEBRUARY)
    killed = exports.project.process("run", ".", "--env", "local", "--select", "fill+", PENSTOCK_KILL_AT=at)
    assert killed.code == -signal.SIGKILL, killed.err
    assert exports.held("id") == ([[2]] if at == "after_export" else [[1]])
    exports.run()
    assert exports.held("id") == [[2]]
    pointed = client("s3", exports.settings).get_object(Bucket=exports.bucket, Key="export/_latest.json")["Body"].read()
    assert b'"batch": 2' in pointed


def test_what_was_unloaded_is_published_as_it_was_though_the_query_changed_since(exports: Exports) -> None:
    exports.fill(JANUARY)
    killed = exports.project.process("run", ".", "--env", "local", PENSTOCK_KILL_AT="after_claim")
    assert killed.code == -signal.SIGKILL, killed.err
    exports.write("export.sql", "SELECT id, month AS of_month FROM NAMESPACE.sales")
    exports.write("pipeline.yaml", PIPELINE.replace("[month]", "[of_month]"))
    exports.run()
    assert exports.held("*") == [[1, "2026/01"]]


def test_a_table_of_somebody_elses_is_left_alone(exports: Exports) -> None:
    exports.fill(JANUARY)
    exports.glue().create_database(DatabaseInput={"Name": f"{exports.schema}_lake"})
    exports.glue().create_table(DatabaseName=f"{exports.schema}_lake", TableInput={"Name": "sales"})
    done = exports.project.penstock("run", ".", "--env", "local")
    assert "was not made by step" in done.err
    exports.glue().delete_table(DatabaseName=f"{exports.schema}_lake", Name="sales")
    exports.run()
    assert exports.held("id") == [[1]]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("format: csv", "a table is made of Parquet files"),
        ("table: raw.x.y", "is not a connection.namespace.table of a catalog"),
        ("table: lake.NAMESPACE_lake.whole", "an unload has a table of its own"),
    ],
)
def test_what_cannot_be_is_told_by_plan(exports: Exports, said: str, message: str) -> None:
    exports.fill(JANUARY)
    name = said.partition(":")[0]
    text = (
        PIPELINE.replace("table: lake.NAMESPACE_lake.sales", said)
        if name == "table"
        else PIPELINE.replace("table: lake.NAMESPACE_lake.sales", f"table: lake.a.b, {said}")
    )
    exports.write("pipeline.yaml", text)
    done = exports.project.penstock("plan", ".", "--env", "local")
    assert message in done.err, done.err
