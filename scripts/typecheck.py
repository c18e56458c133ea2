"""mypy --strict over the flat folders under their one import name: a folder of links shows them to it as they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

LINKS = Path(".typecheck")
MAPPED = ("connectors", "infra", "jobs", "quality")


def main() -> int:
    shutil.rmtree(LINKS, ignore_errors=True)
    package = LINKS / "penstock"
    package.mkdir(parents=True)
    for entry in Path("penstock").iterdir():
        if entry.name != "__pycache__":
            (package / entry.name).symlink_to(Path("../..") / entry)
    for folder in MAPPED:
        (package / folder).symlink_to(Path("../..") / folder)
    environment = os.environ | {"MYPYPATH": f"{LINKS}{os.pathsep}scripts"}
    command = [sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases", str(package), "scripts"]
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
