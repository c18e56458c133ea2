"""SQL for the local Redshift, typed or from the standard input: statement by statement, with rows as tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import psycopg

from .control import LocalAws
from .redshift.tokens import divided, tokenize

_MOST_ROWS = 1000


def shell(found: LocalAws, command: str | None) -> int:
    """Run a command, or what is typed until the end; 1 where a statement failed, else 0."""
    failed = 0
    with psycopg.connect(found.redshift_dsn, autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: print(f"{notice.severity}:  {notice.message_primary}"))  # noqa: T201
        for statement in divided(command) if command is not None else _typed():
            try:
                _show(connection.execute(statement))
            except psycopg.Error as error:
                failed = 1
                print(f"ERROR:  {error.diag.message_primary or error}", file=sys.stderr)  # noqa: T201
    return failed


def _typed() -> Iterator[str]:
    """Statements as they are ended by semicolons; one on the last line needs none."""
    held, asks = "", sys.stdin.isatty()
    while True:
        try:
            line = input(("dev=# " if not held else "dev-# ") if asks else "")
        except EOFError:
            yield from divided(held)
            return
        if not held and line.strip() in ("\\q", "exit", "quit"):
            return
        held += f"{line}\n"
        tokens = tokenize(held)
        if tokens and tokens[-1].text == ";":
            yield from divided(held)
            held = ""


def _show(cursor: psycopg.Cursor[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    if cursor.description is None:
        print(cursor.statusmessage)  # noqa: T201
        return
    table, rows = Table(*(c.name for c in cursor.description)), cursor.fetchall()
    for row in rows[:_MOST_ROWS]:
        table.add_row(*("" if v is None else str(v) for v in row))
    Console().print(table)
    print(f"({len(rows)} rows{f', the first {_MOST_ROWS} shown' if len(rows) > _MOST_ROWS else ''})")  # noqa: T201
