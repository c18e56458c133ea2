"""SQL for Redshift, looked at before it runs: what Redshift lacks, what it means otherwise, and what costs more than it seems. Pure; by tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from penstock.redshift_words import INSTEAD, LEADER_ONLY

Level = Literal["error", "warning", "note"]
# what a text is for: a procedure or script that claims the ledger in its transaction, a query that is unloaded, or neither
Use = Literal["load", "unload", ""]

_MADE = {
    "INDEX": "Redshift has no indexes: declare a sort key",
    "SEQUENCE": "Redshift has no sequences: use IDENTITY columns",
    "TRIGGER": "Redshift has no triggers",
    "TYPE": "Redshift has no types of one's own",
    "DOMAIN": "Redshift has no domains",
    "EXTENSION": "Redshift has no extensions",
    "RULE": "Redshift has no rules",
}
_TERADATA = {
    "SEL": "SEL is Teradata's: write SELECT", "MULTISET": "MULTISET is Teradata's: a Redshift table takes doubles anyway",
    "VOLATILE": "VOLATILE TABLE is Teradata's: write CREATE TEMP TABLE", "COLLECT": "COLLECT STATISTICS is Teradata's: write ANALYZE",
}  # fmt: skip
_RUNS: tuple[tuple[tuple[str, ...], str, Level, str], ...] = (
    (("ON", "CONFLICT"), "upsert", "error", "Redshift has no INSERT … ON CONFLICT: use MERGE, or a copy step with write: merge"),
    (("DISTINCT", "ON"), "distinct-on", "error", "Redshift has no DISTINCT ON: QUALIFY ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) = 1"),
    (("FILTER", "("), "filter", "error", "Redshift has no FILTER: put a CASE within the aggregate"),
    (("ARRAY", "["), "array", "error", "Redshift has no arrays: use SUPER and ARRAY(…)"),
    (("EXCEPT", "ALL"), "except-all", "error", "Redshift has no EXCEPT ALL; MINUS and EXCEPT give each row once"),
    (("CROSS", "JOIN"), "cross-join", "warning", "a cross join multiplies the rows of both sides, on every slice"),
    (
        ("CREATE", "SET", "TABLE"),
        "set-table",
        "error",
        "SET tables are Teradata's: copy with write: insert_missing, which keeps a table free of doubles by MINUS",
    ),
    (("PRIMARY KEY",), "keys", "note", "keys are not enforced: the planner believes them, nobody checks; a copy with write: merge keeps them"),
    (("FOREIGN KEY",), "keys", "note", "keys are not enforced: the planner believes them, nobody checks"),
)


@dataclass(frozen=True)
class Finding:
    """One thing to be said of a text; `line` and `column` are counted from 1."""

    line: int
    column: int
    level: Level
    rule: str
    message: str


def lint(sql: str, use: Use = "") -> list[Finding]:
    """What is to be said of a script or a query, in its order. A text that cannot be divided into tokens is one error."""
    from sqlglot.dialects.redshift import Redshift
    from sqlglot.errors import TokenError

    try:
        tokens = Redshift().tokenize(sql)
    except TokenError as error:
        return [Finding(1, 1, "error", "syntax", str(error).splitlines()[0])]
    found = [*_words(tokens, use), *_functions(tokens), *_joins(tokens), *_bodies(tokens, use)]
    return sorted(set(found), key=lambda f: (f.line, f.column))


def _at(token: Any, level: Level, rule: str, message: str) -> Finding:
    return Finding(int(token.line), max(1, int(token.col) - len(token.text) + 1), level, rule, message)


def _words(tokens: Sequence[Any], use: Use) -> Iterator[Finding]:
    words = [t.text.upper() for t in tokens]
    for i, word in enumerate(words):
        following = words[i + 1] if i + 1 < len(words) else ""
        starts = i == 0 or words[i - 1] == ";"
        if starts and word == "CREATE" and (kind := following if following != "UNIQUE" else "INDEX") in _MADE:
            yield _at(tokens[i], "error", kind.lower(), _MADE[kind])
        if starts and word in _TERADATA:
            yield _at(tokens[i], "error", "teradata", _TERADATA[word])
        if word == "TRUNCATE" and use == "load":
            yield _at(tokens[i], "error", "truncate", "TRUNCATE commits the transaction that holds the ledger: write DELETE FROM")
        if word == "SELECT" and following == "*" and (use == "unload" or (i and "INSERT" in words[max(0, i - 6) : i])):
            yield _at(tokens[i], "warning", "select-star", "SELECT * changes what is written whenever a column is added: name the columns")
        if word == "[" and following == "]":
            yield _at(tokens[i], "error", "array", "Redshift has no arrays: use SUPER")
        for run, rule, level, message in _RUNS:
            if tuple(words[i : i + len(run)]) == run:
                yield _at(tokens[i], level, rule, message)


def _functions(tokens: Sequence[Any]) -> Iterator[Finding]:
    reads = any(t.text.upper() == "FROM" and i + 1 < len(tokens) and not tokens[i + 1].text.lower().startswith(("pg_", "svv_", "stl_", "information_schema"))
                for i, t in enumerate(tokens))  # fmt: skip
    for i, token in enumerate(tokens[:-1]):
        name = token.text.lower()
        if tokens[i + 1].text != "(" or (i and tokens[i - 1].text == "."):
            continue
        if name in INSTEAD:
            yield _at(token, "error", "function", f"{name} is PostgreSQL's; Redshift has {INSTEAD[name]}")
        elif name in LEADER_ONLY and reads:
            yield _at(token, "error", "leader-node", f"{name} runs on the leader node alone: not over rows of a table")


def _joins(tokens: Sequence[Any]) -> Iterator[Finding]:
    """FROM a, b without WHERE; JOIN without ON or USING."""
    words = [t.text.upper().split()[0] if t.text.strip() else "" for t in tokens]
    ends = ("WHERE", "GROUP", "ORDER", "LIMIT", "UNION", "MINUS", "EXCEPT", "INTERSECT", ";", "HAVING", "QUALIFY")
    for i in (i for i, w in enumerate(words) if w == "FROM" and "SELECT" in words[:i]):
        depth, commas, end = 0, 0, len(words)
        for k in range(i + 1, len(words)):
            depth += {"(": 1, ")": -1}.get(words[k], 0)
            if depth < 0 or (depth == 0 and words[k] in ends):
                end = k
                break
            commas += depth == 0 and words[k] == ","
        if commas and (end == len(words) or words[end] != "WHERE") and words[i + 1] != "(":
            yield _at(tokens[i], "warning", "cross-join", "tables beside each other without a WHERE multiply their rows")
    for i in (i for i, w in enumerate(words) if w == "JOIN" and words[i - 1] not in ("CROSS", "NATURAL")):
        rest = words[i + 1 : i + 40]
        if "ON" not in rest and "USING" not in rest:
            yield _at(tokens[i], "warning", "cross-join", "a JOIN without ON or USING multiplies the rows of both sides")


def _bodies(tokens: Sequence[Any], use: Use) -> Iterator[Finding]:
    """The bodies of procedures between dollar signs: statements like any others."""
    for token in (t for t in tokens if t.token_type.name in ("HEREDOC_STRING", "RAW_STRING")):
        first = int(token.line) - token.text.count("\n")
        yield from (Finding(first + f.line - 1, f.column, f.level, f.rule, f.message) for f in lint(token.text, use))
