"""Scripts of Redshift's SQL, as their statements."""

from __future__ import annotations

MOST_TOGETHER = 39  # of the 40 that a transaction of the Data API takes, one claims the ledger


def statements(script: str) -> list[str]:
    """A script's statements; semicolons within texts, comments and dollar quotes divide nothing."""
    from sqlglot import TokenType
    from sqlglot.dialects.redshift import Redshift

    found, start = [], 0
    tokens = Redshift().tokenize(script)
    ends = [t.start for t in tokens if t.token_type == TokenType.SEMICOLON]
    for end in (*ends, len(script)):
        if any(start <= t.start < end and t.token_type != TokenType.SEMICOLON for t in tokens):
            found.append(script[start:end].strip())
        start = end + 1
    return found
