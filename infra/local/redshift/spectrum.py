"""External tables in a query: columns, filters and aggregates go down to the scan, a filtered table beside becomes a list of values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from .conversions import quoted
from .glue_tables import ExternalTable, pg_type
from .scans import duck_type
from .scopes import Scope, folded

_PLAIN = (exp.And, exp.Or, exp.Not, exp.Paren, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In, exp.Is, exp.Like, exp.Column,
          exp.Identifier, exp.Literal, exp.Null, exp.Boolean, exp.Cast, exp.DataType, exp.Neg, exp.DataTypeParam)  # fmt: skip
_COMPUTED = (*_PLAIN, exp.Add, exp.Sub, exp.Mul, exp.Case, exp.If, exp.Coalesce, exp.Star)
_LEAST_COUNT = 1001


@dataclass
class Scan:
    """One external table of a query, and what the query needs of it."""

    table: ExternalTable
    alias: str
    node: exp.Table
    filters: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    select: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    gives: list[tuple[str, str]] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)

    def call(self) -> str:
        """The call that stands for the table, as Redshift's text; the alias takes the columns' types."""
        told = {"database": self.table.database, "table": self.table.name, "columns": self.columns, "filters": self.filters, "select": self.select,
                "groups": self.groups, "gives": self.gives}  # fmt: skip
        text = json.dumps(told).replace("\\", "\\\\").replace("'", "''")
        values = f", OBJECT({', '.join(self.wanted)})" if self.wanted else ""
        typed = ", ".join(f"{quoted(n)} {t}" for n, t in self.gives)
        return f"rsi.scanned('{text}'::SUPER{values}) AS {quoted(self.alias)}({typed})"


def planned(select: exp.Select, scan: Scan, scope: Scope) -> None:
    """Decide what of a SELECT goes down to a scan; the SELECT is reworked where its aggregates do."""
    kinds = {n: pg_type(t) for n, t in (*scan.table.columns.items(), *scan.table.keys.items())}
    own = _Own(scan.alias, set(kinds), scope)
    conjuncts = list(_conjuncts(select)) if _may_filter(select, scan.node) else []
    pushed = [c for c in conjuncts if own.alone(c) and _is(c, _PLAIN)]
    scan.filters = [_duck(c) for c in pushed]
    scan.wanted = _values(conjuncts, own, scope, select)
    if _aggregated(select, scan, own, pushed, kinds):
        return
    used = sorted({folded(c.this) for c in own.columns(select)}) if not _has_star(select, scan.alias) else list(kinds)
    scan.columns = [n for n in kinds if n in used]
    scan.gives = [(n, kinds[n]) for n in scan.columns] or [("rs_none", "integer")]
    scan.select = [quoted(n) for n in scan.columns] or ["1"]


@dataclass
class _Own:
    """Which columns are the external table's."""

    alias: str
    names: set[str]
    scope: Scope

    def has(self, column: exp.Column) -> bool:
        table, name = folded(column.args.get("table")), folded(column.this)
        if table:
            return table == self.alias and name in self.names
        return name in self.names and not any(c.name == name for s in self.scope.sources if s.alias != self.alias for c in s.columns or ())

    def columns(self, node: exp.Expr) -> list[exp.Column]:
        return [c for c in node.find_all(exp.Column) if self.has(c)]

    def alone(self, node: exp.Expr) -> bool:
        """Whether all columns of an expression are the table's, of which there is one at least."""
        found = list(node.find_all(exp.Column))
        return bool(found) and all(self.has(c) for c in found)


def _is(node: exp.Expr, kinds: tuple[type[exp.Expr], ...]) -> bool:
    return all(isinstance(n, kinds) for n in node.walk())


def _duck(node: exp.Expr) -> str:
    """An expression over the table's own columns as DuckDB's."""
    copy = exp.Paren(this=node.copy())
    for column in copy.find_all(exp.Column):
        column.set("table", None)
        column.set("this", exp.to_identifier(folded(column.this), quoted=True))
    return str(copy.this.sql("duckdb"))


def _may_filter(select: exp.Select, node: exp.Expr) -> bool:
    """Whether a condition of the query may be put to the table's rows before they are joined."""
    sides = {str(j.side).upper() for j in select.args.get("joins") or ()}
    return sides <= {""} or (sides <= {"", "LEFT"} and select.args["from_"].this is node)


def _conjuncts(select: exp.Select) -> Iterator[exp.Expr]:
    where = select.args.get("where")
    conditions = [where.this] if where else []
    conditions += [j.args["on"] for j in select.args.get("joins") or () if j.args.get("on") is not None and not j.side]
    for condition in conditions:
        yield from condition.flatten() if isinstance(condition, exp.And) else (condition,)


def _has_star(select: exp.Select, alias: str) -> bool:
    return any(
        isinstance(e, exp.Star) or (isinstance(e, exp.Column) and isinstance(e.this, exp.Star) and folded(e.args.get("table")) in ("", alias))
        for e in select.expressions
    )


def _values(conjuncts: Sequence[exp.Expr], own: _Own, scope: Scope, select: exp.Select) -> list[str]:
    """`'column', (values of the joined column)` for each equality with a column of a local table that is filtered itself."""
    found = []
    tables = {folded(t.args["alias"].this) if t.args.get("alias") else folded(t.this): t for t in _local_tables(select)}
    for condition in conjuncts:
        pair = _equated(condition, own)
        if pair is None:
            continue
        mine, other = pair
        alias = folded(other.args.get("table")) or next(
            (s.alias for s in scope.sources if s.alias != own.alias and any(c.name == folded(other.this) for c in s.columns or ())), ""
        )
        if alias not in tables:
            continue
        theirs = _Own(alias, {c.name for s in scope.sources if s.alias == alias for c in s.columns or ()}, scope)
        filters = [c.copy() for c in conjuncts if theirs.alone(c) and not c.find(exp.Select)]
        if not filters:
            continue
        inner = exp.select(other.copy()).distinct().from_(tables[alias].copy()).where(*filters).limit(_LEAST_COUNT)
        name = other.name.lower()
        found += [f"'{folded(mine.this)}'", f"(SELECT rsi.listed(v.{quoted(name)}) FROM ({inner.sql('redshift')}) v)"]
    return found


def _local_tables(select: exp.Select) -> list[exp.Table]:
    start = select.args.get("from_")
    nodes = [start.this] if start else []
    nodes += [j.this for j in select.args.get("joins") or ()]
    return [n for n in nodes if isinstance(n, exp.Table) and isinstance(n.this, exp.Identifier) and not n.name.startswith("rs_scan_")]


def _equated(condition: exp.Expr, own: _Own) -> tuple[exp.Column, exp.Column] | None:
    if not isinstance(condition, exp.EQ) or not isinstance(condition.this, exp.Column) or not isinstance(condition.expression, exp.Column):
        return None
    a, b = condition.this, condition.expression
    if own.has(a) == own.has(b):
        return None
    return (a, b) if own.has(a) else (b, a)


def _aggregated(select: exp.Select, scan: Scan, own: _Own, pushed: Sequence[exp.Expr], kinds: dict[str, str]) -> bool:
    """Aggregate before the joins: partial results by all columns that the rest of the query needs, put together after them."""
    aggregates = [a for a in select.find_all(exp.AggFunc) if a.find_ancestor(exp.Select) is select]
    blocked = select.find(exp.Window) or select.args.get("distinct") or select.args.get("qualify") or len(list(select.find_all(exp.Select))) > 1
    if not aggregates or blocked or not _may_filter(select, scan.node) or any(j.side for j in select.args.get("joins") or ()):
        return False
    if not all(_partial_kind(a, own) for a in aggregates):
        return False
    inside = {id(c) for a in aggregates for c in a.find_all(exp.Column)} | {id(c) for p in pushed for c in p.find_all(exp.Column)}
    groups = sorted({folded(c.this) for c in own.columns(select) if id(c) not in inside})
    taken = sorted({folded(c.this) for a in aggregates for c in own.columns(a)})
    partials: dict[str, tuple[str, str]] = {}
    for aggregate in aggregates:
        _reworked(aggregate, own, partials)
    for condition in pushed:
        condition.replace(exp.true())
    filtered = {folded(c.this) for p in pushed for c in p.find_all(exp.Column)}
    scan.columns = [n for n in kinds if n in {*groups, *taken, *filtered}]
    scan.groups = [quoted(g) for g in groups]
    scan.select = [*scan.groups, *(f"CAST({text} AS {duck_type(kind)}) AS {name}" for text, (name, kind) in partials.items())]
    scan.gives = [*((g, kinds[g]) for g in groups), *partials.values()]
    return True


def _partial_kind(aggregate: exp.AggFunc, own: _Own) -> str:
    """The type of an aggregate's partial results; empty where it cannot be put together from them."""
    inner = aggregate.this
    if isinstance(aggregate, exp.Count):
        is_plain = isinstance(inner, exp.Star) or inner is None or (own.alone(inner) and _is(inner, _COMPUTED))
        return "bigint" if is_plain and not aggregate.expressions else ""
    if not isinstance(aggregate, exp.Sum | exp.Min | exp.Max) or isinstance(inner, exp.Distinct) or not own.alone(inner) or not _is(inner, _COMPUTED):
        return ""
    return own.scope.kind_of(aggregate)


def _reworked(aggregate: exp.AggFunc, own: _Own, partials: dict[str, tuple[str, str]]) -> None:
    """An aggregate over rows as one over partial results."""
    kind = _partial_kind(aggregate, own)
    text = "count(*)" if aggregate.this is None or isinstance(aggregate.this, exp.Star) else f"{aggregate.key}({_duck(aggregate.this)})"
    name, _ = partials.setdefault(text, (f"rs_part_{len(partials)}", kind))
    column = exp.column(name, own.alias)
    new: exp.Expr = (
        exp.Coalesce(this=exp.Sum(this=column), expressions=[exp.Literal.number(0)]) if isinstance(aggregate, exp.Count) else type(aggregate)(this=column)
    )
    if isinstance(aggregate.parent, exp.Select) and aggregate.arg_key == "expressions":
        new = exp.alias_(new, aggregate.key)
    aggregate.replace(new)
