"""Cases of Redshift's SQL: read from `conformance/cases`, run by a real client against the local warehouse or a real one, and counted for the reference."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "conformance"


@dataclass(frozen=True)
class Case:
    """`before` and `sql` are run in one transaction. `rows` are texts; `error` a pattern; `unsupported` what is not here; `any_rows`: there are some."""

    group: str
    title: str
    before: tuple[str, ...]
    sql: str
    rows: tuple[tuple[str, ...], ...] = ()
    error: str = ""
    unsupported: str = ""
    any_rows: bool = False

    @property
    def id(self) -> str:
        return f"{self.group}: {self.title}"


def cases() -> list[Case]:
    return [case for file in sorted((FOLDER / "cases").glob("*.slt")) for case in _of(file)]


def _of(file: Path) -> Iterator[Case]:
    head, *blocks = re.split(r"^## ", file.read_text(), flags=re.MULTILINE)
    for block in blocks:
        title, _, rest = block.partition("\n")
        text, mark, told = re.split(r"^----(.*)\n?", rest, maxsplit=1, flags=re.MULTILINE)
        *before, sql = statements(text)
        kind, _, what = mark.strip().partition(": ")
        rows = tuple(tuple(line.split(" | ")) for line in told.rstrip("\n").split("\n") if line or told.strip("\n")) if not kind else ()
        yield Case(
            head.strip("# \n"), title, tuple(before), sql, rows, what if kind == "error" else "", what if kind == "unsupported" else "", kind == "some rows"
        )


def statements(script: str) -> list[str]:
    from penstock.scripts import statements as divided

    return divided(script)


def shown(value: Any) -> str:
    """A value as the cases write it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return value.hex() if isinstance(value, bytes) else str(value)


def table(rows: Sequence[Sequence[Any]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(shown(v) for v in row) for row in rows)


def with_places(text: str, places: Mapping[str, str]) -> str:
    """`${bucket}` and its like as they are here."""
    for name, value in places.items():
        text = text.replace("${" + name + "}", value)
    return text
