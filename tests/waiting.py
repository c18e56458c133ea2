"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest


def until(true: Callable[[], bool], *, seconds: int = 30) -> None:
    for _ in range(20 * seconds):
        if true():
            return
        time.sleep(0.05)
    pytest.fail(f"waited for {seconds} s in vain")
