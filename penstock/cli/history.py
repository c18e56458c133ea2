"""`penstock history` and `penstock rollback`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from penstock.cli.opening import ready
from penstock.cli.query import find_pipeline

if TYPE_CHECKING:
    from penstock.jobs.context import Context


def open_context(given: Path | None, env: str | None) -> Context:
    """A pipeline's context for a verb that is no run."""
    from datetime import UTC, datetime

    from penstock.jobs.context import Context
    from penstock.jobs.run import new_run_id

    return Context(*ready(find_pipeline(given), env), run=new_run_id(datetime.now(UTC)))


def history_command(table: str, given: Path | None, env: str | None, *, as_json: bool) -> None:
    """A line for each state, the newest first."""
    from penstock.jobs.history import declared_table
    from penstock.report.tables import show_rows

    versions = declared_table(open_context(given, env), table).history()
    if as_json:
        for version in versions:
            print(json.dumps(asdict(version), default=str))  # noqa: T201
        return
    rows = [(v.version, f"{v.at:%Y-%m-%d %H:%M:%S}Z", v.operation, v.batch or "", v.run) for v in versions]
    show_rows(sys.stdout, ("version", "committed", "operation", "batch", "run"), rows)


def rollback_command(table: str, given: Path | None, env: str | None, *, to: int, then: Literal["replay", "skip"]) -> None:
    from penstock.jobs.rollback import rollback

    done = rollback(open_context(given, env), table, to=to, then=then)
    print(f"{table} stands as of {done.version.at:%Y-%m-%d %H:%M:%S}Z, after batch {to}; undone: {', '.join(map(str, done.undone))}")  # noqa: T201
    if done.cut_again:
        print(f"cut again: {', '.join(map(str, done.cut_again))}; next: penstock run")  # noqa: T201
