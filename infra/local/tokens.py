"""Redshift's SQL as tokens that remember their place, so that a rewriting touches what it must and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["word", "quoted", "text", "body", "number", "sign"]


@dataclass(frozen=True)
class Token:
    """`start` and `end` are offsets in the SQL; `word` is upper case for plain words and signs, empty otherwise."""

    kind: Kind
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        return self.text.upper() if self.kind in ("word", "sign") else ""

    @property
    def name(self) -> str:
        """The identifier that the token spells: folded to lower case, as Redshift folds quoted ones too."""
        return self.text[1:-1].replace('""', '"').lower() if self.kind == "quoted" else self.text.lower()

    @property
    def value(self) -> str:
        """The text that a literal stands for."""
        return self.text[1:-1].replace("''", "'").replace("\\\\", "\\") if self.kind == "text" else self.text


def _until(sql: str, start: int, end: str) -> int:
    """The place behind a closing delimiter; a doubled one belongs to the text."""
    at = start
    while (at := sql.find(end, at)) >= 0:
        if not sql.startswith(end * 2, at):
            return at + 1
        at += 2
    return len(sql)


def _name_end(sql: str, at: int) -> int:
    while at < len(sql) and (sql[at].isalnum() or sql[at] in "_$"):
        at += 1
    return at


def _dollar(sql: str, at: int) -> int:
    """The end of a dollar-quoted text that begins here, or `at` where none does."""
    close = sql.find("$", at + 1)
    tag = sql[at : close + 1]
    if close < 0 or not (tag == "$$" or tag[1:-1].isidentifier()):
        return at
    end = sql.find(tag, close + 1)
    return len(sql) if end < 0 else end + len(tag)


def _comment(sql: str, at: int) -> int:
    if sql.startswith("--", at):
        end = sql.find("\n", at)
        return len(sql) if end < 0 else end
    if sql.startswith("/*", at):
        end = sql.find("*/", at)
        return len(sql) if end < 0 else end + 2
    return at


def tokenize(sql: str) -> list[Token]:
    """The tokens of a text; white space and comments are passed over."""
    found: list[Token] = []
    at = 0
    while at < len(sql):
        if sql[at].isspace():
            at += 1
        elif (end := _comment(sql, at)) > at:
            at = end
        else:
            kind, end = _next(sql, at)
            found.append(Token(kind, sql[at:end], at, end))
            at = end
    return found


def _next(sql: str, at: int) -> tuple[Kind, int]:
    first = sql[at]
    if first == "'":
        return "text", _until(sql, at + 1, "'")
    if first == '"':
        return "quoted", _until(sql, at + 1, '"')
    if first == "$" and (end := _dollar(sql, at)) > at:
        return "body", end
    if first.isalpha() or first in "_#":
        return "word", _name_end(sql, at + 1)
    if first.isdigit():
        end = _name_end(sql, at)
        if end < len(sql) and sql[end] == "." and sql[end + 1 : end + 2].isdigit():
            end = _name_end(sql, end + 1)
        return "number", end
    return "sign", at + (2 if sql[at : at + 2] in ("::", "<=", ">=", "<>", "!=", "||", ":=") else 1)


def closing(tokens: Sequence[Token], opening: int) -> int:
    """The index of the parenthesis that closes the one at `opening`."""
    depth = 0
    for i in range(opening, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[i].text, 0)
        if depth == 0:
            return i
    return len(tokens) - 1


def arguments(tokens: Sequence[Token], opening: int) -> list[tuple[int, int]]:
    """(first, behind the last) token of each argument within the parenthesis at `opening`."""
    end, depth, start = closing(tokens, opening), 0, opening + 1
    found = []
    for i in range(opening + 1, end + 1):
        depth += {"(": 1, ")": -1}.get(tokens[i].text, 0) if i < end else 0
        if i == end or (depth == 0 and tokens[i].text == ","):
            found.append((start, i))
            start = i + 1
    return [f for f in found if f[0] < f[1]]


def divided(sql: str) -> list[str]:
    """The statements of a script."""
    found, start = [], 0
    tokens = tokenize(sql)
    ends = [t for t in tokens if t.text == ";"]
    for end in (*(t.start for t in ends), len(sql)):
        if any(start <= t.start < end for t in tokens):
            found.append(sql[start:end].strip())
        start = end + 1
    return found


def replaced(sql: str, edits: Sequence[tuple[int, int, str]]) -> str:
    """The text with (start, end, new text) put in; edits do not overlap."""
    for start, end, new in sorted(edits, reverse=True):
        sql = sql[:start] + new + sql[end:]
    return sql
