"""`penstock adopt`."""

from __future__ import annotations

from pathlib import Path

from penstock.cli.history import open_context


def adopt_command(table: str, given: Path | None, env: str | None) -> None:
    """Say what the first batch will mean for the rows that are there."""
    from penstock.jobs.adopt import adopt

    done = adopt(open_context(given, env), table)
    print(f"{table} is adopted with {done.rows} rows, for step {', '.join(done.steps)}")  # noqa: T201
    print(done.meaning)  # noqa: T201
