"""A pipeline that is killed at any named point, and run again, ends in the tables of one that was not. Faults 1, 2, 26 and 28 of the catalogue."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from pipelines import Project, event, events

from penstock.config import AwsSettings
from penstock.connectors.s3.access import client
from penstock.infra.local.control import LocalAws

POINTS = (
    "after_cut", "after_quarantine", "after_memory", "before_commit", "after_commit", "after_batch", "after_commit:2",
    "before_copy", "after_stage", "after_publish", "after_unload",
)  # fmt: skip
PIPELINE = """
pipeline: SCHEMA
connections:
  raw: {kind: s3, bucket: BUCKET}
  lake: {kind: catalog, catalog: glue, warehouse: "s3://BUCKET/lake"}
  warehouse: {kind: redshift, workgroup: local}
tables:
  lake.SCHEMA.orders:
    format: FORMAT
    columns: {id: bigint!, state: string, amount: "decimal(12,2)"}
    keys: [id]
  lake.SCHEMA.totals:
    format: FORMAT
    columns: {state: string!, orders: bigint, amount: "decimal(12,2)"}
    keys: [state]
  warehouse.SCHEMA.totals:
    columns: {state: string!, orders: bigint, amount: "decimal(12,2)"}
    keys: [state]
steps:
  - id: changes
    read: {from: raw/orders/, format: debezium, decimal_handling_mode: string, batch: {max_files: 1}}
  - id: orders
    merge: {from: changes, into: lake.SCHEMA.orders}
  - id: totals
    transform: {sql: totals.sql, into: lake.SCHEMA.totals, write: overwrite}
  - id: load
    copy: {from: lake.SCHEMA.totals, into: warehouse.SCHEMA.totals, write: merge}
  - id: log
    call: {on: warehouse, procedure: SCHEMA.log, definition: log.sql}
  - id: export
    unload: {from: warehouse, sql: export.sql, into: raw/export/, partition_by: [state]}
  - id: check
    reconcile: {left: lake.SCHEMA.totals, right: warehouse.SCHEMA.totals}
environments:
  local: {aws: local}
"""
FILES = {
    "totals.sql": "SELECT state, count(*) AS orders, CAST(sum(amount) AS DECIMAL(12,2)) AS amount FROM lake.SCHEMA.orders GROUP BY state",
    "export.sql": "SELECT state, orders FROM SCHEMA.totals",
    "log.sql": """CREATE TABLE IF NOT EXISTS SCHEMA.log_rows (orders BIGINT);
      CREATE OR REPLACE PROCEDURE SCHEMA.log() AS $$ BEGIN INSERT INTO SCHEMA.log_rows SELECT SUM(orders) FROM SCHEMA.totals; END; $$ LANGUAGE plpgsql""",
}
LANDED = {
    "1.json": events(event("c", 1, 10, "new", "1.50"), event("c", 2, 11, "new"), "{", event("u", 1, 12, "paid", "1.50"), event("c", 3, 13, "new", "7.00")),
    "2.json": events(event("d", 2, 20), event("u", 3, 5, "late"), event("c", 4, 21, "new", "99.99")),
}


@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
def test_a_run_killed_at_every_point_in_turn_goes_on(table_format: str, tmp_path: Path, local_aws: LocalAws, local_bucket: Callable[[str], str]) -> None:
    bucket, project = local_bucket("kill"), Project(tmp_path)
    schema, s3 = bucket.replace("-", "_"), client("s3", AwsSettings.from_environment(local_aws.environment()))
    for name, text in {"pipeline.yaml": PIPELINE, **FILES}.items():
        project.write(name, text.replace("SCHEMA", schema).replace("BUCKET", bucket).replace("FORMAT", table_format))
    for name, text in LANDED.items():
        s3.put_object(Bucket=bucket, Key=f"orders/{name}", Body=text.encode())

    for point in POINTS:
        killed = project.process("run", ".", "--env", "local", PENSTOCK_KILL_AT=point)
        assert killed.code == -signal.SIGKILL, (point, killed.out, killed.err)
    done = project.penstock("run", ".", "--env", "local")
    assert done.code == 0, done.err

    totals = [{"state": "new", "orders": 2, "amount": "106.99"}, {"state": "paid", "orders": 1, "amount": "1.50"}]
    assert project.rows(f"lake.{schema}.orders", "id, state") == [{"id": 1, "state": "paid"}, {"id": 3, "state": "new"}, {"id": 4, "state": "new"}]
    assert len(project.rows(f"lake.{schema}.orders__quarantine", "__batch")) == 1
    assert project.rows(f"lake.{schema}.totals") == totals
    assert project.rows(f"{schema}.totals", connection="warehouse") == totals
    assert project.rows(f"{schema}.log_rows", connection="warehouse") == [{"orders": 3}]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="export/")["Contents"]
    assert [o["Key"].split("/")[-2] for o in listed if o["Key"].endswith(".parquet")] == ["state=new", "state=paid"]
