"""One Redshift statement, executed on PostgreSQL: rewritten, or done here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from .loading import copy_into, unload
from .options import parse_unload
from .rewrite import rewritten
from .tokens import tokenize


@dataclass(frozen=True)
class Described:
    """A column of a result, in Redshift's type names."""

    name: str
    type: str
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True)
class Result:
    """`columns` is None for a statement that gives no rows."""

    columns: tuple[Described, ...] | None
    rows: Sequence[tuple[Any, ...]]
    count: int


_OIDS = {16: "bool", 20: "int8", 21: "int2", 23: "int4", 25: "varchar", 700: "float4", 701: "float8", 1042: "bpchar", 1043: "varchar", 1082: "date",
         1114: "timestamp", 1184: "timestamptz", 1700: "numeric", 3802: "super", 17: "varbyte"}  # fmt: skip


def execute(connection: psycopg.Connection[Any], s3: Any, sql: str) -> Result:
    """Raises NotLocalError, LoadError or psycopg.Error; the transaction is the caller's."""
    tokens = tokenize(sql)
    first = tokens[0].word if tokens else ""
    if first == "COPY":
        return Result(None, (), copy_into(connection, s3, sql))
    if first == "UNLOAD":
        ask = parse_unload(sql)
        return Result(None, (), unload(connection, s3, rewritten(ask.query), ask))
    cursor = connection.execute(rewritten(sql))
    if cursor.description is None:
        return Result(None, (), cursor.rowcount)
    columns = tuple(Described(d.name, _OIDS.get(d.type_code, "varchar"), d.precision or 0, d.scale or 0) for d in cursor.description)
    rows = cursor.fetchall()
    return Result(columns, rows, len(rows))
