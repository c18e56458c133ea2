"""A Delta table that Redshift reads: its files are rewritten, never masked, and listed beside them after each commit, by partition."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import deltalake
import pytest
from pipelines import Project, event, events

from penstock.config import AwsSettings
from penstock.connectors.delta.symlinks import lists
from penstock.connectors.s3.access import client
from penstock.infra.local.control import LocalAws

PIPELINE = """
pipeline: NAME
connections:
  raw: {kind: s3, bucket: BUCKET}
  lake: {kind: catalog, catalog: glue, warehouse: "s3://BUCKET/lake"}
  warehouse: {kind: redshift, workgroup: local}
tables:
  lake.NAME.orders:
    format: delta
    columns: {id: bigint!, state: string, amount: "decimal(12,2)"}
    keys: [id]
    partition_by: [PARTITION]
    readers: [redshift, spark]
steps:
  - id: changes
    read: {from: raw/orders/, format: debezium, decimal_handling_mode: string, batch: {max_files: 1}}
  - {id: orders, merge: {from: changes, into: lake.NAME.orders}}
  - id: outside
    external:
      on: warehouse
      schema: NAME_ext
      tables:
        orders: {from: lake.NAME.orders}
environments:
  local: {aws: local}
"""
FIRST = events(event("c", 1, 10, "new", "1.00"), event("c", 2, 11, "in work", "2.00"), event("c", 3, 12, None, "3.00"))
SECOND = events(event("u", 1, 20, "paid", "1.00"), event("d", 2, 21), event("c", 4, 22, "in work", "4.00"), event("u", 3, 23, "paid", "3.00"))


class Listed:
    """The pipeline, its bucket, and what Redshift reads of the table."""

    def __init__(self, folder: Path, aws: LocalAws, bucket: str, partition: str) -> None:
        self.project, self.bucket, self.name = Project(folder), bucket, bucket.replace("-", "_")
        self.s3 = client("s3", AwsSettings.from_environment(aws.environment()))
        text = PIPELINE.replace("partition_by: [PARTITION]", f"partition_by: [{partition}]")
        self.project.write("pipeline.yaml", text.replace("NAME", self.name).replace("BUCKET", bucket))

    def run(self, key: str, text: str, **environment: str) -> int:
        self.s3.put_object(Bucket=self.bucket, Key=f"orders/{key}", Body=text.encode())
        return self.project.process("run", ".", "--env", "local", **environment).code

    def read(self) -> list[list[Any]]:
        rows = self.project.rows(f"{self.name}_ext.orders", "id, state", connection="warehouse")
        return [list(r.values()) for r in rows]

    def lists(self) -> dict[str, bytes]:
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"lake/{self.name}/orders-").get("Contents", ())
        keys = [o["Key"] for o in found if "/_symlink_format_manifest/" in o["Key"]]
        return {k.split("_symlink_format_manifest/")[1]: self.s3.get_object(Bucket=self.bucket, Key=k)["Body"].read() for k in keys}


@pytest.fixture(params=["", "state"], ids=["whole", "by-state"])
def listed(request: pytest.FixtureRequest, tmp_path: Path, local_aws: LocalAws, local_bucket: Callable[[str], str]) -> Listed:
    return Listed(tmp_path, local_aws, local_bucket("listed"), request.param)


def test_redshift_reads_what_each_commit_leaves(listed: Listed) -> None:
    assert listed.run("1", FIRST) == 0
    assert listed.read() == [[1, "new"], [2, "in work"], [3, None]]
    assert listed.run("2", SECOND) == 0
    assert listed.read() == [[1, "paid"], [3, "paid"], [4, "in work"]]
    by_state = ["state=in%20work/manifest", "state=paid/manifest"]
    assert list(listed.lists()) == (by_state if len(listed.lists()) > 1 else ["manifest"]), "partitions without rows have none"


def test_what_a_killed_run_committed_and_did_not_list_the_next_run_lists(listed: Listed) -> None:
    assert listed.run("1", FIRST) == 0
    before = listed.lists()
    assert listed.run("2", SECOND, PENSTOCK_KILL_AT="before_lists") == -signal.SIGKILL
    assert listed.lists() == before
    assert listed.project.penstock("run", ".", "--env", "local").code == 0
    assert listed.read() == [[1, "paid"], [3, "paid"], [4, "in work"]]


@pytest.mark.parametrize(
    ("was", "said", "message"),
    [
        ("readers: [redshift, spark]", "readers: [spark]", "are not listed for Redshift: say `readers: [redshift]` on the table"),
        ("orders: {from: lake.NAME.orders}", "orders: {from: lake.NAME.orders, format: parquet}", "says it"),
        ("format: delta", "format: iceberg", "an external schema with its namespace as `database` shows it"),
        ("orders: {from: lake.NAME.orders}", "orders: {from: raw/orders/}", "'columns' is missing"),
    ],
)
def test_what_cannot_be_is_told_by_plan(listed: Listed, was: str, said: str, message: str) -> None:
    text = listed.project.text("pipeline.yaml")
    listed.project.write("pipeline.yaml", text.replace(was.replace("NAME", listed.name), said.replace("NAME", listed.name)))
    done = listed.project.penstock("plan", ".", "--env", "local")
    assert (done.code, message in done.err) == (2, True), done.err


def test_lists_are_those_of_delta_rs(tmp_path: Path) -> None:
    """It leaves the lists of partitions that are gone; of those that are there it makes the same."""
    import pyarrow as pa

    rows = pa.table({"a": [1, 2, 3, 4], "p": ["x", "y z", None, "x/ü"]})
    deltalake.write_deltalake(str(tmp_path), rows, partition_by=["p"])
    table = deltalake.DeltaTable(str(tmp_path))
    table.generate()
    theirs = {str(p.relative_to(tmp_path)): sorted(p.read_text().split()) for p in tmp_path.glob("_symlink_format_manifest/*/manifest")}
    found = pa.RecordBatchReader.from_stream(table.get_add_actions(flatten=False)).read_all().to_pylist()
    ours = lists([(f["partition"], f"{tmp_path}/{unquote(f['path'])}") for f in found], has_partitions=True)
    assert {key: sorted(text.decode().split()) for key, text in ours.items()} == theirs
