"""The Spark that `--runtime` names, and what `spark-submit` has to know of it."""

from __future__ import annotations

import re

from penstock.connections import CatalogConnection, S3Connection
from penstock.errors import ArgumentError
from penstock.pipeline import Pipeline

_MASTERS = re.compile(r"local(\[(\d+|\*)(,\s*\d+)?\])?|spark://[^\s,:]+:\d+(,[^\s,:]+:\d+)*")
_HADOOP, _AWS_SDK = "3.4.2", "2.29.52"  # those that Spark 4.1 is built with
# what S3A uses of AWS's SDK; the bundle that hadoop-aws asks for has all of its services, 640 MB
_S3A = (
    f"org.apache.hadoop:hadoop-aws:{_HADOOP}",
    *(f"software.amazon.awssdk:{part}:{_AWS_SDK}" for part in ("s3-transfer-manager", "sts", "apache-client")),
)
_BUNDLE = "software.amazon.awssdk:bundle"


def master_of(runtime: str) -> str:
    """Spark's master of a runtime. Raises ArgumentError for what is none."""
    if not _MASTERS.fullmatch(runtime):
        raise ArgumentError(f"--runtime {runtime!r} is not one of local, local[2], local[*], spark://host:port", hint="elsewhere submit jobs/bin/launch.py")
    return runtime


def submit_args(runtime: str, pipeline: Pipeline, memory_mb: int) -> tuple[str, ...]:
    """The options of `spark-submit` for a pipeline on a Spark that brings nothing of AWS by itself. `memory_mb` is that of the driver."""
    args = ("--master", master_of(runtime), "--name", pipeline.pipeline, "--driver-memory", f"{memory_mb}m")
    quiet = ("--conf", "spark.log.level=ERROR", "--conf", "spark.ui.showConsoleProgress=false")
    jars = ("--packages", ",".join(_S3A), "--exclude-packages", _BUNDLE) if _is_on_s3(pipeline) else ()
    return (*args, *quiet, *jars)


def _is_on_s3(pipeline: Pipeline) -> bool:
    found = pipeline.connections.values()
    return any(isinstance(c, S3Connection) or (isinstance(c, CatalogConnection) and c.warehouse.startswith("s3://")) for c in found)
