"""Expressions of Redshift as PostgreSQL's, token by token; white space and comments stay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from penstock.infra.local.errors import SqlError

from .calls import CALLS
from .functions import RENAMED, instead, is_grammar, is_native, ours
from .tokens import Token, arguments, closing, tokenize
from .types import KNOWN, rendered


@dataclass(frozen=True)
class Settings:
    """What of a session decides how its SQL is read. `foreign` are the names of PostgreSQL's functions that Redshift lacks."""

    case_sensitive: bool = False
    foreign: frozenset[str] = field(default_factory=frozenset)
    last_query: int = -1
    in_block: bool = False


@dataclass
class Renderer:
    """A text of SQL, rendered piece by piece. `leader`: it speaks of system tables, where all functions of PostgreSQL's may be used."""

    sql: str
    settings: Settings
    tokens: Sequence[Token] = ()
    leader: bool = False
    in_body: bool = False

    def __post_init__(self) -> None:
        self.tokens = self.tokens or tokenize(self.sql)
        self.leader = self.leader or asks_catalog(self.tokens)

    def word(self, i: int) -> str:
        return self.tokens[i].word if 0 <= i < len(self.tokens) else ""

    def text(self, i: int) -> str:
        return self.tokens[i].text if 0 <= i < len(self.tokens) else ""

    def gap(self, i: int) -> str:
        """What lies before a token: white space and comments."""
        return self.sql[self.tokens[i - 1].end : self.tokens[i].start] if i else self.sql[: self.tokens[0].start]

    def render(self, first: int = 0, last: int | None = None) -> str:
        """The tokens from `first` up to `last` as PostgreSQL has them."""
        end, parts, i = len(self.tokens) if last is None else last, [], first
        while i < end:
            parts.append(self.gap(i) if i > first else "")
            text, i = self.one(i)
            parts.append(text)
        return "".join(parts)

    def arguments(self, i: int) -> list[str]:
        """The rendered arguments of the call whose name stands at `i`."""
        return [self.render(a, b) for a, b in arguments(self.tokens, i + 1)]

    def end(self, i: int) -> int:
        """The index behind the call whose name stands at `i`."""
        return closing(self.tokens, i + 1) + 1

    def one(self, i: int) -> tuple[str, int]:
        """(text, next index) of the token at `i` and what belongs to it."""
        token = self.tokens[i]
        if token.kind == "quoted":
            return self.quoted(token), i + 1
        if token.kind == "text":
            return (f"E{token.text}" if "\\" in token.text and token.text[0] == "'" else token.text), i + 1
        if token.text == "::" and i + 1 < len(self.tokens):
            name, end = self.type(i + 1)
            return f"::{name}", end
        if token.kind == "word":
            return self._word(i)
        if token.text == "[" and not self.in_body and not asks_catalog(self.tokens):
            raise SqlError("0A000", "arrays are not supported: Redshift has none; elements of SUPER are read in queries")
        return token.text, i + 1

    def quoted(self, token: Token) -> str:
        return token.text if self.settings.case_sensitive else token.text.lower()

    def type(self, i: int) -> tuple[str, int]:
        return rendered(self.tokens, i, "expression")

    def name(self, i: int) -> str:
        """An identifier as PostgreSQL folds it; a temporary table loses its sign."""
        token = self.tokens[i]
        return self.quoted(token) if token.kind == "quoted" else token.text.lstrip("#")

    def _word(self, i: int) -> tuple[str, int]:
        token, before = self.tokens[i], self.text(i - 1)
        if token.text.startswith("#"):
            return token.text[1:], i + 1
        if before == ".":
            return token.text, i + 1
        if self.text(i + 1) == "(" and self._is_call(i):
            return self._call(i)
        if token.word == "VARCHAR" and self.word(i + 2) == "MAX":
            return "varchar(65535)", i + 4
        if token.word == "SYSDATE":
            return "rs.sysdate()", i + 1
        if token.word == "MINUS" and self.word(i + 1) in ("SELECT", "(", "ALL"):
            return "EXCEPT", i + 1
        if token.word == "APPROXIMATE" and self.word(i + 1) in ("COUNT", "PERCENTILE_DISC"):
            return self.one(i + 1)
        return token.text, i + 1

    def _is_call(self, i: int) -> bool:
        """Whether a name before a parenthesis calls a function: not a keyword, not a table's columns, not a type's size."""
        word, before = self.tokens[i].word, self.word(i - 1)
        if before in ("INTO", "TABLE", "REFERENCES", "COPY", "WITH", "JOIN") or (before == "AS" and word not in ("DECODE", "CASE")):
            return before == "JOIN"
        if (
            self.text(closing(self.tokens, i + 1) + 1).upper() == "AS"
            and self.text(closing(self.tokens, i + 1) + 2) == "("
            and before in ("WITH", ",", "RECURSIVE")
        ):
            return False
        if i and (self.tokens[i - 1].kind == "quoted" or before == ")"):
            return False
        if is_grammar(word):
            return False
        return not (word in KNOWN and word not in CALLS and word.lower() not in ("text", "char", "date"))

    def _call(self, i: int) -> tuple[str, int]:
        word = self.tokens[i].word
        if word in CALLS:
            return CALLS[word](self, i)
        if word in RENAMED:
            return f"{RENAMED[word]}({', '.join(self.arguments(i))})", self.end(i)
        if word in ours():
            return f"rs.{word.lower()}{self._rest(i)}", self.end(i)
        if not self.leader and not is_native(word) and word.lower() in self.settings.foreign:
            raise SqlError("42883", f"function {word.lower()} does not exist in Redshift, it is PostgreSQL's{instead(word)}")
        return f"{self.tokens[i].text}{self._rest(i)}", self.end(i)

    def _rest(self, i: int) -> str:
        """A call's parenthesis, rendered within."""
        end = self.end(i)
        inner = self.render(i + 2, end - 1)
        before = self.gap(i + 2) if end - 1 > i + 2 else ""
        return f"({before}{inner})"


def asks_catalog(tokens: Iterable[Token]) -> bool:
    """Whether a statement names PostgreSQL's own catalog, which the leader node answers for, with arrays and all."""
    return any(t.kind == "word" and _is_system(t.name) for t in tokens)


def _is_system(name: str) -> bool:
    return name in ("information_schema", "pg_catalog") or name.removeprefix("leader_").startswith(
        ("pg_class", "pg_attr", "pg_namesp", "pg_type", "pg_proc", "pg_index", "pg_database", "pg_user")
    )
