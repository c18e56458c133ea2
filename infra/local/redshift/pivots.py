"""PIVOT and UNPIVOT of an item of FROM, as aggregates of conditions and as a union."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from penstock.infra.local.errors import NotLocalError, SqlError

from .catalog import Column
from .scopes import Source, folded


def pivoted(item: exp.Expr, source: Source) -> Source:
    """Rework an item of FROM that is pivoted; returns what it gives."""
    pivots = item.args.get("pivots") or ()
    if not pivots:
        return source
    if len(pivots) > 1:
        raise NotLocalError("more than one PIVOT of a table")
    (pivot,) = pivots
    if source.columns is None:
        raise SqlError("42P01", f'relation "{source.alias}" does not exist')
    bare = item.copy()
    bare.set("pivots", None)
    if not bare.args.get("alias"):
        bare.set("alias", exp.TableAlias(this=exp.to_identifier("rs_pivoted")))
    found: tuple[Any, list[Column]] = _melted(pivot, bare, source) if pivot.args.get("unpivot") else _spread(pivot, bare, source)
    alias = folded(pivot.args["alias"].this) if pivot.args.get("alias") else source.alias or "rs_pivot"
    item.replace(found[0].subquery(alias))
    return Source(alias, found[1])


def _spread(pivot: exp.Pivot, bare: exp.Expr, source: Source) -> tuple[exp.Select, list[Column]]:
    (field,) = pivot.args["fields"]
    by = folded(field.this.this)
    used = {folded(c.this) for aggregate in pivot.expressions for c in aggregate.find_all(exp.Column)} | {by}
    groups = [c for c in source.columns or () if c.name not in used]
    names = [str(c.name) for c in pivot.args["columns"]]
    values = [v.this if isinstance(v, exp.PivotAlias) else v for v in field.expressions]
    cells = [_cell(aggregate, by, value) for value in values for aggregate in pivot.expressions]
    given = [exp.alias_(cell, name, quoted=True) for cell, name in zip(cells, names, strict=True)]
    query = exp.select(*(exp.column(c.name, quoted=True) for c in groups), *given).from_(bare)
    for column in groups:
        query = query.group_by(exp.column(column.name, quoted=True))
    return query, [*groups, *(Column(n.lower(), "") for n in names)]


def _cell(aggregate: exp.Expr, by: str, value: exp.Expr) -> exp.Expr:
    """The aggregate over the rows of one value."""
    found = (aggregate.this if isinstance(aggregate, exp.Alias) else aggregate).copy()
    inner = found.this
    counted = exp.Literal.number(1) if isinstance(inner, exp.Star) or inner is None else inner.copy()
    found.set("this", exp.Case(ifs=[exp.If(this=exp.EQ(this=exp.column(by, quoted=True), expression=value.copy()), true=counted)]))
    return found


def _melted(pivot: exp.Pivot, bare: exp.Expr, source: Source) -> tuple[exp.Expr, list[Column]]:
    (field,) = pivot.args["fields"]
    value, name = folded(pivot.expressions[0]), folded(field.this)
    taken = [(folded((v.this if isinstance(v, exp.PivotAlias) else v).this), _shown(v)) for v in field.expressions]
    rest = [c for c in source.columns or () if c.name not in {column for column, _ in taken}]
    queries = []
    for column, shown in taken:
        cell = exp.column(column, quoted=True)
        query = exp.select(
            *(exp.column(c.name, quoted=True) for c in rest),
            exp.alias_(exp.cast(exp.Literal.string(shown), "VARCHAR"), name, quoted=True), exp.alias_(cell, value, quoted=True),
        ).from_(bare.copy())  # fmt: skip
        queries.append(query if pivot.args.get("include_nulls") else query.where(exp.Not(this=exp.Is(this=cell.copy(), expression=exp.Null()))))
    found: exp.Expr = queries[0]
    for query in queries[1:]:
        found = exp.union(found, query, distinct=False)
    return found, [*rest, Column(name, "text"), Column(value, "")]


def _shown(value: exp.Expr) -> str:
    """What the name column holds for an unpivoted column: its alias, else its name."""
    if isinstance(value, exp.PivotAlias):
        alias = value.args["alias"]
        return str(alias.this if isinstance(alias, exp.Literal | exp.Identifier) else alias.name)
    return folded(value.this)
