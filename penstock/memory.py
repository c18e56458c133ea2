"""The memory of the machine, or of the container, that the process runs in."""

from __future__ import annotations

import os
from pathlib import Path


def half_of_memory() -> int:
    """In bytes: what one of two, a process and the JVM beside it, may take."""
    has, allowed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), Path("/sys/fs/cgroup/memory.max")
    said = allowed.read_text().strip() if allowed.exists() else "max"
    return min(has, int(said) if said.isdigit() else has) // 2
