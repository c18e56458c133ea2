"""The arrows, and what must never be loaded where a scheduler looks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import arrows  # noqa: E402

HEAVY = ("pyspark", "pandas", "boto3", "great_expectations", "pyarrow", "duckdb", "deltalake", "pyiceberg", "awswrangler")


def test_the_tree_keeps_to_the_arrows() -> None:
    done = subprocess.run([sys.executable, "scripts/arrows.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("module", "source", "what"),
    [
        ("penstock.plan", "from penstock.jobs.run import run", "stands above it"),
        ("penstock.plan", "def f():\n    from penstock.connectors.stores import open_store", "stands above it"),
        ("penstock.connectors.files.store", "from ...jobs import run", "stands above it"),
        ("penstock.jobs.run", "import penstock.cli", "stands above it"),
        ("penstock.plan", "import pandas", "is loaded at the import"),
        ("dags.penstock_pipelines", "import boto3", "is loaded at the import"),
        ("penstock.jobs.run", "from penstock.infra.local import control", "only"),
        ("penstock.infra.local.aws", "from penstock.plan import Plan", "stands apart"),
    ],
)
def test_a_breach_is_found(module: str, source: str, what: str) -> None:
    (found,) = {message for _, message in arrows.breaches(module, source)}
    assert what in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("penstock.plan", "def f():\n    import pandas"),
        ("penstock.plan", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas"),
        ("penstock.jobs.run", "from penstock.connectors.stores import open_store"),
        ("penstock.cli.local", "from penstock.infra.local.control import up"),
        ("penstock.connectors.delta.table", "import deltalake"),
    ],
)
def test_what_is_allowed_is_not_found(module: str, source: str) -> None:
    assert list(arrows.breaches(module, source)) == []


def test_a_cycle_is_found_once() -> None:
    assert list(arrows.cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == [["a", "b", "c", "a"]]


def rules() -> list[str]:
    """Every module of the rules and of the light side of the command line."""
    found = [name for name, _ in arrows.modules(ROOT) if name.startswith("penstock") and arrows.tier(name) == 0 and not name.startswith("penstock.infra")]
    return [*found, "penstock.cli.app", "penstock.cli.plan", "penstock.testing"]


def test_the_schedulers_side_loads_no_engine() -> None:
    code = f"import sys, {', '.join(rules())}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_dag_file_loads_no_engine() -> None:
    code = f"import sys; sys.path.insert(0, 'dags'); import penstock_pipelines as d; print(d.dag.dag_id, [m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[-2].startswith("flights"), done.stdout
    assert not [m for m in ("pyspark", "great_expectations", "duckdb", "pyarrow", "deltalake", "pyiceberg", "awswrangler") if f"'{m}'" in done.stdout], (
        done.stdout
    )
