"""What `make dist` makes, for jobs that run on this machine: Penstock itself, without what it needs, which this interpreter has."""

from __future__ import annotations

import zipfile
from importlib.metadata import version
from pathlib import Path

import penstock

PACKAGE = f"penstock-{version('penstock')}.zip"
ARCHIVES = ("cluster-py311.zip", "cluster-py313.gluewheels.zip")
_FOLDERS = {"penstock": "penstock", **{name: f"penstock/{name}" for name in ("connectors", "quality", "jobs", "infra")}}


def fill(dist: Path) -> None:
    dist.mkdir(parents=True)
    root = Path(penstock.__file__).parents[1]
    with zipfile.ZipFile(dist / PACKAGE, "w") as out:
        for folder, place in _FOLDERS.items():
            for file in (root / folder).rglob("*"):
                if file.is_file() and "__pycache__" not in file.parts:
                    out.write(file, f"{place}/{file.relative_to(root / folder)}")
    (dist / f"penstock-{version('penstock')}-py3-none-any.whl").write_bytes((dist / PACKAGE).read_bytes())
    for name in ARCHIVES:
        with zipfile.ZipFile(dist / name, "w") as nothing:
            nothing.writestr("README", "what Penstock needs is there already")
