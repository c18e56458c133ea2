"""Rows for a person, in columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO


def show_rows(out: TextIO, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; numbers stand right, NULL is shown as such, nothing is cut off."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    found = [tuple(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(header):
        numeric = bool(found) and all(isinstance(row[i], int | float) or row[i] is None for row in found)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in found:
        table.add_row(*(Text("NULL", style="dim") if value is None else Text(str(value)) for value in row))
    Console(file=out, width=None if out.isatty() else 200).print(table)
