"""Names: as SQL quotes them, and which of them can be used everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable


def backquote(name: str) -> str:
    """A name as Spark SQL reads any."""
    return f"`{name.replace('`', '``')}`"


def quote(name: str) -> str:
    """An identifier quoted as DuckDB, PostgreSQL and Redshift read it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string literal as SQL reads it."""
    return "'" + text.replace("'", "''") + "'"


def name_fault(name: str) -> str:
    """Why a name of a column, a table or a namespace cannot be one everywhere; empty where it can."""
    if not name or name != name.strip():
        return "a name is not empty, and has no blank at its ends"
    wrong = sorted({c for c in name if c in '"\\' or not (c.isprintable() or c == " ")})
    return f"a name holds no {', '.join(map(repr, wrong))}" if wrong else ""


def same_but_for_case(found: Iterable[str]) -> tuple[str, str] | None:
    """The first two names that DuckDB, Spark and Delta take for one."""
    seen: dict[str, str] = {}
    for name in found:
        if (other := seen.setdefault(name.lower(), name)) != name:
            return other, name
    return None


WRITTEN = r"(?:\w+|`(?:[^`]|``)+`)"
"""A column as a pipeline file writes it where it stands among other words: any name that is not letters, digits and _ in backticks, as in Spark SQL."""


def written(name: str) -> str:
    return name if re.fullmatch(r"\w+", name) else backquote(name)


def unwritten(text: str) -> str:
    return text[1:-1].replace("``", "`") if text.startswith("`") else text
