"""What `make dist` packs is all that executors need: a cluster of two, whose Python has nothing else.

`make everywhere`: it fetches what is locked for clusters.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cluster_package
import pytest
import spark_server
from pipelines import EVENTS, Project, event, events

from penstock.infra.local.spark_jobs import spark_submit

WHY_NOT = spark_server.why_not_everywhere()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
ROOT = Path(__file__).parents[2]
ARCHIVE = f"cluster-py3{sys.version_info.minor}.zip"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A Python without packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = tmp_path / "bare" / "bin" / "python"
    assert subprocess.run([python, "-c", "import pyarrow"], capture_output=True, check=False).returncode
    return python


def test_executors_work_with_what_was_packed_for_them_alone(tmp_path: Path, table_format: str, bare: Path) -> None:
    dist = tmp_path / "dist"
    cluster_package.fill(dist)
    (dist / ARCHIVE).unlink(missing_ok=True)
    subprocess.run([sys.executable, str(ROOT / "scripts" / "cluster.py"), str(dist / ARCHIVE)], check=True)
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format) + "environments:\n  large: {engine: spark, spark_from_mb: 0}\n")
    project.write("landing/orders/1.json", events(*(event("c", i, i, "new", f"{i}.50") for i in range(1, 100)), "{"))
    project.write("landing/orders/2.json", events(event("d", 7, 200), event("u", 8, 201, "paid", "1.00")))
    driver, work = tmp_path / "driver", Path(spark_submit()[0]).parents[1] / "work"
    before = set(work.glob("app-*"))
    zipfile.ZipFile(dist / ARCHIVE).extractall(driver / "environment")
    settings = {
        "spark.archives": f"{dist / ARCHIVE}#environment",
        "spark.executorEnv.PYTHONPATH": "./environment",
        "spark.executorEnv.PYSPARK_PYTHON": str(bare),
        "spark.pyspark.python": str(bare),
        "spark.ui.enabled": "false",
    }
    conf = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    package = ["--py-files", str(dist / cluster_package.PACKAGE), str(ROOT / "jobs" / "bin" / "launch.py")]
    home = {"PYTHONPATH": "./environment", "PYSPARK_PYTHON": str(bare), "PYSPARK_DRIVER_PYTHON": str(bare)}
    command = [*spark_submit(), "--master", "local-cluster[2,1,2048]", *conf, *package, str(tmp_path), "--env", "large", "--log", "json"]
    done = subprocess.run(command, cwd=driver, env={**os.environ, **home}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    steps = {s["step"]: s for s in json.loads(next(line for line in reversed(done.stdout.splitlines()) if line.startswith("{")))["steps"]}
    assert {k: v for k, v in steps["orders"]["counts"].items() if v} == {"read": 102, "applied": 101, "quarantined": 1}
    mine = set(work.glob("app-*")) - before
    assert len([e for app in mine for e in app.glob("*/environment/pyarrow")]) == 2, "two executors unpacked it"
    for app in mine:
        shutil.rmtree(app)
    rows = project.rows("lake.shop.orders", "id, state, amount")
    assert [r["id"] for r in rows] == [i for i in range(1, 100) if i != 7]
