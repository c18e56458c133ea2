"""A pipeline that services run: its files in the local S3, what it needs there as `make dist` would have it."""

from __future__ import annotations

import gzip
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cluster_package
from pipelines import Project

from penstock.config import AwsSettings
from penstock.connectors.s3.access import client
from penstock.infra.local.control import LocalAws

ROLE = "arn:aws:iam::123456789012:role/job"
PYTHON = ".".join(platform.python_version_tuple()[:2])
TEXT = """pipeline: NAMESPACE
state: store/state/
connections:
  store: {kind: s3, bucket: BUCKET}
  lake: {kind: catalog, catalog: glue, warehouse: "s3://BUCKET/lake"}
tables:
  lake.NAMESPACE.orders: {format: iceberg, columns: {id: bigint!, amount: double}}
steps:
  - {id: files, read: {from: store/orders/, format: csv}}
  - {id: orders, copy: {from: files, into: lake.NAMESPACE.orders, write: append}GATE}
environments:
  serverless:
    aws: local
    artifacts: store/releases/
    runtime: {kind: emr-serverless, application: 00f1abc, role: "ROLE", logs: "s3://BUCKET/logs/", driver: {cores: 2, memory: 2g}}
  session:
    aws: local
    artifacts: store/releases/
    engine: spark
    spark_from_mb: 0
    spark: {kind: emr-serverless, application: 00f1abc, role: "ROLE", python: "PYTHON"}
  cluster: {aws: local, artifacts: store/releases/, runtime: {kind: emr, cluster: j-2AXXXXXXGAPLF, logs: "s3://BUCKET/logs/"}}
  fleets:
    aws: local
    artifacts: store/releases/
    runtime:
      {kind: emr-cluster, logs: "s3://BUCKET/logs/", service_role: emr, instance_profile: ec2, subnets: [subnet-0a], primary: [m7g.xlarge],
       core: {types: {m7g.xlarge: 4, m7g.2xlarge: 8}, spot: 8}}
  glue: {aws: local, artifacts: store/releases/, runtime: {kind: glue, job: BUCKET, role: "ROLE", conf: {spark.sql.shuffle.partitions: "2"}}}
"""

SUITE = {"name": "orders", "expectations": [{"type": "expect_column_values_to_be_between", "kwargs": {"column": "amount", "min_value": 0}}]}


class Shop(Project):
    bucket, namespace = "", ""
    s3: Any = None

    def deliver(self, name: str, *rows: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=f"orders/{name}.csv", Body="\n".join(["id,amount", *rows]).encode() + b"\n")

    def table(self) -> list[dict[str, Any]]:
        return self.rows(f"lake.{self.namespace}.orders")

    def hold(self) -> None:
        """Its driver on EMR Serverless stops before the first commit, so that it runs until it is ended."""
        held = "memory: 2g}, conf: {spark.emr-serverless.driverEnv.PENSTOCK_STOP_AT: before_commit}}"
        self.write("pipeline.yaml", self.text("pipeline.yaml").replace("memory: 2g}}", held))

    def driver_log(self) -> bytes:
        """On EMR that of the application's first container."""
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix="logs/")["Contents"]
        (key,) = [o["Key"] for o in listed if o["Key"].endswith("_000001/stderr.gz")]
        return gzip.decompress(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def deploy(self, env: str) -> None:
        done = self.penstock("deploy", ".", "--env", env)
        assert done.code == 0, done.err


def open_shop(folder: Path, local_aws: LocalAws, local_bucket: Callable[[str], str]) -> Shop:
    made = Shop(folder)
    made.bucket = local_bucket("there")
    made.namespace = made.bucket.replace("-", "_")
    made.s3 = client("s3", AwsSettings.from_environment(local_aws.environment()))
    values = {"GATE": "", "BUCKET": made.bucket, "NAMESPACE": made.namespace, "ROLE": ROLE, "PYTHON": PYTHON}
    made.write("pipeline.yaml", re.sub("|".join(values), lambda found: values[found[0]], TEXT))
    cluster_package.fill(made.folder / "dist")
    return made


def job_runs(local_aws: LocalAws) -> list[dict[str, Any]]:
    there = client("emr-serverless", AwsSettings.from_environment(local_aws.environment()))
    return list(there.list_job_runs(applicationId="00f1abc")["jobRuns"])
