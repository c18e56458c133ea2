"""What a driver's log says went wrong: the line that a person would look for."""

from __future__ import annotations

import re
from collections.abc import Sequence

_OURS = re.compile(r"penstock: (?!interrupted)\S")
_TRACEBACK = "Traceback (most recent call last):"
_RAISED = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Warning)?(: .*|$)")
_JAVA = re.compile(r'(Exception in thread "[^"]*" |Caused by: )?([\w$]+\.)+[\w$]*(Exception|Error)\b.*')
_LOGGED = re.compile(r"(\d\d[/-]\d\d[/-]\d\d|\d{4}-\d\d-\d\d)\S* \S*\s*(ERROR|FATAL)\b.*")


def first_error(log: str) -> str:
    """What Penstock said itself with what to do next, else the exception that a traceback ends with, Java's, or the first line logged as an error.

    Empty where nothing looks like one.
    """
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    return _ours(lines) or _raised(lines) or _first(_JAVA, lines) or _first(_LOGGED, lines)


def _ours(lines: Sequence[str]) -> str:
    at = next((i for i, line in enumerate(lines) if _OURS.match(line)), None)
    if at is None:
        return ""
    told = [lines[at].removeprefix("penstock: ")]
    for line in lines[at + 1 :]:
        if not line.startswith("  "):
            break
        told.append(line)
    return "\n".join(told)


def _raised(lines: Sequence[str]) -> str:
    """What a chain of tracebacks begins with is its cause: what follows only passed it on."""
    if _TRACEBACK not in lines:
        return ""
    return next((line for line in lines[lines.index(_TRACEBACK) + 1 :] if not line.startswith(" ") and _RAISED.fullmatch(line)), "")


def _first(pattern: re.Pattern[str], lines: Sequence[str]) -> str:
    return next((line for line in lines if pattern.fullmatch(line.strip())), "")
