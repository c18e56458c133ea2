"""The example under a real Airflow: one DAG a file, run against the local AWS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.infra.local.control import LocalAws

ROOT = Path(__file__).parents[2]
DAYS = "3"
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


def test_the_example_runs_as_a_dag(airflow: dict[str, str]) -> None:
    generator = ROOT / "dags" / "pipelines" / "flights" / "generate.py"
    subprocess.run([sys.executable, str(generator), "s3://penstock-raw", "--days", DAYS], env=airflow, capture_output=True, text=True, check=True)
    done = subprocess.run([sys.executable, "-c", TEST, str(ROOT / "dags")], env=airflow, capture_output=True, text=True, check=False, timeout=500)
    (result,) = [json.loads(line.removeprefix("RESULT ")) for line in done.stdout.splitlines() if line.startswith("RESULT ")] or [
        done.stdout[-3000:] + done.stderr[-3000:]
    ]
    assert isinstance(result, dict), result
    assert (result["state"], set(result["tasks"].values())) == ("success", {"success"}), done.stdout[-3000:]
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
