"""What only a tree can show: QUALIFY, EXCLUDE, aliases of the same SELECT, SUPER, divisions of decimals. Everything else stays with the tokens.

A query is read as Redshift's and written as Redshift's again, so that what follows need not know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from penstock.infra.local.errors import NotLocalError, SqlError

from .catalog import Catalog, Column
from .glue_tables import ExternalTable, pg_type
from .hierarchies import connected
from .kinds import digits, quotient_scale
from .pivots import pivoted
from .scopes import Ctes, Scope, Source, base_columns, folded, items, outputs
from .spectrum import Scan, planned
from .supers import navigated, unnested


class External(Protocol):
    """Where external tables are known."""

    def table(self, database: str, name: str) -> ExternalTable: ...


def restructured(sql: str, catalog: Catalog, external: External, *, makes_table: bool = False) -> str:
    """A query without the structures that PostgreSQL lacks; that of a table which it makes has the digits of decimals, which PostgreSQL forgets.

    Raises NotLocalError for a query that cannot be read.
    """
    holder = exp.Paren(this=_parsed(sql))
    work = Restructuring(catalog, external)
    columns = work.query(holder.this, {}, None)
    if makes_table and isinstance(holder.this, exp.Select):
        _sized(holder.this, columns or ())
    found = str(holder.this.sql("redshift"))
    for name, scan in work.scans.items():
        found = re.sub(rf'\b{name} AS "?\w+"?', lambda _: scan.call(), found)  # noqa: B023 - called at once
    return found


def _sized(select: exp.Select, columns: Sequence[Column]) -> None:
    if columns and len({c.name for c in columns}) == len(columns) and len(select.expressions) == 1 and isinstance(select.expressions[0], exp.Star):
        select.set("expressions", [exp.alias_(exp.Paren(this=exp.column(exp.to_identifier(c.name, quoted=True))), c.name, quoted=True) for c in columns])
    if len(columns) != len(select.expressions):
        return
    for node, column in zip(list(select.expressions), columns, strict=True):
        inner = node.this if isinstance(node, exp.Alias) else node
        if (of := digits(column.type)) and not of.is_integer and not isinstance(inner, exp.Column | exp.Cast):
            size = [exp.DataTypeParam(this=exp.Literal.number(n)) for n in (of.precision, of.scale)]
            inner.replace(exp.cast(inner.copy(), exp.DataType(this=exp.DType.DECIMAL, expressions=size)))


def _parsed(sql: str) -> exp.Expr:
    try:
        return sqlglot.parse_one(sql, read="redshift")
    except SqlglotError as error:
        raise NotLocalError(f"this form of query ({str(error).splitlines()[0]})") from error


class Restructuring:
    """One query, worked on from within: what an inner query gives is known when the outer one is looked at."""

    def __init__(self, catalog: Catalog, external: External) -> None:
        self._catalog, self._external = catalog, external
        self.scans: dict[str, Scan] = {}

    def query(self, node: exp.Expr, ctes: Ctes, outer: Scope | None) -> Sequence[Column] | None:
        """Rework a query in place; returns its columns, None where nobody knows them."""
        known = self._with(node, ctes, outer)
        if isinstance(node, exp.SetOperation):
            found = self.query(node.this, known, outer)
            self.query(node.expression, known, outer)
            return found
        if isinstance(node, exp.Subquery):
            return self.query(node.this, known, outer)
        return self._select(node, known, outer) if isinstance(node, exp.Select) else None

    def _with(self, node: exp.Expr, ctes: Ctes, outer: Scope | None) -> Ctes:
        found = dict(ctes)
        clause = node.args.get("with_")
        if clause is None:
            return found
        for cte in clause.expressions:
            name, named = folded(cte.args["alias"].this), [folded(c) for c in cte.args["alias"].columns]
            if clause.args.get("recursive"):
                found[name] = [Column(n, "") for n in named] or None
            columns = self.query(cte.this, found, outer)
            found[name] = [Column(n, c.type) for n, c in zip(named, columns, strict=False)] if named and columns else columns
        return found

    def _select(self, select: exp.Select, ctes: Ctes, outer: Scope | None) -> Sequence[Column] | None:
        self._late_views(select, ctes)
        connected(select)
        scope, scans = Scope(outer=outer), list[Scan]()
        for item in list(items(select)):
            scope.sources.append(self._source(item, ctes, scope, scans))
        for inner in _inner(select):
            self.query(inner, ctes, scope)
        _without_excluded(select, scope)
        _lateral(select, scope)
        navigated(select, scope)
        _divided(select, scope)
        found = outputs(select, scope)
        for scan in scans:
            planned(select, scan, scope)
        _qualified(select, found)
        return found

    def _late_views(self, select: exp.Select, ctes: Ctes) -> None:
        """Views that bind late stand for their texts."""
        for item in list(items(select)):
            if not isinstance(item, exp.Table) or not isinstance(item.this, exp.Identifier) or (not item.args.get("db") and folded(item.this) in ctes):
                continue
            text = self._catalog.late_view(folded(item.args.get("db")), folded(item.this))
            if text is not None:
                alias = folded(item.args["alias"].this) if item.args.get("alias") else folded(item.this)
                item.replace(exp.Subquery(this=_parsed(text), alias=exp.TableAlias(this=exp.to_identifier(alias))))

    def _scan(self, item: exp.Table, scans: list[Scan]) -> Source:
        """An external table: what goes down to it is decided when the whole SELECT is known."""
        table = self._external.table(self._catalog.external_schemas[folded(item.args["db"])], folded(item.this))
        alias = folded(item.args["alias"].this) if item.args.get("alias") else folded(item.this)
        name = f"rs_scan_{len(self.scans)}"
        new = exp.Table(this=exp.to_identifier(name), alias=exp.TableAlias(this=exp.to_identifier(alias)))
        item.replace(new)
        self.scans[name] = Scan(table, alias, new)
        scans.append(self.scans[name])
        return Source(alias, [Column(n, pg_type(t)) for n, t in (*table.columns.items(), *table.keys.items())])

    def _source(self, item: exp.Expr, ctes: Ctes, scope: Scope, scans: list[Scan]) -> Source:
        if isinstance(item, exp.Table) and folded(item.args.get("db")) in self._catalog.external_schemas:
            return self._scan(item, scans)
        if isinstance(item, exp.Subquery):
            columns = self.query(item.this, ctes, scope.outer)
            if not item.args.get("alias") and not item.args.get("pivots"):
                item.set("alias", exp.TableAlias(this=exp.to_identifier(f"rs_from_{len(scope.sources)}")))
            alias = folded(item.args["alias"].this) if item.args.get("alias") else ""
            if named := [folded(c) for c in item.args["alias"].columns] if alias else []:
                columns = [Column(n, c.type) for n, c in zip(named, columns or (), strict=False)] or None
        elif isinstance(item, exp.Table):
            columns = base_columns(item, self._catalog, ctes)
            alias = folded(item.args["alias"].this) if item.args.get("alias") else folded(item.this)
        else:
            return unnested(item, scope)
        return pivoted(item, Source(alias, columns))


def _own(select: exp.Select, *kinds: type[exp.Expr]) -> list[exp.Expr]:
    """The nodes of a SELECT that no query within it holds."""
    return [n for n in select.find_all(*kinds) if n.find_ancestor(exp.Select) is select]


def _inner(select: exp.Select) -> list[exp.Expr]:
    """Queries within expressions: not those of WITH or FROM, which are looked at before."""
    found = list[exp.Expr]()
    for node in select.find_all(exp.Select, exp.SetOperation):
        around = node.parent
        if node is select or isinstance(around, exp.SetOperation | exp.CTE | exp.Paren):
            continue
        above = node.find_ancestor(exp.Select)
        holder = node.find_ancestor(exp.From, exp.Join, exp.CTE)
        in_from = isinstance(around, exp.Subquery) and isinstance(around.parent, exp.From | exp.Join)
        if above is select and not in_from and not isinstance(holder, exp.CTE):
            found.append(node)
    return found


def _without_excluded(select: exp.Select, scope: Scope) -> None:
    """`* EXCLUDE (a, b)` as the columns that are left."""
    expressions: list[exp.Expr] = []
    for node in select.expressions:
        star = node if isinstance(node, exp.Star) else node.this if isinstance(node, exp.Column) else None
        if not isinstance(star, exp.Star) or not star.args.get("except_"):
            expressions.append(node)
            continue
        left = {folded(c.this if isinstance(c, exp.Column) else c) for c in star.args["except_"]}
        of = folded(node.args.get("table")) if isinstance(node, exp.Column) else ""
        expressions += _columns(scope, of, left)
    select.set("expressions", expressions)


def _columns(scope: Scope, of: str, left: set[str]) -> list[exp.Expr]:
    found: list[exp.Expr] = []
    for source in (s for s in scope.sources if of in ("", s.alias)):
        if source.columns is None:
            raise SqlError("42P01", f'relation "{source.alias}" does not exist')
        found += [exp.column(c.name, source.alias, quoted=True) for c in source.columns if c.name not in left]
    return found


def _lateral(select: exp.Select, scope: Scope) -> None:
    """A column may name an alias of the same SELECT, before it or in WHERE; a column of FROM with that name comes first."""
    known: dict[str, exp.Expr] = {}
    for node in select.expressions:
        for column in [c for c in node.find_all(exp.Column) if c.find_ancestor(exp.Select) is select and not c.args.get("table")]:
            name = folded(column.this)
            if name in known and not scope.has_column(name):
                new = exp.Paren(this=known[name].copy())
                if column is node:
                    select.set("expressions", [exp.alias_(new, name) if n is node else n for n in select.expressions])
                else:
                    column.replace(new)
        if isinstance(node, exp.Alias):
            known[folded(node.args["alias"])] = node.this
    where = select.args.get("where")
    for column in [c for c in where.find_all(exp.Column) if c.find_ancestor(exp.Select) is select and not c.args.get("table")] if where else ():
        if folded(column.this) in known and scope.is_known and not scope.has_column(folded(column.this)):
            column.replace(exp.Paren(this=known[folded(column.this)].copy()))


def _divided(select: exp.Select, scope: Scope) -> None:
    """Divisions of decimals give so many digits as Redshift's; the inner ones first."""
    for node in reversed(_own(select, exp.Div)):
        a, b = digits(scope.kind_of(node.this)), digits(scope.kind_of(node.expression))
        if a and b and not (a.is_integer and b.is_integer):
            node.replace(exp.Anonymous(this="rsi.quotient", expressions=[node.this.copy(), node.expression.copy(), exp.Literal.number(quotient_scale(a, b))]))


def _qualified(select: exp.Select, columns: Sequence[Column] | None) -> None:
    """QUALIFY as a condition around: what it holds becomes a column that is not given."""
    qualify = select.args.get("qualify")
    if qualify is None:
        return
    if columns is None:
        raise NotLocalError("QUALIFY with a star over a table that is not known")
    select.set("qualify", None)
    names = [c.name or f"column{i}" for i, c in enumerate(columns, 1)]
    given = list(select.expressions)
    aliases = {folded(e.args["alias"]): e.this for e in given if isinstance(e, exp.Alias)}
    predicate = qualify.this.copy()
    for column in list(predicate.find_all(exp.Column)):
        if not column.args.get("table") and folded(column.this) in aliases:
            column.replace(exp.Paren(this=aliases[folded(column.this)].copy()))
    if not any(isinstance(e, exp.Star) or (isinstance(e, exp.Column) and isinstance(e.this, exp.Star)) for e in given):
        given = [exp.alias_(e.this if isinstance(e, exp.Alias) else e, n, quoted=True) for e, n in zip(given, names, strict=True)]
    inner = select.copy()
    orders = _taken_out(inner)
    helpers = [exp.alias_(o.this.copy(), f"rs_order_{i}") for i, o in enumerate(orders.order)]
    inner.set("expressions", [*given, exp.alias_(predicate, "rs_qualify"), *_by_value(helpers, aliases)])
    inner.set("with_", None)
    outer = exp.select(*(exp.column(n, quoted=True) for n in names)).from_(inner.subquery("rs_qualified")).where(exp.column("rs_qualify"))
    for i, order in enumerate(orders.order):
        key = names[int(order.this.this) - 1] if isinstance(order.this, exp.Literal) and not order.this.is_string else f"rs_order_{i}"
        outer = outer.order_by(exp.Ordered(this=exp.column(key, quoted=True), desc=order.args.get("desc"), nulls_first=order.args.get("nulls_first")))
    for part, node in orders.rest.items():
        outer.set(part, node)
    outer.set("with_", select.args.get("with_"))
    for key in list(select.args):
        select.set(key, None)
    for key, value in outer.args.items():
        select.set(key, value)


def _by_value(helpers: Sequence[exp.Expr], aliases: dict[str, exp.Expr]) -> list[exp.Expr]:
    """Order keys that name an alias of the SELECT become what it stands for."""
    found = []
    for helper in helpers:
        inner = helper.this
        if isinstance(inner, exp.Column) and folded(inner.this) in aliases and not inner.args.get("table"):
            helper.set("this", aliases[folded(inner.this)].copy())
        found.append(helper)
    return found


@dataclass(frozen=True)
class _Last:
    """What is done behind QUALIFY."""

    order: list[exp.Expr]
    rest: dict[str, exp.Expr | None]


def _taken_out(inner: exp.Select) -> _Last:
    """ORDER BY, LIMIT, OFFSET and DISTINCT, taken out of a SELECT."""
    order = inner.args.get("order")
    found = _Last(list(order.expressions) if order else [], {part: inner.args.get(part) for part in ("limit", "offset", "distinct")})
    for part in ("order", "limit", "offset", "distinct"):
        inner.set(part, None)
    return found
