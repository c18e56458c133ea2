"""Redshift's SQL as tokens that remember their place, so that a rewriting touches what it must and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["word", "quoted", "text", "body", "number", "parameter", "sign"]
_NUMBER = re.compile(r"(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_SIGNS = re.compile(r"!~\*|::|<=|>=|<>|!=|\|\||:=|=>|\.\.|~\*|!~|<<|>>|.", re.DOTALL)
_ESCAPE = re.compile(r"\\([0-7]{1,3}|.)", re.DOTALL)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


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
    def is_name(self) -> bool:
        return self.kind in ("word", "quoted")

    @property
    def name(self) -> str:
        """The identifier that the token spells: folded to lower case, as Redshift folds quoted ones too."""
        return self.text[1:-1].replace('""', '"').lower() if self.kind == "quoted" else self.text.lower()

    @property
    def value(self) -> str:
        """The text that a literal stands for; a backslash escapes within every text, as in Redshift."""
        if self.kind == "body":
            tag = self.text[: self.text.index("$", 1) + 1]
            return self.text[len(tag) : -len(tag)]
        if self.kind != "text":
            return self.text
        inner = self.text[self.text.index("'") + 1 : -1].replace("''", "'")
        return _ESCAPE.sub(lambda m: chr(int(m[1], 8)) if m[1].isdigit() and m[1] < "8" else _ESCAPED.get(m[1], m[1]), inner)


def _text_end(sql: str, start: int) -> int:
    """The place behind the quote that closes a text; a doubled one, or one behind a backslash, belongs to it."""
    at = start
    while at < len(sql):
        if sql[at] == "\\":
            at += 2
        elif sql[at] != "'":
            at += 1
        elif sql.startswith("''", at):
            at += 2
        else:
            return at + 1
    return len(sql)


def _quoted_end(sql: str, start: int) -> int:
    at = start
    while (at := sql.find('"', at)) >= 0:
        if not sql.startswith('""', at):
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
    """The end of a comment that begins here, or `at`; comments between /* and */ nest."""
    if sql.startswith("--", at):
        end = sql.find("\n", at)
        return len(sql) if end < 0 else end
    if not sql.startswith("/*", at):
        return at
    depth = 0
    while at < len(sql):
        step = {"/*": 1, "*/": -1}.get(sql[at : at + 2], 0)
        depth += step
        at += 2 if step else 1
        if depth == 0:
            return at
    return len(sql)


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
    first, second = sql[at], sql[at + 1 : at + 2]
    if first == "'" or (first in "eE" and second == "'"):
        return "text", _text_end(sql, at + 1 + (first != "'"))
    if first == '"':
        return "quoted", _quoted_end(sql, at + 1)
    if first == "$" and second.isdigit():
        return "parameter", _name_end(sql, at + 1)
    if first == "$" and (end := _dollar(sql, at)) > at:
        return "body", end
    if first.isalpha() or first in "_#":
        return "word", _name_end(sql, at + 1)
    if number := _NUMBER.match(sql, at):
        return "number", number.end()
    sign = _SIGNS.match(sql, at)
    assert sign
    return "sign", sign.end()


def closing(tokens: Sequence[Token], opening: int) -> int:
    """The index of the parenthesis that closes the one at `opening`."""
    depth = 0
    for i in range(opening, len(tokens)):
        depth += _depth(tokens[i])
        if depth == 0:
            return i
    return len(tokens) - 1


def _depth(token: Token) -> int:
    return {"(": 1, ")": -1, "[": 1, "]": -1}.get(token.text, 0) if token.kind == "sign" else 0


def arguments(tokens: Sequence[Token], opening: int) -> list[tuple[int, int]]:
    """(first, behind the last) token of each argument within the parenthesis at `opening`."""
    return split(tokens, opening + 1, closing(tokens, opening))


def split(tokens: Sequence[Token], first: int, last: int, sign: str = ",") -> list[tuple[int, int]]:
    """(first, behind the last) token of each part between signs that no parenthesis encloses; empty parts are left out."""
    depth, start = 0, first
    found = []
    for i in range(first, last + 1):
        depth += _depth(tokens[i]) if i < last else 0
        if i == last or (depth == 0 and tokens[i].text == sign and tokens[i].kind == "sign"):
            found.append((start, i))
            start = i + 1
    return [f for f in found if f[0] < f[1]]


def find(tokens: Sequence[Token], words: Sequence[str], first: int = 0, last: int | None = None) -> int:
    """The index of the first of a run of words that no parenthesis encloses, or -1."""
    depth = 0
    end = len(tokens) if last is None else last
    for i in range(first, end):
        depth += _depth(tokens[i])
        if depth == 0 and i + len(words) <= end and all(tokens[i + k].word == w for k, w in enumerate(words)):
            return i
    return -1


def divided(sql: str) -> list[str]:
    """The statements of a script."""
    found, start = [], 0
    tokens = tokenize(sql)
    ends = [t.start for t in tokens if t.kind == "sign" and t.text == ";"]
    for end in (*ends, len(sql)):
        if any(start <= t.start < end for t in tokens):
            found.append(sql[start:end].strip())
        start = end + 1
    return found
