"""A question to the lake's tables by the embedded engine, or to a Redshift connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import ArgumentError, DataError, choice
from penstock.schema import is_hidden, quote

from .context import Context
from .history import version_at

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlglot import exp

    from penstock.engines.base import Session


def ask(context: Context, sql: str, connection: str | None, as_of: str | None = None) -> pa.Table:
    """The rows of a query. Lake tables go by `connection.namespace.table`; their hidden columns are left out of `*` but can be named.

    `as_of`: the tables as they were at a time, or at a snapshot or version. Raises ArgumentError for SQL that does not parse or names no table of a
    catalog, and for a time that a table knows nothing of.
    """
    if connection and as_of:
        raise ArgumentError("a warehouse knows no former states: --as-of goes with lake tables")
    if connection:
        if connection not in context.pipeline.connections:
            raise ArgumentError(f"connection {choice(connection, context.pipeline.connections)}")
        return context.warehouse(connection).query(sql)
    import duckdb
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(sql, read="duckdb")
    except sqlglot.ParseError as error:
        raise ArgumentError(
            f"the query does not parse: {error.errors[0]['description']} at line {error.errors[0]['line']}, column {error.errors[0]['col']}"
        ) from error
    if not isinstance(tree, exp.Query):
        raise ArgumentError("a query only reads: it begins with SELECT, WITH or VALUES")
    named = {column.name for column in tree.find_all(exp.Column)}
    ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
    with context.engine.session() as session:
        for i, table in enumerate([t for t in tree.find_all(exp.Table) if t.db or t.name not in ctes]):
            _bind(context, session, table, f"table_{i}", named, as_of)
        try:
            return session.query(tree.sql("duckdb"))
        except duckdb.Error as error:
            raise DataError(f"the query failed: {error}") from error


def _bind(context: Context, session: Session, table: exp.Table, name: str, named: set[str], as_of: str | None) -> None:
    """Make one table of the query readable, and point the query at it."""
    from sqlglot import exp

    where = ".".join(part.name for part in table.parts)
    if len(table.parts) != 3:
        raise ArgumentError(f"table {where!r}: lake tables are named connection.namespace.table", hint=", ".join(lake_tables(context)))
    catalog, namespace, short = (part.name for part in table.parts)
    found = context.catalog(catalog).table(namespace, short) if catalog in context.pipeline.connections else None
    if found is None and where in context.pipeline.tables:
        raise ArgumentError(f"table {where} is declared, but no run has made it yet", hint=f"penstock run {context.loaded.folder}")
    if found is None:
        raise ArgumentError(f"table {choice(where, lake_tables(context))}")
    pinned = found.pin(version_at(found, as_of).version if as_of else None)
    session.scan(f"{name}_all", found, pinned)
    shown = [quote(c.name) for c in pinned.columns if not is_hidden(c.name) or c.name in named or short.endswith(("__quarantine", "__memory"))]
    session.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT {', '.join(shown)} FROM {name}_all")
    table.replace(exp.alias_(exp.to_table(name), table.alias or short, table=True))


def lake_tables(context: Context) -> list[str]:
    """Every table of the pipeline's catalogs, by the name that a query uses."""
    catalogs = [name for name, connection in context.pipeline.connections.items() if connection.kind == "catalog"]
    return [f"{name}.{namespace}.{table}" for name in catalogs for namespace, table, _ in context.catalog(name).tables()]
