"""CREATE TABLE and ALTER TABLE: how data is laid out changes no result, and is noted for the system views; keys are not enforced in Redshift either."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.infra.local.errors import SqlError

from .expressions import Renderer
from .tokens import arguments, closing, split
from .types import rendered

_CONSTRAINTS = ("PRIMARY", "UNIQUE", "FOREIGN", "CONSTRAINT")
_ATTRIBUTES = ("DEFAULT", "IDENTITY", "GENERATED", "ENCODE", "DISTKEY", "SORTKEY", "NOT", "NULL", "UNIQUE", "PRIMARY", "REFERENCES", "COLLATE", "CONSTRAINT")


@dataclass
class Layout:
    """How a table is laid out, as the system views tell it."""

    diststyle: str = ""
    distkey: str = ""
    sortkey: list[str] = field(default_factory=list)
    sortstyle: str = ""
    encode: dict[str, str] = field(default_factory=dict)
    primarykey: list[str] = field(default_factory=list)

    def mark(self, table: str) -> str:
        """A comment behind the statement, which the event trigger reads."""
        found = {**vars(self), "diststyle": self.diststyle or ("KEY" if self.distkey else "")}
        return marked({"table": table} | {k: v for k, v in found.items() if v}) if any(found.values()) else ""


def marked(told: Mapping[str, Any]) -> str:
    return f" /*rs:{base64.b64encode(json.dumps(told).encode()).decode()}*/"


@dataclass
class _Column:
    """A column's definition, gathered attribute by attribute."""

    name: str
    type: str
    parts: list[str] = field(default_factory=list)
    identity: str = ""


class TableMaker:
    """One CREATE TABLE or ALTER TABLE."""

    def __init__(self, renderer: Renderer) -> None:
        self.r, self.layout = renderer, Layout()
        self.required: list[str] = []

    def create(self) -> str:
        """The whole statement. Raises SqlError where it is not one that Redshift knows."""
        r = self.r
        at = next(i for i in range(len(r.tokens)) if r.word(i) == "TABLE")
        temporary = any(r.word(i) in ("TEMP", "TEMPORARY") for i in range(at))
        at += 1
        exists = ""
        if r.word(at) == "IF":
            exists, at = "IF NOT EXISTS ", at + 3
        name, at, hashed = self.table(at)
        head = f"CREATE {'TEMPORARY ' if temporary or hashed else ''}TABLE {exists}{name}"
        if r.text(at) == "(" and r.word(at + 1) != "SELECT":
            return self._defined(head, name, at)
        return self._selected(head, name, "", at)

    def table(self, at: int) -> tuple[str, int, bool]:
        """(name, the index behind, whether a # makes it temporary) of a table."""
        r, parts, hashed = self.r, [], False
        while True:
            hashed = hashed or r.text(at).startswith("#")
            parts.append(r.name(at))
            if r.text(at + 1) != ".":
                return ".".join(parts), at + 1, hashed
            at += 2

    def _defined(self, head: str, name: str, at: int) -> str:
        end = closing(self.r.tokens, at)
        parts = arguments(self.r.tokens, at)
        if all(b == a + 1 and self.r.tokens[a].is_name for a, b in parts) and self._as(end + 1) >= 0:
            return self._selected(head, name, f" ({', '.join(self.r.name(a) for a, _ in parts)})", end + 1)
        elements = {self.r.name(a): text for a, b in parts if (text := self._element(a, b))}
        self.laid_out(end + 1, len(self.r.tokens))
        for key in (k for k in self.required if "NOT NULL" not in elements.get(k, "")):
            elements[key] += " NOT NULL"
        return f"{head} ({', '.join(elements.values())}){self.layout.mark(name)}"

    def _as(self, first: int) -> int:
        return next((i for i in range(first, len(self.r.tokens)) if self.r.word(i) == "AS" and self.r.text(i + 1) in ("(", *_queries(self.r, i + 1))), -1)

    def _selected(self, head: str, name: str, columns: str, first: int) -> str:
        at = self._as(first)
        if at < 0:
            raise SqlError("42601", f"a table needs columns or AS SELECT: {self.r.sql[:80]}")
        self.laid_out(first, at)
        return f"{head}{columns} AS {self.r.render(at + 1)}{self.layout.mark(name)}"

    def _element(self, first: int, last: int) -> str:
        r = self.r
        if r.word(first) == "LIKE":
            defaults = " INCLUDING DEFAULTS" if any(r.word(i) == "INCLUDING" for i in range(first, last)) else ""
            parent, _, _ = self.table(first + 1)
            return f"LIKE {parent}{defaults}"
        if r.word(first) in _CONSTRAINTS:
            self.constraint(first)
            return ""
        if r.word(first) == "CHECK":
            raise SqlError("0A000", "CHECK constraints are not supported")
        return self.column(first, last)

    def constraint(self, first: int) -> None:
        """Keys of the table: informational, but a primary key's columns are NOT NULL."""
        if self.r.word(first) == "CONSTRAINT":
            first += 2
        if self.r.word(first) == "CHECK":
            raise SqlError("0A000", "CHECK constraints are not supported")
        if self.r.word(first) == "PRIMARY":
            self.required += [self.r.name(a) for a, _ in arguments(self.r.tokens, first + 2)]
            self.layout.primarykey = [name.strip('"') for name in self.required]

    def column(self, first: int, last: int) -> str:
        """A column as PostgreSQL defines it."""
        r = self.r
        name = r.name(first)
        kind, at = rendered(r.tokens, first + 1, "column")
        found = _Column(name, kind)
        while at < last:
            at = self._attribute(found, at, last)
        return " ".join([found.name, found.type, *found.parts, found.identity]).strip()

    def _attribute(self, column: _Column, at: int, last: int) -> int:
        """Take one attribute of a column; returns the index behind it."""
        r, word, following = self.r, self.r.word(at), self.r.word(at + 1)
        if word == "DEFAULT":
            end = next((i for i in range(at + 1, last) if r.word(i) in _ATTRIBUTES and not (r.word(i) == "NULL" and i == at + 1) and self._level(at, i)), last)
            column.parts.append(f"DEFAULT {r.render(at + 1, end)}")
            return end
        if word == "IDENTITY":
            return self._identity(column, at, "ALWAYS")
        if word == "GENERATED":
            return self._identity(column, at + 4, "BY DEFAULT")
        if word == "ENCODE":
            self.layout.encode[column.name.strip('"')] = following.lower()
            return at + 2
        if word == "COLLATE":
            return at + 2
        return self._key(column, at)

    def _level(self, start: int, i: int) -> bool:
        """Whether no parenthesis opened behind `start` is open at `i`."""
        return sum({"(": 1, ")": -1}.get(self.r.text(k), 0) for k in range(start, i)) == 0

    def _key(self, column: _Column, at: int) -> int:
        word, following = self.r.word(at), self.r.word(at + 1)
        if word == "NOT" and following == "NULL":
            column.parts.append("NOT NULL")
            return at + 2
        if word == "PRIMARY" and following == "KEY":
            column.parts.append("NOT NULL")
            self.layout.primarykey.append(column.name.strip('"'))
            return at + 2
        if word == "DISTKEY":
            self.layout.distkey = column.name.strip('"')
        elif word == "SORTKEY":
            self.layout.sortkey.append(column.name.strip('"'))
        elif word == "REFERENCES":
            _, at, _ = self.table(at + 1)
            return closing(self.r.tokens, at) + 1 if self.r.text(at) == "(" else at
        elif word == "CONSTRAINT":
            return at + 2
        elif word not in ("UNIQUE", "NULL"):
            raise SqlError("42601", f'syntax error at or near "{self.r.text(at)}"')
        return at + 1

    def _identity(self, column: _Column, at: int, given: str) -> int:
        first, step = self.r.arguments(at)
        bound = f" MAXVALUE {first}" if step.startswith("-") else f" MINVALUE {first}"
        column.identity = f"GENERATED {given} AS IDENTITY (START WITH {first} INCREMENT BY {step}{bound})"
        return self.r.end(at)

    def laid_out(self, first: int, last: int) -> None:
        """How the table is laid out, behind its columns."""
        at = first
        while at < last:
            at = self.attribute(at)

    def attribute(self, at: int) -> int:
        """Take one attribute of the table; returns the index behind it. Raises SqlError for what Redshift does not know."""
        r, word = self.r, self.r.word(at)
        if word in ("BACKUP", "AUTO"):
            return at + (2 if word == "BACKUP" else 3)
        if word == "DISTSTYLE":
            self.layout.diststyle = r.word(at + 1)
            return at + 2
        if word == "DISTKEY":
            (self.layout.distkey,) = (r.name(a).strip('"') for a, _ in arguments(r.tokens, at + 1))
            return r.end(at)
        if word in ("COMPOUND", "INTERLEAVED"):
            self.layout.sortstyle = word
            return self.attribute(at + 1)
        if word == "SORTKEY" and r.text(at + 1) == "(":
            self.layout.sortkey = [r.name(a).strip('"') for a, _ in arguments(r.tokens, at + 1)]
            return r.end(at)
        if word in ("SORTKEY", "ENCODE") and r.word(at + 1) in ("AUTO", "NONE"):
            self.layout.sortstyle = self.layout.sortstyle if word == "ENCODE" else r.word(at + 1)
            return at + 2
        raise SqlError("42601", f'syntax error at or near "{r.text(at)}"')


def _queries(r: Renderer, i: int) -> tuple[str, ...]:
    return (r.text(i),) if r.word(i) in ("SELECT", "WITH") else ()


def altered(r: Renderer) -> str:
    """ALTER TABLE as PostgreSQL does it. Raises SqlError for what Redshift lacks."""
    maker = TableMaker(r)
    name, at, _ = maker.table(2)
    words = [r.word(i) for i in range(at, len(r.tokens))]
    if words[:1] == ["APPEND"]:
        source, _, _ = maker.table(at + 2)
        return f"WITH moved AS (DELETE FROM {source} RETURNING *) INSERT INTO {name} SELECT * FROM moved"
    if words[:1] == ["ALTER"] and words[1] in ("DISTSTYLE", "DISTKEY", "SORTKEY", "COMPOUND", "INTERLEAVED", "ENCODE"):
        return _laid_out(maker, name, at + 1)
    if words[:1] == ["ALTER"] and words[1] == "COLUMN" and "ENCODE" in words:
        return _encoded(maker, name, at)
    if words[:1] == ["ALTER"]:
        return _retyped(r, name, at)
    if words[:1] == ["ADD"] and words[1] not in _CONSTRAINTS:
        first = at + (2 if words[1] == "COLUMN" else 1)
        return f"ALTER TABLE {name} ADD COLUMN {maker.column(first, len(r.tokens))}{maker.layout.mark(name)}"
    if words[:1] == ["ADD"]:
        maker.constraint(at + 1)
        return _noted(name, maker.layout)
    if words[:1] == ["DROP"] and words[1] not in ("CONSTRAINT", "COLUMN"):
        return f"ALTER TABLE {name} DROP COLUMN {r.render(at + 1)}"
    if words[:2] == ["DROP", "CONSTRAINT"]:
        return "SELECT 1 WHERE FALSE"
    return f"ALTER TABLE {name} {r.render(at)}"


def _laid_out(maker: TableMaker, name: str, at: int) -> str:
    """ALTER DISTSTYLE, DISTKEY, SORTKEY, ENCODE: noted, and nothing else."""
    r = maker.r
    if r.word(at) == "DISTKEY":
        maker.layout.distkey, maker.layout.diststyle = r.name(at + 1).strip('"'), "KEY"
    elif r.word(at) == "DISTSTYLE" and r.word(at + 1) == "KEY":
        maker.layout.distkey, maker.layout.diststyle = r.name(at + 3).strip('"'), "KEY"
    else:
        maker.attribute(at)
    return _noted(name, maker.layout)


def _encoded(maker: TableMaker, name: str, at: int) -> str:
    for first, last in split(maker.r.tokens, at, len(maker.r.tokens)):
        maker.layout.encode[maker.r.name(first + 2).strip('"')] = maker.r.word(last - 1).lower()
    return _noted(name, maker.layout)


def _noted(name: str, layout: Layout) -> str:
    told = {k: v for k, v in vars(layout).items() if v}
    literal, text = name.replace("'", "''"), json.dumps(told).replace("'", "''")
    return f"CALL rsi.altered('{literal}', '{text}')"


def _retyped(r: Renderer, name: str, at: int) -> str:
    """ALTER COLUMN … TYPE VARCHAR(n): the one change of a type that Redshift allows."""
    first = at + (2 if r.word(at + 1) == "COLUMN" else 1)
    if r.word(first + 1) != "TYPE":
        raise SqlError("0A000", f"ALTER TABLE {r.render(at)} is not supported: of a column the length of a VARCHAR and the encoding can be altered")
    kind, _ = rendered(r.tokens, first + 2, "column")
    if not kind.startswith("varchar"):
        raise SqlError("0A000", "target data type must be the same as the column's: only the length of a VARCHAR can be altered")
    return f"ALTER TABLE {name} ALTER COLUMN {r.name(first)} TYPE {kind}"
