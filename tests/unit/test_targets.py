"""What each service is asked, held by snapshots: `PENSTOCK_UPDATE_SNAPSHOTS=1 pytest tests/unit/test_targets.py` writes them anew."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator
from pipelines import EVENTS, Project

from penstock.config import AwsSettings
from penstock.connectors.stores import store_at
from penstock.deployment import DeployedFile, Deployments, Manifest
from penstock.errors import ArgumentError, DeploymentError, PipelineFileError
from penstock.jobs.bin.launch import arguments
from penstock.parse import load
from penstock.plan import compile_plan
from penstock.runtimes import CALLS, Artifact, create_job, submit_request
from penstock.runtimes.emr import event_log_folder
from penstock.runtimes.emr_cluster import said as cluster_said
from penstock.runtimes.sessions import create_session, start_session
from penstock.targets import Emr, EmrCluster, EmrServerless, EmrServerlessSession, Fleet, Glue, GlueSession, SessionTarget, Size, Target

SNAPSHOTS = Path(__file__).parent / "snapshots"
ROLE, KEY = "arn:aws:iam::123456789012:role/penstock", "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
LARGE, LOGS = Size(cores=4, memory="16g", disk="100g"), "s3://ops/logs/"
CONF = {"spark.sql.shuffle.partitions": "400", "spark.driver.extraJavaOptions": "-Xss8m -XX:+UseG1GC"}
TARGETS: dict[str, Target] = {
    "emr-serverless": EmrServerless(
        kind="emr-serverless", application="00f1abc", role=ROLE, region="eu-central-1", logs=LOGS, kms_key=KEY,
        driver=LARGE, executor=LARGE, initial_executors=4, max_executors=20, conf=CONF, timeout_minutes=120,
    ),
    "emr-serverless-plain": EmrServerless(kind="emr-serverless", application="00f1abc", role=ROLE),
    "emr": Emr(
        kind="emr", cluster="j-2AXXXXXXGAPLF", role=ROLE, region="eu-central-1", logs=LOGS, kms_key=KEY,
        driver=Size(cores=2, memory="8g"), executor=Size(cores=4, memory="16g"), initial_executors=4, max_executors=20, conf=CONF, python="3.13",
    ),
    "emr-plain": Emr(kind="emr", cluster="j-2AXXXXXXGAPLF"),
    "emr-cluster": EmrCluster(
        kind="emr-cluster", release="emr-7.14.0", service_role="EMR_DefaultRole", instance_profile="EMR_EC2_DefaultRole", region="eu-central-1", logs=LOGS,
        kms_key=KEY, subnets=["subnet-0a1b", "subnet-2c3d"], primary=["m7g.xlarge", "m6g.xlarge"], security_configuration="kms", tags={"team": "shop"},
        core=Fleet(types={"r7g.2xlarge": 8, "r7g.4xlarge": 16}, on_demand=16), task=Fleet(types={"r7g.4xlarge": 16}, spot=64, spot_within_minutes=10),
        executor=Size(cores=4, memory="24g"), initial_executors=4, max_executors=20, conf=CONF, role=ROLE,
    ),
    "emr-cluster-plain": EmrCluster(
        kind="emr-cluster", service_role="EMR_DefaultRole", instance_profile="EMR_EC2_DefaultRole", subnets=["subnet-0a1b"], primary=["m7g.xlarge"],
        core=Fleet(types={"r7g.2xlarge": 1}, on_demand=2),
    ),
    "glue": Glue(
        kind="glue", job="shop", role=ROLE, region="eu-central-1", logs=LOGS, worker_type="G.2X", workers=10, security_configuration="kms",
        timeout_minutes=120, conf={"spark.sql.shuffle.partitions": "400", "spark.sql.adaptive.enabled": "true"},
    ),
    "glue-plain": Glue(kind="glue", job="shop", version="5.1"),
}  # fmt: skip
GIVEN = ("--env", "prod", "--param", "country=it's CH")


def artifact(target: Target | SessionTarget) -> Artifact:
    names = ("launch.py", "penstock-0.1.0.zip", "cluster-py311.zip", "cluster-py313.zip", "cluster-py311.gluewheels.zip", "cluster-py313.gluewheels.zip")
    manifest = Manifest("shop", "prod", "0.1.0", tuple(DeployedFile.of(name, name.encode()) for name in names), "2026-01-01T00:00:00+00:00")
    return Artifact.of(Deployments(store_at("s3://ops/releases/", AwsSettings()), "shop", "prod"), manifest, target)


def request_of(name: str) -> dict[str, Any]:
    return submit_request(TARGETS[name], artifact(TARGETS[name]), "shop", GIVEN, run="20260101T000000Z-ab12")


def assert_botocore_takes(service: str, method: str, request: dict[str, Any]) -> None:
    model = get_session().get_service_model(service)
    operation = next(name for name in model.operation_names if name.lower() == method.replace("_", ""))
    report = ParamValidator().validate(request, model.operation_model(operation).input_shape)
    assert not report.has_errors(), report.generate_report()


def kept(name: str, request: dict[str, Any]) -> None:
    file, text = SNAPSHOTS / f"{name}.json", json.dumps(request, indent=2) + "\n"
    if os.environ.get("PENSTOCK_UPDATE_SNAPSHOTS"):
        file.write_text(text)
    assert file.read_text() == text


@pytest.mark.parametrize("name", TARGETS)
def test_the_request_is_that_of_the_snapshot_and_one_that_the_service_knows(name: str) -> None:
    request = request_of(name)
    kept(name, request)
    assert_botocore_takes(*CALLS[TARGETS[name].kind], request)


def test_a_job_of_glue_is_made_as_its_runs_need_it() -> None:
    target = TARGETS["glue"]
    assert isinstance(target, Glue)
    request = create_job(target, artifact(target))
    kept("glue-create-job", request)
    assert_botocore_takes("glue", "create_job", request)
    with pytest.raises(ArgumentError, match="names no role to make it with"):
        create_job(target.model_copy(update={"role": None}), artifact(target))


CLUSTERS = {
    "it is made": ("STARTING", None, "waiting"),
    "it runs": ("RUNNING", None, "running"),
    "its step is done": ("TERMINATING", "ALL_STEPS_COMPLETED", "succeeded"),
    "its step failed, and its logs are on their way": ("TERMINATING", "STEP_FAILURE", "running"),
    "its step failed": ("TERMINATED_WITH_ERRORS", "STEP_FAILURE", "failed"),
    "there was no room": ("TERMINATED_WITH_ERRORS", "INSTANCE_FLEET_TIMEOUT", "failed"),
    "somebody ended it": ("TERMINATING", "USER_REQUEST", "cancelled"),
    "it ended, and nobody says why": ("TERMINATED", None, "failed"),
}


@pytest.mark.parametrize("case", CLUSTERS)
def test_how_a_cluster_of_its_own_ended_is_why_it_did(case: str) -> None:
    state, code, phase = CLUSTERS[case]
    why = {"StateChangeReason": {"Code": code, "Message": "so"}} if code else {}
    said = cluster_said({"Cluster": {"Status": {"State": state, **why}}})
    assert (said.phase, said.state, said.reason) == (phase, state, f"{code}; so" if code else "")


def test_a_session_is_asked_for_by_what_is_wanted_of_it() -> None:
    emr = EmrServerlessSession(kind="emr-serverless", application="00f1abc", role=ROLE, executor=LARGE, max_executors=20, conf=CONF, python="3.13")
    glue = GlueSession(kind="glue", role=ROLE, worker_type="G.2X", workers=10, security_configuration="kms", conf={"spark.sql.shuffle.partitions": "400"})
    asked, same = (start_session(emr, artifact(emr), run) for run in ("20260101T000000Z-ab12", "another"))
    kept("emr-serverless-session", asked)
    assert_botocore_takes("emr-serverless", "start_session", asked)
    assert (asked["name"], asked["clientToken"]) != (same["name"], same["clientToken"])
    assert asked["name"] == same["name"] != start_session(emr.model_copy(update={"conf": {}}), artifact(emr), "another")["name"]
    made = create_session(glue, artifact(glue), "20260101T000000Z-ab12")
    kept("glue-session", made)
    assert_botocore_takes("glue", "create_session", made)


def test_what_was_given_arrives_whatever_it_holds() -> None:
    emr, serverless, glue = (request_of(name) for name in ("emr", "emr-serverless", "glue"))
    manifest = next(text for text in emr["Steps"][0]["HadoopJarStep"]["Args"] if text.endswith("/manifest.json"))
    sent = ["--region", "eu-central-1", manifest, *GIVEN, "--run-id", "20260101T000000Z-ab12"]
    assert emr["Steps"][0]["HadoopJarStep"]["Args"][-len(sent) :] == sent
    assert serverless["jobDriver"]["sparkSubmit"]["entryPointArguments"] == sent
    own = [part for pair in glue["Arguments"].items() for part in pair]
    assert arguments(["--JOB_NAME", "shop", *own, "--TempDir", "s3://x"]) == sent


@pytest.mark.parametrize("name", ["emr-serverless", "emr-serverless-plain"])
def test_the_text_of_settings_is_one_word_each(name: str) -> None:
    text = request_of(name)["jobDriver"]["sparkSubmit"]["sparkSubmitParameters"]
    assert text.split(" ") == shlex.split(text)
    assert set(text.split(" ")[::2]) == {"--conf"}


def test_an_event_log_has_a_folder_where_there_are_logs() -> None:
    assert [event_log_folder(t) for t in TARGETS.values() if isinstance(t, Emr)] == ["s3://ops/logs/spark-events/", None]


def test_a_version_without_the_targets_archive_is_not_run() -> None:
    target = EmrServerless(kind="emr-serverless", application="0", role=ROLE, python="3.12")
    with pytest.raises(DeploymentError, match=r"has no cluster-py312\.zip; it has cluster-py311\.gluewheels\.zip"):
        artifact(target)


ON_S3 = (
    EVENTS.replace("FORMAT", "iceberg")
    .replace("{kind: files, path: landing}", "{kind: s3, bucket: landing}")
    .replace("catalog: sqlite, warehouse: warehouse", 'catalog: glue, warehouse: "s3://ops/lake"')
    .replace("pipeline: shop\n", "pipeline: shop\nstate: raw/state/\n")
    + """environments:
  laptop: {}
  prod:
    engine: spark
    artifacts: "s3://ops/releases/"
    runtime: {kind: emr-serverless, application: "${APP}", role: "arn:aws:iam::123456789012:role/penstock"}
"""
)


def test_plan_says_where_steps_run(tmp_path: Path) -> None:
    project = Project(tmp_path, {"APP": "00f1abc"})
    project.write("pipeline.yaml", ON_S3)
    done = project.penstock("plan", ".", "--env", "prod")
    assert (done.code, "runs on EMR Serverless, application 00f1abc, Python 3.11\non Spark: orders\n" in done.out) == (0, True), done
    assert "runs on" not in project.penstock("plan", ".", "--env", "laptop").out
    del project.environment["APP"]
    assert project.penstock("plan", ".", "--env", "laptop").code == 0, "another environment's variables are nobody's business"
    unset = project.penstock("plan", ".", "--env", "prod")
    assert (unset.code, "environments.prod.runtime.application: variable 'APP' is not set" in unset.err) == (2, True), unset.err


def _cluster(more: str) -> tuple[str, str]:
    """The runtime as a cluster of its own, with more of its core fleet, and of itself."""
    cluster = "kind: emr-cluster, service_role: a, instance_profile: b, subnets: [subnet-0a], primary: [m7g.xlarge], core: {types: {m7g.xlarge: 1}"
    return 'kind: emr-serverless, application: "${APP}", role: "arn:aws:iam::123456789012:role/penstock"', cluster + more


FAULTS = {
    "an unknown kind": ("kind: emr-serverless", "kind: emr-server", "did you mean 'emr-serverless'?"),
    "no application": (', application: "${APP}"', "", "application"),
    "a role that is none": ("role/penstock", "user/me", "role"),
    "settings that are Penstock's": ('role/penstock"', 'role/penstock", conf: {spark.archives: x}', "spark.archives is Penstock's to set"),
    "a session beside a runtime": (
        "    runtime: {", "    spark: {kind: glue, role: 'arn:aws:iam::123456789012:role/p'}\n    runtime: {", "leave `spark` out beside `runtime`",
    ),
    "a fleet that waits longer than the run": (
        *_cluster(", spot: 1, spot_within_minutes: 60}"),
        "spot_within_minutes 60 is not less than start_within_minutes 60",
    ),
    "a role that no cluster allows": (
        *_cluster(", spot: 1}, role: 'arn:aws:iam::123456789012:role/p'"),
        "a step has a `role` of its own where a `security_configuration` allows it",
    ),
    "a disk of a cluster": (
        *_cluster(", spot: 1}, driver: {cores: 1, memory: 1g, disk: 20g}"),
        "on EMR on EC2 disks are those of the instances",
    ),
    "a session that nothing uses": (
        '    engine: spark\n    artifacts: "s3://ops/releases/"\n    runtime: {kind: emr-serverless, application: "${APP}", ',
        '    artifacts: "s3://ops/releases/"\n    spark: {kind: glue, ', "no step is on Spark",
    ),
    "a fleet of nothing": (
        *_cluster("}"),
        "a fleet of no units: say how many are `on_demand`, how many `spot`",
    ),
    "settings of something else": ('role/penstock"', 'role/penstock", conf: {hadoop.x: y}', "those begin with spark."),
    "settings that Glue cannot take": (
        'kind: emr-serverless, application: "${APP}", role: "arn:aws:iam::123456789012:role/penstock"',
        'kind: glue, job: x, conf: {spark.a: "b c"}', "'b c' would break it",
    ),
    "logs that are no folder": ('role/penstock"', 'role/penstock", logs: "s3://ops/logs"', "logs"),
    "more executors at first than at the most": (
        'role/penstock"', 'role/penstock", initial_executors: 3, max_executors: 2', "initial_executors 3 is more than max_executors 2",
    ),
    "memory without a unit": ('role/penstock"', 'role/penstock", driver: {cores: 1, memory: "8"}', "memory"),
    "no artifacts": ('    artifacts: "s3://ops/releases/"\n', "", "give the environment `artifacts: s3://bucket/prefix/`"),
    "no state": ("state: raw/state/\n", "", "give the pipeline `state:`"),
    "a folder of this machine": ("{kind: s3, bucket: landing}", "{kind: files, path: landing}", "a folder of this machine cannot be reached"),
    "a catalog of this machine": ('catalog: glue, warehouse: "s3://ops/lake"', "catalog: sqlite, warehouse: w", "a catalog in a file of this machine"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS, ids=str)
def test_what_cannot_run_there_is_said_where_it_stands(tmp_path: Path, case: str) -> None:
    old, new, message = FAULTS[case]
    assert old in ON_S3
    Project(tmp_path).write("pipeline.yaml", ON_S3.replace(old, new, 1))
    with pytest.raises(PipelineFileError) as raised:
        compile_plan(load(tmp_path, env="prod", environment={"APP": "00f1abc"}))
    assert message in str(raised.value)
    assert all(problem.line for problem in raised.value.problems)
