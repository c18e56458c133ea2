"""Files removed where others remove them too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from penstock.threads import each

T = TypeVar("T")


def removed(files: Iterable[T], delete: Callable[[T], object]) -> list[T]:
    """Those that `delete` removed; one that is not there any more is left out, for another was quicker."""

    def is_removed(file: T) -> bool:
        try:
            delete(file)
        except FileNotFoundError:
            return False
        return True

    wanted = list(files)
    return [file for file, is_gone in zip(wanted, each(is_removed, wanted), strict=True) if is_gone]
