"""PostgreSQL's errors in Redshift's words, where those differ."""

from __future__ import annotations

import re

_BYTES = re.compile(r'violates check constraint "rs_bytes_(\d+)_')
_WORDS = (
    ("21000", re.compile(r"MERGE command cannot affect row a second time"), "Found multiple matches to update the same tuple."),
    ("428C9", re.compile(r'cannot insert a non-DEFAULT value into column "(.*)"'), r"cannot set an identity column to a value"),
    ("40001", re.compile(r"could not serialize access.*"), "1023 \nDETAIL:  Serializable isolation violation on table"),
    ("23502", re.compile(r'null value in column "(.*?)" of relation .* violates not-null constraint'), r"Cannot insert a NULL value into column \1"),
)


def told(code: str, message: str) -> tuple[str, str]:
    """(SQLSTATE, message) as Redshift says it."""
    if found := _BYTES.search(message):
        return "22001", f"value too long for type character varying({found[1]})"
    for state, pattern, words in _WORDS:
        if state == code and pattern.search(message):
            return code, pattern.sub(words, message) if "\\" in words else words
    return code, message
