"""The example gives the same tables wherever it runs: in this process, by a Spark of its own, and through the job APIs of all three services.

`make everywhere`; on Spark whatever the size of a batch.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import cluster_package
import pytest
import spark_server
from pipelines import Project

from penstock.infra.local.control import HOME, down, up

WHY_NOT = spark_server.why_not_everywhere()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
FLIGHTS = Path(__file__).parents[2] / "dags" / "pipelines" / "flights"
COMMON = """
    aws: local
    engine: spark
    spark_from_mb: 0
    artifacts: raw/releases/
    variables: {RAW_BUCKET: penstock-raw, LAKE_BUCKET: penstock-lake, WORKGROUP: local}
"""
ROLE = "arn:aws:iam::123456789012:role/job"
RUNTIMES = {
    "serverless": f'{{kind: emr-serverless, application: 00f1abc, role: "{ROLE}", logs: "s3://penstock-lake/logs/"}}',
    "cluster": '{kind: emr, cluster: j-2AXXXXXXGAPLF, logs: "s3://penstock-lake/logs/"}',
    "glue": f'{{kind: glue, job: flights, role: "{ROLE}"}}',
}
TABLES = ("lake.ops.flights", "lake.ref.airlines", "lake.ref.airports", "lake.ref.planes", "lake.ref.weather", "lake.ops.daily_delays")


def flights(folder: Path) -> Project:
    project = Project(folder / "flights", {HOME: str(folder / "aws")})
    shutil.copytree(FLIGHTS, project.folder, ignore=shutil.ignore_patterns("__pycache__", ".penstock"))
    text = project.text("pipeline.yaml").replace('schedule: "@hourly"', "state: raw/state/")
    places = "".join(f"\n  {name}:{COMMON}    runtime: {runtime}" for name, runtime in RUNTIMES.items())
    project.write("pipeline.yaml", f"{text.rstrip()}{places}\n")
    cluster_package.fill(project.folder / "dist")
    return project


def tables(folder: Path, *arguments: str, env: str) -> Mapping[str, object]:
    """Those of a run in a place that has an AWS of its own."""
    project = flights(folder)
    project.environment |= up(folder / "aws").environment()
    try:
        s3 = subprocess.run([sys.executable, FLIGHTS / "generate.py", "s3://penstock-raw", "--days", "2"], env=project.variables(), check=False)
        assert s3.returncode == 0
        if env in RUNTIMES:
            deployed = project.penstock("deploy", ".", "--env", env)
            assert deployed.code == 0, deployed.err
        done = project.process("run", ".", "--env", env, *arguments)
        assert done.code == 0, (done.out, done.err)
        found: dict[str, object] = {table: project.rows(table) for table in TABLES}
        found["quarantined"] = project.rows("lake.ops.flights__quarantine", "__reason, __payload")
        found["warehouse"] = sorted(project.rows("mart.daily_delays", connection="warehouse"), key=str)
        return found
    finally:
        down(folder / "aws")


def test_the_tables_are_the_same_everywhere(tmp_path: Path) -> None:
    here = tables(tmp_path / "here", env="local")
    assert {name for name, rows in here.items() if not rows} == set()
    assert tables(tmp_path / "spark", "--runtime", "local[2]", env="local") == here
    for env in RUNTIMES:
        assert tables(tmp_path / env, env=env) == here, env
