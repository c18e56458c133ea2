"""`penstock run`."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Literal

from penstock.cli.opening import ready
from penstock.report.summary import show_summary
from penstock.report.watch import watching


def run_command(path: Path, env: str | None, param: list[str], *, select: str | None, full_refresh: bool, backfill: bool, log: Literal["text", "json"]) -> int:
    """Run and report; returns the exit code."""
    from penstock.jobs.run import run

    loaded, plan = ready(path, env, param)
    try:
        with watching(sys.stdout, as_json=log == "json") as watch:
            finished = run(loaded, plan, select=select, full_refresh=full_refresh, backfill=backfill, watch=watch)
    except KeyboardInterrupt:
        print("penstock: interrupted; what was committed stays, run again to go on", file=sys.stderr)  # noqa: T201
        return 130
    if log == "json":
        print(finished.record.dumps())  # noqa: T201
    else:
        show_summary(finished.record, sys.stdout)
    if finished.error is None:
        return 0
    if os.environ.get("PENSTOCK_TRACEBACK") and finished.error.__cause__:
        traceback.print_exception(finished.error.__cause__)
    print(f"penstock: step {finished.failed_step}: {finished.error}", file=sys.stderr)  # noqa: T201
    return finished.error.exit_code
