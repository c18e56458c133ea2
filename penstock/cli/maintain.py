"""`penstock maintain`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.cli.history import open_context
from penstock.errors import ArgumentError
from penstock.report.summary import size
from penstock.report.tables import show_rows

if TYPE_CHECKING:
    from penstock.jobs.upkeep import Maintained, Sizes

_COLUMNS = ("table", "", "files", "bytes", "deleted", "planning", "rewritten", "yielded", "manifests", "analyzed", "expired", "removed", "freed")


def maintain_command(tables: Sequence[str], given: Path | None, env: str | None, *, every: bool, jobs: int, max_bytes: int | None, dry_run: bool) -> None:
    """Two lines for each table: before, and after with what was done. Raises ArgumentError unless it is told which tables in one way."""
    from penstock.jobs.upkeep import maintain

    if every == bool(tables):
        raise ArgumentError("name the tables to maintain, or give --all", hint="penstock maintain lake.ops.flights, or penstock maintain --all")
    rows: list[tuple[object, ...]] = []
    try:
        for done in maintain(open_context(given, env), tables, max_bytes=max_bytes, dry_run=dry_run, jobs=jobs):
            rows += _rows(done)
    finally:  # one table's error does not hide what was done to the others
        if rows:
            show_rows(sys.stdout, _COLUMNS, rows)
    if dry_run:
        print("nothing was done: without --dry-run this is what would be; old states and files that nobody needs are found then")  # noqa: T201


def _rows(done: Maintained) -> Iterator[tuple[object, ...]]:
    yield done.location, "before", *_cells(done.before), "", "", "", "", "", "", ""
    freed = size(done.removed.bytes)
    yield "", "after", *_cells(done.after), done.compacted, done.yielded, done.manifests, done.analyzed, done.expired, done.removed.files, freed


def _cells(sizes: Sizes) -> tuple[object, ...]:
    """Files, bytes, the share of deleted rows, and how long it takes to list them, which is not known beforehand."""
    planning = "" if sizes.planning_ms is None else f"{sizes.planning_ms:.0f} ms"
    return sizes.files, size(sizes.bytes), f"{sizes.delete_share:.1%}", planning
