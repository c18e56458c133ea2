"""`penstock erase`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from penstock.cli.history import open_context


def erase_command(table: str, keys: Path, given: Path | None, env: str | None, *, as_json: bool) -> int:
    """A line for each place that was searched; exit code 1 where something is left."""
    from penstock.jobs.erase import erase
    from penstock.report.tables import show_rows

    done = erase(open_context(given, env), table, keys)
    if as_json:
        print(json.dumps(asdict(done)))  # noqa: T201
    else:
        print(f"{done.keys} keys erased from {table}; former states of the table are gone with them")  # noqa: T201
        show_rows(sys.stdout, ("place", "removed", "left"), [(p.place, p.removed, p.left) for p in done.places])
    return 1 if any(p.left for p in done.places) else 0
