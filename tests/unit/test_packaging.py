"""What ships: every tracked module of the flat folders, under one import name, and the data that they read."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import cluster  # noqa: E402

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
    for name in ("run.txt", "dev.txt", "cluster.txt"):
        lines = [line.strip(" \\") for line in (ROOT / "requirements" / name).read_text().splitlines()]
        assert lines
        assert not [line for line in lines if "://" in line]
        assert all("==" in line or line.startswith("--hash=sha256:") for line in lines)
    run = (ROOT / "requirements" / "run.txt").read_text()
    assert "\npyspark-client==" in run
    assert "\npyspark==" not in run
    assert "apache-airflow" not in run


def test_a_cluster_gets_the_versions_that_are_tested_and_no_spark() -> None:
    locked = {n: (ROOT / "requirements" / n).read_text() for n in ("cluster.txt", "dev.txt")}
    (shipped, dev) = ({line.split(" ;")[0].strip(" \\") for line in text.splitlines() if "==" in line} for text in locked.values())
    assert shipped - dev == set()
    assert not [pin for pin in shipped if pin.startswith(("pyspark", "moto", "pysail"))]
    assert {"pyarrow", "pyiceberg", "deltalake", "duckdb", "great-expectations", "typer"} <= {pin.split("==")[0] for pin in shipped}


def test_markers_are_settled_for_the_clusters_python() -> None:
    lock = """numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:cc
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:dd
six==1.17.0 \\
    --hash=sha256:ee
"""
    assert list(cluster.pinned(lock, "3.11")) == ["numpy==2.4.6 --hash=sha256:aa --hash=sha256:bb", "six==1.17.0 --hash=sha256:ee"]
    assert list(cluster.pinned(lock, "3.13")) == ["numpy==2.5.5 --hash=sha256:cc", "six==1.17.0 --hash=sha256:ee"]


def test_an_archive_follows_from_its_files_alone(tmp_path: Path) -> None:
    files = {"b/x.py": "1", "a.py": "2", "bin/tool": "#!/of/this/machine", "a-1.dist-info/RECORD": "../bin/tool", "a-1.dist-info/METADATA": "Name: a"}
    for folder, names in (("one", [*files]), ("two", [*reversed(files)])):
        for name in names:
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).write_text(files[name])
            os.utime(tmp_path / folder / name, (len(folder + name) * 1e6, 1e9 if folder == "one" else 1.5e9))
        (tmp_path / folder / "a.py").chmod(0o600 if folder == "one" else 0o755)
        cluster.write_archive(tmp_path / f"{folder}.zip", tmp_path / folder)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert zipfile.ZipFile(tmp_path / "one.zip").namelist() == ["a-1.dist-info/METADATA", "a.py", "b/x.py"]


def test_an_archives_name_says_for_which_python_and_in_which_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert cluster.main(Path("cluster-313.zip")) == 2
    assert "is not cluster-py311.zip or cluster-py313.gluewheels.zip" in capsys.readouterr().out
