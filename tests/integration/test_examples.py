"""The examples run as their READMEs say, on the local AWS of the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.infra.local.control import HOME, LocalAws

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(local_aws: LocalAws, tmp_path: Path) -> Callable[..., str]:
    environment = {**os.environ, **local_aws.environment(), HOME: str(local_aws.home)}

    def command(*arguments: str) -> str:
        done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return command


def test_the_star_schema_benchmark_has_duckdbs_answers(run: Callable[..., str]) -> None:
    said = run(str(EXAMPLES / "ssb" / "run.py"), "--scale", "0.01", "--without-spark")
    assert said.endswith("all answers are DuckDB's\n")
    assert [line.split()[0] for line in said.splitlines() if line.startswith("  q")] == [
        f"q{flight}.{n}" for flight, count in ((1, 3), (2, 3), (3, 4), (4, 3)) for n in range(1, count + 1)
    ]


def test_tickit_has_its_star_and_no_sale_twice(run: Callable[..., str]) -> None:
    penstock = ("-c", "from penstock.cli import main; main()")
    run(str(EXAMPLES / "tickit" / "generate.py"), "s3://penstock-tickit", "--days", "2")
    run(*penstock, "run", str(EXAMPLES / "tickit"), "--env", "local")
    run(str(EXAMPLES / "tickit" / "generate.py"), "s3://penstock-tickit", "--days", "3")
    run(*penstock, "run", str(EXAMPLES / "tickit"), "--env", "local")

    def ask(sql: str, *more: str) -> object:
        return json.loads(run(*penstock, "query", sql, "-p", str(EXAMPLES / "tickit"), "--env", "local", "--json", *more))

    assert ask("SELECT COUNT(*) AS n FROM lake.tickit.sales") == {"n": 1550}
    by_wire = ("--connection", "warehouse")
    assert ask("SELECT COUNT(*) AS n, COUNT(DISTINCT salesid) AS ids FROM tickit.sales", *by_wire) == {"n": 1500, "ids": 1500}
    assert ask("SELECT COUNT(*) AS n, COUNT(DISTINCT eventid) > 50 AS many FROM tickit.fact_sales", *by_wire) == {"n": 1500, "many": True}
    assert ask("SELECT MIN(rank_in_state) AS first, COUNT(*) > 300 AS many FROM tickit.dim_buyer", *by_wire) == {"first": 1, "many": True}
