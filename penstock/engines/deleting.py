"""Which files are rewritten, and which stay with the positions of their deleted rows beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from penstock.tables import DataFile

LARGE_ROWS = 50_000
SEALED_ROWS = 500_000
MOST_DELETED, TOO_MANY_DELETED = 0.15, 0.25
AT_ONCE = 0.1  # of the rows of the files touched


@dataclass(frozen=True)
class Arrival:
    """Rows that come to a partition."""

    partition: tuple[object, ...]
    rows: int


def is_large(file: DataFile) -> bool:
    return file.rows + file.deleted >= LARGE_ROWS


def thinned(files: Iterable[DataFile], gone: Mapping[str, int]) -> list[DataFile]:
    """The touched files that stay: large ones of which few rows are deleted, all in all.

    Changes that are spread evenly bring many files to that bound at once: then the worst are rewritten, and the others by the batches that follow, so that no
    batch bears the work of all.
    """
    touched = [f for f in files if f.uri in gone and is_large(f)]
    shares = {f.uri: (f.deleted + gone[f.uri]) / (f.rows + f.deleted) for f in touched}
    due = sorted((f for f in touched if shares[f.uri] > MOST_DELETED), key=lambda f: -shares[f.uri])
    before = accumulate((f.rows for f in due), initial=0)
    most = AT_ONCE * sum(f.rows for f in touched)
    rewritten = {f.uri for f, rows in zip(due, before, strict=False) if shares[f.uri] > TOO_MANY_DELETED or rows < most}
    return [f for f in touched if f.uri not in rewritten]


def absorbed(files: Sequence[DataFile], rows: int) -> tuple[DataFile, ...]:
    """The small files that new rows are put together with, so that their number grows with the logarithm of what was written."""
    taken: list[DataFile] = []
    for file in sorted(files, key=lambda f: f.rows):
        if file.rows > rows or file.rows >= SEALED_ROWS:
            break
        taken.append(file)
        rows += file.rows
    return tuple(taken)
