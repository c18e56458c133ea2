"""Named points at which a test may end this process with SIGKILL: `PENSTOCK_KILL_AT=name[:occurrence]`."""

from __future__ import annotations

import os
import signal
from collections import Counter

_TARGET, _, _NTH = os.environ.get("PENSTOCK_KILL_AT", "").partition(":")
_reached: Counter[str] = Counter()


def reach(name: str) -> None:
    """Does nothing unless the environment named this point when the process started."""
    if name != _TARGET:
        return
    _reached[name] += 1
    if _reached[name] >= int(_NTH or 1):
        os.kill(os.getpid(), signal.SIGKILL)
