"""`penstock run` where the runtime is a service: deployed, submitted, run by a real Spark behind the local job APIs, followed, reported."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cluster_package
import pytest
import spark_server
from deployed_shop import SUITE, Shop, job_runs, open_shop
from pipelines import COMMAND, Done
from waiting import until

from penstock.config import AwsSettings
from penstock.connectors.job_runs.service import job_runs as service_of
from penstock.connectors.s3.access import client
from penstock.infra.local.control import LocalAws
from penstock.jobs.run import new_run_id
from penstock.runtimes import Artifact
from penstock.runtimes.job_runs import GONE, Said
from penstock.targets import RUNTIMES

pytestmark = pytest.mark.skipif(bool(spark_server.missing()), reason=spark_server.missing())


@pytest.fixture
def shop(tmp_path: Path, local_aws: LocalAws, local_bucket: Callable[[str], str]) -> Shop:
    return open_shop(tmp_path, local_aws, local_bucket)


@pytest.mark.parametrize(("env", "ended"), [("cluster", "COMPLETED"), ("fleets", "TERMINATED"), ("glue", "SUCCEEDED")])
def test_what_was_asked_for_is_found_again_and_reported_as_if_it_ran_here(shop: Shop, env: str, ended: str) -> None:
    shop.deploy(env)
    shop.deliver("1", "1,2.5", "2,4")
    assert shop.process("run", ".", "--env", env, PENSTOCK_KILL_AT="after_ask").code == -signal.SIGKILL, "its id was not noted yet"
    done = shop.penstock("run", ".", "--env", env)
    assert done.code == 0, (done.out, done.err)
    said = re.findall(r"^(\S+): (is at work|[A-Z]+)\b", done.out, re.MULTILINE)
    assert [what for _, what in said][:: len(said) - 1] == ["is at work", ended]
    assert len({job for job, _ in said}) == 1
    assert re.search(r"orders +done", done.out)
    assert shop.table() == [{"id": 1, "amount": 2.5}, {"id": 2, "amount": 4.0}]
    if env != "glue":  # YARN gives up a driver that has no application
        log = shop.driver_log()
        assert b"Running Spark version" in log
        assert b"Error initializing SparkContext" not in log, log.decode()

    again = shop.penstock("run", ".", "--env", env, "--runtime", "here", "--log", "json")
    assert (again.code, again.json()[-1]["status"]) == (0, "nothing to do"), "what ran there is known here"


def test_what_a_gate_says_there_is_said_here(shop: Shop) -> None:
    """On an application that is named for this run alone, of a version that is not what lies here any more."""
    shop.write("orders.json", json.dumps(SUITE))
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("write: append}", "write: append}, gate: {suite: orders}"))
    shop.deploy("serverless")
    shop.write("pipeline.yaml", shop.text("pipeline.yaml") + "# another\n")
    shop.deliver("1", "1,-2.5")
    stopped = shop.penstock("run", ".", "--env", "serverless", "--runtime", "emr-serverless:00another", "--log", "json")
    assert (stopped.code, "penstock: step orders: " in stopped.err, "between" in stopped.err) == (3, True, True), (stopped.out, stopped.err)
    differs, submitted, *_, record = stopped.json()
    assert "pipeline.yaml here differ from it until deployed" in differs["message"]
    assert "EMR Serverless, application 00another" in submitted["message"]
    assert submitted["message"].endswith(f"run {record['id']}")
    assert [s["status"] for s in record["steps"]] == ["done", "stopped"]


@pytest.mark.parametrize(("env", "ended"), [("cluster", "FAILED"), ("fleets", "TERMINATED_WITH_ERRORS"), ("glue", "FAILED")])
def test_a_driver_that_cannot_begin_is_told_by_the_line_that_matters(shop: Shop, env: str, ended: str) -> None:
    with zipfile.ZipFile(shop.folder / "dist" / cluster_package.PACKAGE, "w") as package:
        package.writestr("penstock/__init__.py", "import nothing_of_that_name\n")
    shop.deploy(env)
    failed = shop.penstock("run", ".", "--env", env)
    assert failed.code == 1
    said = failed.err.splitlines()
    assert re.fullmatch(rf"penstock: \S+ ended as {ended}: ModuleNotFoundError: No module named 'nothing_of_that_name'", said[-2]), failed.err
    assert said[-1].startswith("  log: CloudWatch" if env == "glue" else f"  log: s3://{shop.bucket}/logs/")


@contextmanager
def started(shop: Shop, *arguments: str, until: str) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own that has said something."""
    process = subprocess.Popen([*COMMAND, "run", ".", *arguments], cwd=shop.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if re.search(until, line):
            break
    else:
        pytest.fail(f"{said}, {process.communicate()}")
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_job_run_that_nobody_waits_for_is_followed_and_not_asked_for_twice(shop: Shop, local_aws: LocalAws) -> None:
    shop.deploy("serverless")
    shop.deliver("1", "1,2.5")
    with started(shop, "--env", "serverless", until="submitted") as process:
        process.send_signal(signal.SIGKILL)
    others = shop.penstock("run", ".", "--env", "serverless", "--select", "orders")
    assert (others.code, "already being run by" in others.err, "--env=serverless" in others.err) == (1, True, True), others.err
    done = shop.penstock("run", ".", "--env", "serverless")
    assert (done.code, "is at work, and is followed from here on" in done.out) == (0, True), (done.out, done.err)
    assert re.search(r"orders +done", done.out)
    assert [j["state"] for j in job_runs(local_aws) if j["name"].split()[0] == shop.namespace] == ["SUCCESS"]
    assert shop.table() == [{"id": 1, "amount": 2.5}]


def test_ctrl_c_cancels_and_a_second_one_leaves_it_running(shop: Shop, local_aws: LocalAws) -> None:
    """Its driver stops before the first commit, so that it runs for as long as that takes."""
    shop.hold()
    shop.deploy("serverless")
    shop.deliver("1", "1,2.5")

    def state() -> str:
        return next(str(j["state"]) for j in job_runs(local_aws) if j["name"].startswith(shop.namespace))

    with started(shop, "--env", "serverless", until="RUNNING") as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr
        assert "Ctrl-C again leaves it running" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, "goes on; run again" in err) == (130, True), (out, err)
    assert state() == "RUNNING"
    with started(shop, "--env", "serverless", until="is followed from here on") as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, "ended as CANCELLED" in err) == (130, True), (out, err)
    assert state() == "CANCELLED"
    query = shop.penstock("query", f"SELECT * FROM lake.{shop.namespace}.orders", "--json")
    assert "no run has made it yet" in query.err or query.json() == [], query


def test_steps_of_a_cluster_wait_for_each_other(local_aws: LocalAws, local_bucket: Callable[[str], str]) -> None:
    settings, bucket = AwsSettings.from_environment(local_aws.environment()), local_bucket("steps")
    client("s3", settings).put_object(Bucket=bucket, Key="wait.py", Body=b"import sys, time\ntime.sleep(float(sys.argv[1]))\n")
    emr, cluster = client("emr", settings), "j-1QUEUE"

    def step(seconds: str) -> dict[str, Any]:
        return {"Name": seconds, "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["spark-submit", f"s3://{bucket}/wait.py", seconds]}}

    first, second = emr.add_job_flow_steps(JobFlowId=cluster, Steps=[step("1"), step("60")])["StepIds"]
    seen: set[tuple[str, ...]] = set()

    def states() -> tuple[str, ...]:
        found = {s["Id"]: s["Status"]["State"] for s in emr.list_steps(ClusterId=cluster)["Steps"]}
        seen.add((found[first], found[second]))
        return found[first], found[second]

    until(lambda: states() == ("COMPLETED", "RUNNING"), seconds=90)
    assert ("RUNNING", "PENDING") in seen
    assert ("RUNNING", "RUNNING") not in seen
    told = emr.cancel_steps(ClusterId=cluster, StepIds=[first, second])["CancelStepsInfoList"]
    assert [t["Status"] for t in told] == ["FAILED", "SUBMITTED"]
    until(lambda: states() == ("COMPLETED", "CANCELLED"), seconds=90)


def test_a_cluster_of_its_own_ends_with_the_run_that_is_cancelled(local_aws: LocalAws, local_bucket: Callable[[str], str]) -> None:
    settings, bucket = AwsSettings.from_environment(local_aws.environment()), local_bucket("fleets")
    client("s3", settings).put_object(Bucket=bucket, Key="wait.py", Body=b"import time\ntime.sleep(60)\n")
    client("s3", settings).put_object(Bucket=bucket, Key="empty.zip", Body=b"PK\5\6" + bytes(18))
    core = {"types": {"m7g.xlarge": 1}, "on_demand": 1}
    given = {"service_role": "emr", "instance_profile": "ec2", "subnets": ["subnet-0a"], "primary": ["m7g.xlarge"], "core": core}
    run = new_run_id(datetime.now(UTC))
    service = service_of(RUNTIMES.validate_python({"kind": "emr-cluster", **given}), settings)
    empty = f"s3://{bucket}/empty.zip"
    started = service.start(Artifact("manifest.json", f"s3://{bucket}/wait.py", empty, empty), "shop", (), run)
    assert (service.find("shop", run), service.find("shop", new_run_id(datetime.now(UTC)))) == (started, None)
    assert not service.said(started).has_ended
    service.cancel(started)
    until(lambda: service.said(started) == Said("cancelled", "TERMINATED", "USER_REQUEST; Terminated by user request"))
    service.cancel(started)
    assert service.said("j-0NEVER") == GONE


BAD: dict[str, tuple[list[str], str]] = {
    "nothing deployed": ([], "nothing is deployed that EMR Serverless, application 00f1abc"),
    "a service that is none": (["--runtime", "emr-server:x"], "is not one of here, local, local[2]"),
    "an application that is none": (["--runtime", "emr-serverless:NO"], "--runtime 'emr-serverless:NO': application"),
    "a service of which too little is known": (["--runtime", "glue:"], "--runtime 'glue:': job"),
    "a step that is not there": (["--select", "order"], "did you mean 'orders'?"),
    "an interval without an end": (["--data-interval", "2026-01-01"], "--data-interval '2026-01-01' is not START/END, such as"),
    "an interval that ends before it begins": (["--data-interval", "2026-01-02/2026-01-01"], "is not START/END"),
    "a run's name that is none": (["--run-id", "tonight"], "--run-id 'tonight' is not a time and six hexadecimal digits"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_asked_for_is_named(shop: Shop, case: str) -> None:
    arguments, message = BAD[case]
    done: Done = shop.penstock("run", ".", "--env", "serverless", *arguments)
    assert (done.code, message in done.err) == (2, True), done.err


REFUSALS = {
    "no application": ({"code": "ResourceNotFoundException", "status": 400}, 2, "there is no application 00f1abc of EMR Serverless in us-east-1"),
    "no permission": (
        {"code": "AccessDeniedException", "status": 403},
        1,
        "the caller needs emr-serverless:StartJobRun on application 00f1abc of EMR Serverless",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_the_service_refuses_is_named(shop: Shop, faults: Callable[..., None], case: str) -> None:
    shop.deploy("serverless")
    fault, code, message = REFUSALS[case]
    faults(service="emr-serverless", times=100, **fault)
    refused = shop.penstock("run", ".", "--env", "serverless")
    assert (refused.code, message in refused.err) == (code, True), refused.err
