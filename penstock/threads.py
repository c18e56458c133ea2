"""The same thing done for several items at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import RLock
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

# Great Expectations and pyspark import each other's parts in circles: of two threads that do so at once, one is given a module that is half made
IMPORTING = RLock()


def each(act: Callable[[T], R], items: Iterable[T], threads: int = 8) -> list[R]:
    """What `act` gives for each item, in their order; the first error that one raises. A single item is not worth a thread."""
    wanted = list(items)
    if len(wanted) < 2:
        return [act(item) for item in wanted]
    with ThreadPoolExecutor(min(threads, len(wanted))) as pool:
        return list(pool.map(act, wanted))
