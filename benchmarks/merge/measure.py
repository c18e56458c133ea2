"""Seconds, processor time and memory of one thing done in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Figures:
    """What doing it took: `cpu` in seconds of all threads (and not of a JVM), `peak_mb` of this process and its children; `ratios` are the case's own."""

    seconds: float
    cpu: float
    peak_mb: int
    ratios: dict[str, float] = field(default_factory=dict)


def measured(act: Callable[[], dict[str, float] | None]) -> Figures:
    """Do it once. What it returns are ratios of its own; `seconds` among them replaces the time of all of it."""
    cpu, clock = time.process_time(), time.perf_counter()
    ratios = act() or {}
    seconds = ratios.pop("seconds", time.perf_counter() - clock)
    used = time.process_time() - cpu
    me = psutil.Process()
    return Figures(round(seconds, 3), round(used, 3), sum(map(_peak_mb, (me, *me.children(recursive=True)))), ratios)


def _peak_mb(process: psutil.Process) -> int:
    """The greatest memory that a process has held; 0 for one that ended. `ru_maxrss` would be that of its parent, where that held more before it began."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return process.memory_info().rss // 1024**2
    said = status.read_text().partition("VmHWM:")[2].split()
    return int(said[0]) // 1024 if said else 0
