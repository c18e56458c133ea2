"""Drivers killed, and executors lost, on Spark: each event acts once all the same.

`make everywhere` has it run, which takes minutes; executors are those of a Spark of a driver and two of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import spark_server
from pipelines import EVENTS, Project, event, events

from penstock.infra.local.spark_jobs import spark_submit

WHY_NOT = spark_server.why_not_everywhere()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
POINTS = ("after_cut", "after_quarantine", "after_memory", "before_commit", "after_commit", "after_batch", "after_commit:2")
LAUNCHER = Path(__file__).parents[2] / "jobs" / "bin" / "launch.py"


@pytest.fixture
def shop(tmp_path: Path, table_format: str) -> Project:
    project = Project(tmp_path)
    text = EVENTS.replace("FORMAT", table_format).replace("batch: {max_files: 1}", "batch: {max_files: 2}")
    project.write("pipeline.yaml", text + "environments:\n  large: {engine: spark, spark_from_mb: 0}\n")
    return project


def test_a_driver_killed_at_every_point_in_turn_goes_on(shop: Project, spark_address: str) -> None:
    shop.write("landing/orders/0.json", events(event("c", 1, 0, "new"), *(event("c", 100 + i, 1, "new") for i in range(len(POINTS)))))
    for number, point in enumerate(POINTS):  # each finds work to do, however far the one before it had come
        lsn = 10 * (number + 1)
        changes = (event("u", 1, lsn, point), event("d", 100 + number, lsn + 1), "{", event("u", 1, lsn - 1, "late"))
        shop.write(f"landing/orders/{number + 1}.json", events(*changes))
        killed = shop.process("run", ".", "--env", "large", PENSTOCK_KILL_AT=point, SPARK_REMOTE=spark_address)
        assert killed.code == -signal.SIGKILL, (point, killed.out, killed.err)
    done = shop.process("run", ".", "--env", "large", SPARK_REMOTE=spark_address)
    assert done.code == 0, done.err
    assert shop.rows("lake.shop.orders", "id, state") == [{"id": 1, "state": POINTS[-1]}]
    assert len(shop.rows("lake.shop.orders__quarantine", "__batch")) == len(POINTS)


def deliver(shop: Project) -> dict[int, str]:
    """Two batches of events, of which the second changes what the first made; the state that each order ends with."""
    orders = range(1, 20_001)
    for number in (1, 2):
        shop.write(f"landing/orders/{number}.json", events(*(event("c", i, i, "new", f"{i % 100}.50") for i in orders[number - 1 :: 2])))
    changed, gone = orders[::3], orders[1::7]
    shop.write("landing/orders/3.json", events(*(event("u", i, 30_000 + i, "paid", "1.00") for i in changed)))
    shop.write("landing/orders/4.json", events(*(event("d", i, 60_000 + i) for i in gone)))
    return {i: "paid" if i in changed else "new" for i in orders if i not in gone}


def submitted(shop: Project, **conf: str) -> subprocess.Popen[str]:
    """The pipeline on a Spark of two executors, each a process."""
    settings = {"spark.ui.enabled": "false", "spark.executorEnv.PYTHONPATH": os.pathsep.join(sys.path), "spark.pyspark.python": sys.executable, **conf}
    words = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    command = [*spark_submit(), "--master", "local-cluster[2,1,1024]", *words, str(LAUNCHER), str(shop.folder), "--env", "large", "--log", "json"]
    with (shop.folder / "driver.log").open("w") as log:
        return subprocess.Popen(command, cwd=shop.folder, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "PYSPARK_PYTHON": sys.executable})


def is_executor(process: psutil.Process) -> bool:
    try:
        return "CoarseGrainedExecutorBackend" in " ".join(process.cmdline())
    except psutil.Error:  # it ends just now
        return False


def ended(shop: Project, run: subprocess.Popen[str], ends: dict[int, str]) -> None:
    out, _ = run.communicate(timeout=600)
    assert run.returncode == 0, shop.text("driver.log")[-3000:]
    steps = {s["step"]: s for s in json.loads(next(line for line in reversed(out.splitlines()) if line.startswith("{")))["steps"]}
    counts = steps["orders"]["counts"]
    assert counts["applied"] + counts["superseded"] + counts["unchanged"] == counts["read"] == 29_524
    assert counts["unchanged"] in (0, 2_857), "deletes, which a batch that was done anew had remembered before"
    assert {r["id"]: r["state"] for r in shop.rows("lake.shop.orders", "id, state")} == ends


def test_an_executor_that_is_lost_while_files_are_written_loses_and_doubles_nothing(shop: Project) -> None:
    ends = deliver(shop)
    run, killed, known = submitted(shop), 0, set[Path]()
    while run.poll() is None and killed < 2:
        if new := set((shop.folder / "warehouse").rglob("*.parquet")) - known:
            known |= new
            at_work = [p for p in psutil.Process(run.pid).children(recursive=True) if is_executor(p)]
            for executor in at_work[:1]:
                executor.kill()
                killed += 1
                time.sleep(5)
        time.sleep(0.005)
    ended(shop, run, ends)
    assert killed, "no executor was at work while files were written"
    assert "Lost executor" in shop.text("driver.log")
