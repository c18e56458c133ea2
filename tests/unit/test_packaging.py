"""What ships: every tracked module of the flat folders, under one import name, and the data that they read."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = {"penstock": "penstock", "connectors": "penstock/connectors", "quality": "penstock/quality", "jobs": "penstock/jobs", "infra": "penstock/infra"}


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


def shipped_as(name: str) -> str | None:
    folder, _, rest = name.partition("/")
    return f"{FOLDERS[folder]}/{rest}" if folder in FOLDERS else None


def test_the_packages_are_those_of_the_tree() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {str(Path(s).parent).replace("/", ".") for n in tracked() if n.endswith("__init__.py") and (s := shipped_as(n))}
    assert set(declared) == found


def test_the_wheel_holds_every_module_and_data_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {s for n in tracked() if (s := shipped_as(n)) and not n.endswith((".md", ".pyc"))}
    assert wanted - held == set()
    assert not [n for n in held if n.split("/")[0] not in ("penstock", f"{wheel.name.rsplit('-', 3)[0]}.dist-info")]


def test_the_locked_sets_hold_names_versions_and_hashes_alone() -> None:
    for name in ("run.txt", "dev.txt"):
        lines = [line.strip(" \\") for line in (ROOT / "requirements" / name).read_text().splitlines()]
        assert lines
        assert not [line for line in lines if "://" in line]
        assert all("==" in line or line.startswith("--hash=sha256:") for line in lines)
    run = (ROOT / "requirements" / "run.txt").read_text()
    assert "\npyspark-client==" in run
    assert "\npyspark==" not in run
    assert "apache-airflow" not in run
