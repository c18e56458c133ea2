"""The Spark that `--runtime` names, and what `spark-submit` has to know of it."""

from __future__ import annotations

import re

from penstock.connections import CatalogConnection, S3Connection
from penstock.errors import ArgumentError
from penstock.pipeline import Environment, Pipeline
from penstock.targets import named

from .s3a import EXCLUDED, PACKAGES

HERE = "here"
_MASTERS = re.compile(r"local(\[(\d+|\*)(,\s*\d+)?\])?|spark://[^\s,:]+:\d+(,[^\s,:]+:\d+)*")


def placed(environment: Environment, where: str | None) -> Environment:
    """The environment as `--runtime` has it: in this process (`here`), on a service (`glue:job`), or by a Spark that this process starts or knows."""
    if where is None:
        return environment
    if target := named(where, environment.runtime):
        return environment.model_copy(update={"runtime": target, "spark": None})
    return environment.model_copy(update={"runtime": None} | ({} if where == HERE else {"engine": "spark", "spark": None}))


def master_of(runtime: str) -> str:
    """Spark's master of a runtime. Raises ArgumentError for what is none."""
    if not _MASTERS.fullmatch(runtime):
        allowed = "here, local, local[2], local[*], spark://host:port, emr-serverless:APPLICATION, emr:CLUSTER, glue:JOB"
        raise ArgumentError(f"--runtime {runtime!r} is not one of {allowed}")
    return runtime


def submit_args(runtime: str, pipeline: Pipeline, memory_mb: int) -> tuple[str, ...]:
    """The options of `spark-submit` for a pipeline on a Spark that brings nothing of AWS by itself. `memory_mb` is that of the driver."""
    args = ("--master", master_of(runtime), "--name", pipeline.pipeline, "--driver-memory", f"{memory_mb}m")
    quiet = ("--conf", "spark.log.level=ERROR", "--conf", "spark.ui.showConsoleProgress=false")
    jars = ("--packages", ",".join(PACKAGES), "--exclude-packages", EXCLUDED) if _is_on_s3(pipeline) else ()
    return (*args, *quiet, *jars)


def _is_on_s3(pipeline: Pipeline) -> bool:
    found = pipeline.connections.values()
    return any(isinstance(c, S3Connection) or (isinstance(c, CatalogConnection) and c.warehouse.startswith("s3://")) for c in found)
