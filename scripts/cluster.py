"""What Penstock needs on a cluster besides Spark itself, in one reproducible archive: `cluster.py dist/cluster-py311.zip`.

The file's name says for which Python, and in which form: `.zip` holds the packages installed side by side, for PYTHONPATH; `.gluewheels.zip` holds
their wheels, which Glue installs by itself. It is made for Linux on x86_64 (glibc 2.34, Amazon Linux 2023) from wheels alone, so any machine can make it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from slim import slim

LOCK = Path(__file__).parents[1] / "requirements" / "cluster.txt"
NAME = re.compile(r"cluster-py3(\d+)(\.gluewheels)?\.zip")
PLATFORMS = (*(f"manylinux_2_{minor}_x86_64" for minor in range(34, 4, -1)), "manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64")
EPOCH = (1980, 1, 1, 0, 0, 0)
# scripts begin with the path of the interpreter that installed them, and a RECORD has their hashes
OF_THIS_MACHINE = re.compile(r"bin/.*|[^/]+\.dist-info/(RECORD|INSTALLER|REQUESTED)|.*\.pyc")


def pinned(lock: str, python: str) -> Iterator[str]:
    """The locked requirements that hold on Linux with a Python such as `3.13`, each with its hashes and without its marker."""
    target = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_machine": "x86_64",
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
    }
    for entry in re.split(r"\n(?=\S)", lock.replace("\\\n", " ").strip()):
        said, *hashes = re.split(r"\s+(?=--hash=)", entry)
        requirement = Requirement(said)
        if requirement.marker is None or requirement.marker.evaluate({**target}):
            yield " ".join([f"{requirement.name}{requirement.specifier}", *hashes])


def fetch(verb: Sequence[str], requirements: Sequence[str], python: str, scratch: Path) -> None:
    """pip, for another Python and platform than this one. Markers are settled already: pip would judge them by its own Python."""
    listed = scratch / "requirements.txt"
    listed.write_text("".join(f"{line}\n" for line in requirements))
    platforms = [option for platform in PLATFORMS for option in ("--platform", platform)]
    target = ["--implementation", "cp", "--python-version", python, *platforms, "--only-binary=:all:", "--no-deps", "--require-hashes"]
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *verb, *target, "-r", str(listed)], check=True)


def write_archive(archive: Path, folder: Path) -> None:
    """A zip whose bytes follow from the files alone: entries in order, one time and one mode for all. It appears whole or not at all."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    unfinished = archive.with_suffix(".unfinished")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as out:
        for name, file in sorted((f.relative_to(folder).as_posix(), f) for f in folder.rglob("*") if f.is_file()):
            if not OF_THIS_MACHINE.fullmatch(name):
                entry = zipfile.ZipInfo(name, EPOCH)
                entry.compress_type = zipfile.ZIP_STORED if name.endswith(".whl") else zipfile.ZIP_DEFLATED
                entry.create_system, entry.external_attr = 3, 0o644 << 16
                out.writestr(entry, file.read_bytes())
    unfinished.replace(archive)


def main(archive: Path) -> int:
    named = NAME.fullmatch(archive.name)
    if not named:
        print(f"{archive.name} is not cluster-py311.zip or cluster-py313.gluewheels.zip, or the like")
        return 2
    python, of_wheels = f"3.{named[1]}", bool(named[2])
    requirements = list(pinned(LOCK.read_text(), python))
    with tempfile.TemporaryDirectory() as temporary:
        scratch, folder = Path(temporary), Path(temporary) / "archive"
        if of_wheels:
            wheels = folder / "wheels"
            fetch(["download", "--dest", str(wheels)], requirements, python, scratch)
            (wheels / "requirements.txt").write_text("".join(f"{line.split()[0]}\n" for line in requirements))
        else:
            fetch(["install", "--no-compile", "--target", str(folder)], requirements, python, scratch)
            slim(folder)
        write_archive(archive, folder)
    print(f"{archive}: {len(requirements)} packages, {archive.stat().st_size / 1e6:,.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
