"""Which files are rewritten, and which stay with the positions of their deleted rows beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from penstock.tables import DataFile

LARGE_ROWS = 50_000
SEALED_ROWS = 500_000
MOST_DELETED = 0.2


@dataclass(frozen=True)
class Arrival:
    """Rows that come to a partition."""

    partition: tuple[object, ...]
    rows: int


def is_large(file: DataFile) -> bool:
    return file.rows + file.deleted >= LARGE_ROWS


def thinned(files: Iterable[DataFile], gone: Mapping[str, int]) -> list[DataFile]:
    """The touched files that stay: large ones of which few rows are deleted, all in all."""
    touched = (f for f in files if f.uri in gone and is_large(f))
    return [f for f in touched if f.deleted + gone[f.uri] <= MOST_DELETED * (f.rows + f.deleted)]


def absorbed(files: Sequence[DataFile], rows: int) -> tuple[DataFile, ...]:
    """The small files that new rows are put together with, so that their number grows with the logarithm of what was written."""
    taken: list[DataFile] = []
    for file in sorted(files, key=lambda f: f.rows):
        if file.rows > rows or file.rows >= SEALED_ROWS:
            break
        taken.append(file)
        rows += file.rows
    return tuple(taken)
