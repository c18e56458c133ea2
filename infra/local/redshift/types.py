"""Redshift's types as PostgreSQL's. What Redshift lacks, or this stand-in, is refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from penstock.infra.local.errors import NotLocalError, SqlError

from .tokens import Token, closing

Place = Literal["column", "expression"]

# (PostgreSQL's name, the length that a column has when none is said)
_TEXTS = {
    "VARCHAR": ("varchar", 256), "NVARCHAR": ("varchar", 256), "TEXT": ("varchar", 256), "CHARACTER VARYING": ("varchar", 256),
    "CHAR": ("char", 1), "CHARACTER": ("char", 1), "NCHAR": ("char", 1), "BPCHAR": ("char", 256),
}  # fmt: skip
_PLAIN = {
    "SMALLINT": "smallint", "INT2": "smallint", "INTEGER": "integer", "INT": "integer", "INT4": "integer", "BIGINT": "bigint", "INT8": "bigint",
    "REAL": "real", "FLOAT4": "real", "FLOAT": "double precision", "FLOAT8": "double precision", "DOUBLE PRECISION": "double precision",
    "BOOLEAN": "boolean", "BOOL": "boolean", "DATE": "date", "SUPER": "jsonb", "HLLSKETCH": "rs.hllsketch", "OID": "oid", "REFCURSOR": "refcursor",
    "RECORD": "record", "REGCLASS": "regclass", "REGTYPE": "regtype", "REGPROC": "regproc", "NAME": "name", "VARBYTE": "bytea", "VARBINARY": "bytea",
    "BINARY VARYING": "bytea", "TIMESTAMP": "timestamp", "TIMESTAMPTZ": "timestamptz", "TIME": "time", "TIMETZ": "timetz", "DATETIME": "timestamp",
}  # fmt: skip
_DECIMALS = ("DECIMAL", "NUMERIC", "DEC")
_SPATIAL = ("GEOMETRY", "GEOGRAPHY")
_MISSING = {
    "BYTEA": "VARBYTE", "JSON": "SUPER", "JSONB": "SUPER", "UUID": "VARCHAR(36)", "SERIAL": "IDENTITY", "BIGSERIAL": "IDENTITY", "SMALLSERIAL": "IDENTITY",
    "MONEY": "DECIMAL", "XML": "VARCHAR", "INET": "VARCHAR", "CIDR": "VARCHAR", "MACADDR": "VARCHAR", "BIT": "VARBYTE", "TSVECTOR": "VARCHAR",
    "HSTORE": "SUPER", "POINT": "GEOMETRY", "CITEXT": "VARCHAR with a case-insensitive collation",
}  # fmt: skip
KNOWN = frozenset((*_TEXTS, *_PLAIN, *_DECIMALS, *_SPATIAL, *_MISSING, "INTERVAL", "DOUBLE", "BINARY"))


def rendered(tokens: Sequence[Token], i: int, place: Place) -> tuple[str, int]:
    """(PostgreSQL's type, the index behind the type) of the type that begins at `i`."""
    word, end = _name(tokens, i)
    if word in _MISSING:
        raise SqlError("0A000", f'Column type "{word.lower()}" is not supported: Redshift has none; it has {_MISSING[word]}')
    if word in _SPATIAL:
        raise NotLocalError(f"the type {word}")
    sizes, end = _sizes(tokens, end)
    if word in _TEXTS:
        found = _text(word, sizes, place)
    elif word in _DECIMALS:
        found = f"numeric({', '.join(sizes) or '18, 0'})"
    elif word == "INTERVAL":
        return _interval(tokens, i, end)
    elif word in ("TIMESTAMP", "TIME"):
        zone, end = _zone(tokens, end)
        found = _PLAIN[word] + ("tz" if zone else "")
    elif word in _PLAIN:
        found = _PLAIN[word]
    else:
        return _users(tokens, i)
    if end < len(tokens) and tokens[end].text == "[":
        raise SqlError("0A000", "arrays are not supported: Redshift has none; it has SUPER")
    return found, end


def _name(tokens: Sequence[Token], i: int) -> tuple[str, int]:
    word = tokens[i].word
    following = tokens[i + 1].word if i + 1 < len(tokens) else ""
    if (word, following) in (("CHARACTER", "VARYING"), ("DOUBLE", "PRECISION"), ("BINARY", "VARYING")):
        return f"{word} {following}", i + 2
    return word, i + 1


def _sizes(tokens: Sequence[Token], i: int) -> tuple[list[str], int]:
    if i >= len(tokens) or tokens[i].text != "(":
        return [], i
    end = closing(tokens, i)
    return [t.text for t in tokens[i + 1 : end] if t.text != ","], end + 1


def _text(word: str, sizes: Sequence[str], place: Place) -> str:
    name, length = _TEXTS[word]
    if sizes:
        return f"{name}({'65535' if sizes[0].upper() == 'MAX' else sizes[0]})"
    return name if place == "expression" and name == "varchar" else f"{name}({length})"


def _zone(tokens: Sequence[Token], i: int) -> tuple[bool, int]:
    words = [t.word for t in tokens[i : i + 3]]
    if words[1:] == ["TIME", "ZONE"] and words[0] in ("WITH", "WITHOUT"):
        return words[0] == "WITH", i + 3
    return False, i


def _interval(tokens: Sequence[Token], i: int, end: int) -> tuple[str, int]:
    units = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "TO")
    while end < len(tokens) and tokens[end].word in units:
        _, end = _sizes(tokens, end + 1)
    return " ".join(t.text for t in tokens[i:end]).replace(" ( ", "(").replace(" )", ")"), end


def _users(tokens: Sequence[Token], i: int) -> tuple[str, int]:
    """`table.column%TYPE`, `table%ROWTYPE`: plpgsql's own; anything else Redshift does not know either."""
    end = i + 1
    while end + 1 < len(tokens) and tokens[end].text in (".", "%"):
        end += 2
    if tokens[end - 2].text != "%":
        raise SqlError("42704", f'type "{tokens[i].name}" does not exist')
    return "".join(t.text for t in tokens[i:end]), end
