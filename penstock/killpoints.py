"""Named points at which a test may end or stop this process: `PENSTOCK_KILL_AT=name[:occurrence]` (SIGKILL), `PENSTOCK_STOP_AT` (SIGSTOP)."""

from __future__ import annotations

import os
import signal
from collections import Counter
from functools import cache

_SIGNALS = {"PENSTOCK_KILL_AT": "SIGKILL", "PENSTOCK_STOP_AT": "SIGSTOP"}
_reached: Counter[str] = Counter()


@cache
def _asked() -> dict[str, tuple[str, str, str]]:
    return {variable: os.environ[variable].partition(":") for variable in _SIGNALS if os.environ.get(variable)}


def reach(name: str) -> None:
    """Does nothing unless the environment named this point when the process came to its first one."""
    for variable, (target, _, nth) in _asked().items():
        if name == target:
            _reached[name] += 1
            if _reached[name] == int(nth or 1):
                os.kill(os.getpid(), getattr(signal, _SIGNALS[variable]))
