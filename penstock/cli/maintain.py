"""`penstock maintain`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from penstock.cli.history import open_context
from penstock.report.summary import size
from penstock.report.tables import show_rows


def maintain_command(tables: Sequence[str], given: Path | None, env: str | None, *, max_bytes: int | None, dry_run: bool) -> None:
    """A line for each table: files and bytes before and after, what was removed."""
    from penstock.jobs.maintain import maintain

    done = list(maintain(open_context(given, env), tables, max_bytes=max_bytes, dry_run=dry_run))
    columns = ("table", "files", "after", "bytes", "after ", "compacted", "yielded", "expired", "removed", "freed")
    rows = [
        (
            m.location,
            m.before.files,
            m.after.files,
            size(m.before.bytes),
            size(m.after.bytes),
            m.compacted,
            m.yielded,
            m.expired,
            m.removed.files,
            size(m.removed.bytes),
        )
        for m in done
    ]
    show_rows(sys.stdout, columns, rows)
    if dry_run:
        print("nothing was done: without --dry-run this is what would be")  # noqa: T201
