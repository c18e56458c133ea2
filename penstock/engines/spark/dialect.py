"""Statements of a session, which are in DuckDB's dialect, as Spark has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from penstock.errors import NotSupportedError

Kind = Literal["query", "table", "view", "insert"]


@dataclass(frozen=True)
class Statement:
    """A query; with a `name`, one whose rows are kept (`table`), computed when they are read (`view`), or added to those of that name (`insert`),
    column by column or `by_name`. `asked`: the query as it was said.
    """

    kind: Kind
    query: str
    asked: str = ""
    name: str = ""
    by_name: bool = False


@lru_cache(maxsize=1024)
def spark_sql(query: str) -> str:
    """A query in Spark's dialect; raises NotSupportedError for what it has no words for."""
    return _translated(_parsed(query))


@lru_cache(maxsize=256)
def statement(text: str) -> Statement:
    """Raises NotSupportedError for what is neither a query nor names one."""
    from sqlglot import exp

    tree = _parsed(text)
    if isinstance(tree, exp.Query):
        return Statement("query", _translated(tree))
    if not isinstance(tree, exp.Create | exp.Insert) or not isinstance(tree.expression, exp.Query):
        raise NotSupportedError(f"on Spark the statement {text[:80]!r}", hint="name the rows of a query: CREATE TABLE name AS SELECT …")
    target = tree.find(exp.Table)
    assert target is not None
    kind: Kind = "insert" if isinstance(tree, exp.Insert) else "view" if str(tree.args["kind"]).upper() == "VIEW" else "table"
    return Statement(kind, _translated(tree.expression), tree.expression.sql("duckdb"), target.name, bool(tree.args.get("by_name")))


@lru_cache(maxsize=1024)
def chosen_from(query: str) -> str | None:
    """The relation of which a query gives rows as they are, some of them, or values reckoned from each; None for a query that does more."""
    from sqlglot import exp

    tree = _parsed(query)
    while isinstance(tree, exp.Select):
        more = (
            exp.Join,
            exp.AggFunc,
            exp.Window,
            exp.Group,
            exp.Distinct,
            exp.Limit,
            exp.Order,
            exp.With,
            exp.Rand,
            exp.Uuid,
            exp.CurrentTimestamp,
            exp.Unnest,
        )
        subqueries = [s for s in tree.find_all(exp.Select) if s is not tree and not isinstance(s.parent.parent if s.parent else None, exp.From)]
        source = tree.find(exp.From)
        if subqueries or source is None or tree.find(*more):
            return None
        tree = source.this.this if isinstance(source.this, exp.Subquery) else source.this
    return tree.name if isinstance(tree, exp.Table) else None


def _parsed(text: str) -> object:
    import sqlglot

    return sqlglot.parse_one(text, read="duckdb")


def _translated(tree: object) -> str:
    from sqlglot import ErrorLevel, errors, exp

    assert isinstance(tree, exp.Expression)
    for found in tree.find_all(exp.Anonymous, exp.DataType):
        if found.name.upper() == "ROW":
            found.set("this", "STRUCT")
        elif found.name.upper() == "EPOCH_US":
            found.replace(exp.func("UNIX_MICROS", exp.cast(found.expressions[0], exp.DataType.Type.TIMESTAMPTZ)))
        elif found.name.upper() == "ERROR":
            found.set("this", "RAISE_ERROR")
        elif found.this == exp.DataType.Type.INT128:
            found.replace(exp.DataType.build("DECIMAL(38, 0)"))
    try:
        return tree.sql("spark", unsupported_level=ErrorLevel.RAISE)
    except errors.UnsupportedError as error:
        raise NotSupportedError(f"on Spark: {error}") from error
