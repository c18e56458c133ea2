"""What `spark-submit` is told of a runtime."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipelines import EVENTS, Project

from penstock.errors import ArgumentError
from penstock.parse import load
from penstock.pipeline import Pipeline
from penstock.runtimes import submit_args


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return load(Project(tmp_path).write("pipeline.yaml", EVENTS.replace("FORMAT", "delta")), environment={}).pipeline


@pytest.mark.parametrize("runtime", ["local", "local[2]", "local[*]", "local[2, 4]", "spark://a.example:7077", "spark://a:7077,b:7077"])
def test_a_master_is_taken_as_spark_spells_it(runtime: str, pipeline: Pipeline) -> None:
    assert submit_args(runtime, pipeline, 2048) == (
        "--master", runtime, "--name", "shop", "--driver-memory", "2048m", "--conf", "spark.log.level=ERROR", "--conf", "spark.ui.showConsoleProgress=false",
    )  # fmt: skip


@pytest.mark.parametrize("runtime", ["", "yarn", "local[]", "local[2]; rm", "spark://a", "emr", "local[2] --conf x=y"])
def test_anything_else_is_refused(runtime: str, pipeline: Pipeline) -> None:
    with pytest.raises(ArgumentError, match="is not one of here, local, local"):
        submit_args(runtime, pipeline, 2048)


def test_a_pipeline_on_s3_brings_what_spark_lacks(tmp_path: Path) -> None:
    text = EVENTS.replace("FORMAT", "delta").replace("{kind: files, path: landing}", "{kind: s3, bucket: landing}")
    args = submit_args("local[2]", load(Project(tmp_path).write("pipeline.yaml", text), environment={}).pipeline, 1024)
    packages = args[args.index("--packages") + 1].split(",")
    assert packages[0] == "org.apache.hadoop:hadoop-aws:3.4.2"
    assert args[args.index("--exclude-packages") + 1] == "software.amazon.awssdk:bundle"


def test_two_sparks_for_one_run_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", "delta"))
    monkeypatch.setenv("SPARK_REMOTE", "sc://elsewhere:15002")
    done = project.penstock("run", ".", "--runtime", "local[2]")
    assert (done.code, "$SPARK_REMOTE names another Spark, sc://elsewhere:15002" in done.err) == (2, True), done.err
