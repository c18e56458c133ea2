"""What SQL reads and gives, found by sqlglot without running it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlglot import exp

Schema = Mapping[str, Mapping[str, str]]

_FAMILIES = {
    "BOOLEAN": "boolean", "DATE": "date", "TIMESTAMP": "timestamp", "TIMESTAMPTZ": "timestamp", "TIMESTAMPLTZ": "timestamp", "TIMESTAMPNTZ": "timestamp",
    "VARCHAR": "text", "TEXT": "text", "CHAR": "text", "BINARY": "binary", "VARBINARY": "binary",
    "STRUCT": "struct", "ARRAY": "array", "MAP": "map",
    "TINYINT": "number", "SMALLINT": "number", "INT": "number", "BIGINT": "number", "FLOAT": "number", "DOUBLE": "number", "DECIMAL": "number",
}  # fmt: skip


@dataclass(frozen=True)
class SqlProblem:
    """What is wrong in a SQL text; line and column from 1, 0 where sqlglot cannot tell."""

    message: str
    line: int = 0
    column: int = 0


def family(type_name: str) -> str | None:
    """The kind of values that a type has, None where that is not known."""
    from sqlglot import exp

    try:
        return _FAMILIES.get(exp.DataType.build(type_name, dialect="spark").this.name)
    except ValueError:
        return None


def parse(sql: str, dialect: str) -> exp.Query | SqlProblem:
    """The one query that a text holds, or what is wrong with it."""
    import sqlglot
    from sqlglot import exp

    try:
        trees = [t for t in sqlglot.parse(sql, read=dialect) if t is not None]
    except sqlglot.errors.SqlglotError as error:
        first: Mapping[str, Any] = next(iter(getattr(error, "errors", ())), {})
        return SqlProblem(f"the SQL does not parse: {first.get('description') or error}", int(first.get("line") or 0), int(first.get("col") or 0))
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        return SqlProblem(f"one query is expected, a SELECT; found {len(trees)} statements, the first a {trees[0].key.upper() if trees else 'nothing'}")
    return trees[0]


def tables_of(sql: str, dialect: str) -> tuple[str, ...]:
    """The tables that a query reads, by the names that it uses, without its own CTEs; empty when it does not parse."""
    from sqlglot import exp

    tree = parse(sql, dialect)
    if isinstance(tree, SqlProblem):
        return ()
    own = {cte.alias for cte in tree.find_all(exp.CTE)}
    found = [".".join(p.name for p in t.parts) for t in tree.find_all(exp.Table)]
    return tuple(dict.fromkeys(name for name in found if name not in own))


def output_of(sql: str, dialect: str, tables: Schema) -> dict[str, str] | SqlProblem:
    """Name -> type of a query's columns ("UNKNOWN" where sqlglot cannot tell), or the first thing that is wrong with it."""
    from sqlglot.errors import OptimizeError, SqlglotError
    from sqlglot.optimizer.annotate_types import annotate_types
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.schema import MappingSchema

    tree = parse(sql, dialect)
    if isinstance(tree, SqlProblem):
        return tree
    nested: dict[str, object] = {}
    for name, columns in tables.items():
        *folders, last = name.split(".")
        inner: dict[str, object] = nested
        for folder in folders:
            inner = inner.setdefault(folder, {})  # type: ignore[assignment]
        inner[last] = dict(columns)
    schema = MappingSchema(nested, dialect="spark")
    try:
        qualified = annotate_types(qualify(tree, schema=schema, dialect=dialect, identify=False), schema=schema, dialect=dialect)
    except OptimizeError as error:
        return SqlProblem(str(error).split(". Line:")[0], *_position(str(error)))
    except SqlglotError as error:
        return SqlProblem(f"the SQL cannot be resolved: {error}")
    return {e.alias_or_name: (e.type.sql("spark") if e.type else "UNKNOWN") for e in qualified.selects}


def _position(message: str) -> tuple[int, int]:
    import re

    found = re.search(r"Line: (\d+), Col: (\d+)", message)
    name = re.search(r"'([^']+)'", message)
    # sqlglot tells where the name ends
    return (int(found[1]), int(found[2]) - (len(name[1]) - 1 if name else 0)) if found else (0, 0)


def bound(expression: str, parameters: Mapping[str, Any]) -> str | SqlProblem:
    """A Spark SQL expression over a row, with its parameters as literals, in the dialect of DuckDB."""
    import sqlglot
    from sqlglot import exp

    tree = parse(f"SELECT {expression}", "spark")
    if isinstance(tree, SqlProblem):
        return tree
    alone = exp.Select(expressions=[e.copy() for e in tree.selects if not isinstance(e, exp.Alias | exp.Star)])
    if len(alone.selects) != 1 or tree != alone or tree.find(exp.Table, exp.Subquery, exp.AggFunc, exp.Window):
        return SqlProblem(f"one expression over a row is expected, not {expression!r}")
    values = {name: sqlglot.exp.convert(value) for name, value in parameters.items()}
    if unknown := sorted({p.name for p in tree.find_all(exp.Placeholder)} - set(values)):
        return SqlProblem(f"parameter :{unknown[0]} has no value; there are {', '.join(values) or 'none'}")
    for parameter in list(tree.find_all(exp.Placeholder)):
        parameter.replace(values[parameter.name].copy())
    _keep_to_ansi(tree)
    return tree.selects[0].sql("duckdb")


def _keep_to_ansi(tree: exp.Query) -> None:
    """sqlglot takes what a cast, a division and a date read from text cannot give for NULL, as Spark did before its ANSI rules: that is undone."""
    from sqlglot import exp

    for cast in [c for c in tree.find_all(exp.TryCast) if not c.args.get("safe")]:
        cast.replace(exp.Cast(this=cast.this, to=cast.to))
    for date in tree.find_all(exp.TsOrDsToDate):
        date.set("safe", False)
    for division in tree.find_all(exp.Div, exp.IntDiv, exp.Mod):
        division.set("safe", False)
        by = division.expression
        if not (isinstance(by, exp.Literal) and by.is_number and float(by.this)):
            division.set("expression", exp.case().when(by.copy().eq(0), exp.func("error", exp.Literal.string("division by zero"))).else_(by.copy()))


def columns_of(expression: str) -> set[str]:
    """The columns that an expression reads, of fields inside one the column; none where it does not parse."""
    from sqlglot import exp

    tree = parse(f"SELECT {expression}", "spark")
    return set() if isinstance(tree, SqlProblem) else {c.parts[0].name for c in tree.find_all(exp.Column)}


def spark_literal(value: object) -> str:
    """A parameter's value as Spark SQL has it."""
    from sqlglot import exp

    return f"CAST('{value!r}' AS DOUBLE)" if isinstance(value, float) else exp.convert(value).sql("spark")


def replaced(sql: str, tables: Mapping[str, str], parameters: Mapping[str, object]) -> str:
    """The Spark SQL text with tables called otherwise and parameters as literals; all else stays as it was written.

    Spark's own parameters are lost where an extension of a table format parses before it.
    """
    from sqlglot import exp, tokenize

    tree = parse(sql, "spark")
    if isinstance(tree, SqlProblem):
        return sql
    tokens = tokenize(sql, read="spark")
    places = [
        (colon.start, name.end + 1, spark_literal(parameters[name.text]))
        for colon, name in pairwise(tokens)
        if colon.token_type.name == "COLON" and name.text in parameters and name.start == colon.end + 1
    ]
    for table in tree.find_all(exp.Table):
        parts = [p for p in table.parts if "start" in p.meta]
        if (new := tables.get(".".join(p.name for p in table.parts))) and parts:
            alias = "" if table.alias else " AS `" + table.name.replace("`", "``") + "`"
            places.append((parts[0].meta["start"], parts[-1].meta["end"] + 1, new + alias))
    for start, end, new in sorted(places, reverse=True):
        sql = sql[:start] + new + sql[end:]
    return sql
