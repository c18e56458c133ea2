"""The example under a real Airflow: one DAG a file, run against the local AWS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spark_server
from deployed_shop import SUITE, job_runs, open_shop
from waiting import until

from penstock.infra.local.control import LocalAws

ROOT = Path(__file__).parents[2]
DAYS = "3"
EVERYWHERE = pytest.mark.skipif(bool(spark_server.why_not_everywhere()), reason=spark_server.why_not_everywhere())
TEST = """
import json, sys
sys.path.insert(0, sys.argv[1])
import penstock_pipelines
run = penstock_pipelines.dag.test()
print("RESULT " + json.dumps({"state": str(run.state), "tasks": {t.task_id: str(t.state) for t in run.get_task_instances()}}))
"""


@pytest.fixture
def airflow(tmp_path: Path, local_aws: LocalAws) -> dict[str, str]:
    """An Airflow of the test's own: SQLite, no examples, the project's DAG folder."""
    assert local_aws
    settings = {
        "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    environment = {**os.environ, **settings}
    migrated = subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, capture_output=True, text=True, check=False)
    assert migrated.returncode == 0, migrated.stderr[-2000:]
    return environment


def result_of(dags: Path, environment: dict[str, str]) -> tuple[dict[str, Any], str]:
    """How one run of the folder's DAG ended, and what it logged."""
    done = subprocess.run([sys.executable, "-c", TEST, str(dags)], env=environment, capture_output=True, text=True, check=False, timeout=500)
    log = done.stdout + done.stderr
    found = [json.loads(line.removeprefix("RESULT ")) for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert found, log[-6000:]
    return found[0], log


def test_the_example_runs_as_a_dag(airflow: dict[str, str]) -> None:
    generator = ROOT / "dags" / "pipelines" / "flights" / "generate.py"
    subprocess.run([sys.executable, str(generator), "s3://penstock-raw", "--days", DAYS], env=airflow, capture_output=True, text=True, check=True)
    result, log = result_of(ROOT / "dags", airflow)
    assert (result["state"], set(result["tasks"].values())) == ("success", {"success"}), log[-6000:]
    assert len(result["tasks"]) == 16
    query = [
        sys.executable,
        "-c",
        "from penstock.cli import main; main()",
        "query",
        "-p",
        "dags/pipelines/flights",
        "SELECT count(*) AS n FROM lake.ops.flights",
        "--json",
    ]
    asked = subprocess.run(query, cwd=ROOT, env=airflow, capture_output=True, text=True, check=True)
    assert json.loads(asked.stdout) == {"n": 2699 - 22}


@pytest.mark.skipif(bool(spark_server.missing()), reason=spark_server.missing())
@pytest.mark.parametrize("waits", ["in the triggerer", pytest.param("on the worker", marks=EVERYWHERE)])
def test_where_the_runtime_is_a_service_a_dag_is_one_job_run(
    waits: str, airflow: dict[str, str], tmp_path: Path, local_aws: LocalAws, local_bucket: Callable[[str], str]
) -> None:
    """One task submits and follows; a gate that stops the job run fails it, and it is not tried again."""
    dags = tmp_path / "dags"
    shop = open_shop(dags / "pipelines" / "shop", local_aws, local_bucket)
    shutil.copy(ROOT / "dags" / "penstock_pipelines.py", dags)
    shop.write("orders.json", json.dumps(SUITE))
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("write: append}", "write: append}, gate: {suite: orders}"))
    shop.deploy("serverless")
    airflow |= {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "PENSTOCK_ENV": "serverless",
        "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": str(waits == "in the triggerer"),
    }

    shop.deliver("1", "1,2.5")
    result, log = result_of(dags, airflow)
    assert result == {"state": "success", "tasks": {"run": "success"}}, log[-6000:]
    assert "submitted: EMR Serverless, application 00f1abc" in log
    assert shop.table() == [{"id": 1, "amount": 2.5}]

    if waits == "on the worker":
        shop.deliver("2", "2,-2.5")
        result, log = result_of(dags, airflow)
        assert result == {"state": "failed", "tasks": {"run": "failed"}}, log[-6000:]
        assert "AirflowFailException: step orders: " in log


ALONE = """
import asyncio
from penstock.airflow.job_run import JobRunEnded
from penstock.jobs.remote import Submission
submission = Submission("20260101T000000-000000", "shop", {"kind": "glue", "job": "shop"}, "v", (), "jr_none")
module, given = JobRunEnded(submission=submission.dumps().decode(), is_local=True).serialize()
assert module.endswith(".JobRunEnded"), module
print(asyncio.run(anext(JobRunEnded(**given).run())).payload["waited"])
"""


def test_a_triggerer_knows_the_local_aws_by_itself(airflow: dict[str, str]) -> None:
    """Its process was told nothing of it; a job run that the service does not know has ended."""
    elsewhere = {name: value for name, value in airflow.items() if not name.startswith("AWS_")}
    done = subprocess.run([sys.executable, "-c", ALONE], env=elsewhere, capture_output=True, text=True, check=False, timeout=100)
    assert done.stdout.splitlines()[-1:] == ["0.0"], done.stderr[-4000:]


KILLED = """
import asyncio, sys, threading, time
from penstock.airflow.job_run import JobRunEnded, PenstockJobRunOperator
task = PenstockJobRunOperator(task_id="run", pipeline=sys.argv[1], env="serverless", deferrable=False)
def run():
    try:
        task.execute({})
    except Exception as error:
        print(type(error).__name__, error, flush=True)
thread = threading.Thread(target=run)
thread.start()
sys.stdin.readline()
while task._at_work is None:  # it runs before its id is known here
    time.sleep(0.1)
if sys.argv[2] == "worker":
    task.on_kill()
else:
    asyncio.run(JobRunEnded(submission=task._at_work.submission.dumps().decode(), is_local=True).on_kill())
thread.join()
"""


@EVERYWHERE
@pytest.mark.parametrize("where", ["worker", "triggerer"])
def test_a_killed_task_cancels_its_job_run(
    where: str, airflow: dict[str, str], tmp_path: Path, local_aws: LocalAws, local_bucket: Callable[[str], str]
) -> None:
    shop = open_shop(tmp_path / "shop", local_aws, local_bucket)
    shop.hold()
    shop.deploy("serverless")
    shop.deliver("1", "1,2.5")

    def state() -> str:
        return next((str(j["state"]) for j in job_runs(local_aws) if j["name"].startswith(shop.namespace)), "")

    command = [sys.executable, "-c", KILLED, str(shop.folder / "pipeline.yaml"), where]
    task = subprocess.Popen(command, env=airflow, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: state() == "RUNNING", seconds=90)
    out, err = task.communicate("\n", timeout=120)
    assert (task.returncode, "ended as CANCELLED" in out) == (0, True), (out, err)
    assert state() == "CANCELLED"
