"""SUPER: navigation `t.s.a[2].b`, and arrays as items of FROM."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from penstock.infra.local.errors import NotLocalError

from .catalog import Column
from .scopes import Scope, Source, folded, parts

_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_NUMERIC = (exp.Sum, exp.Avg, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Neg, exp.Round, exp.Abs)
_TEXTUAL = (exp.Upper, exp.Lower, exp.DPipe, exp.Concat, exp.Like, exp.ILike, exp.Length, exp.Trim, exp.Substring)
_CASTS = {"numeric": "DECIMAL(38, 10)", "text": "VARCHAR", "character varying": "VARCHAR", "character": "VARCHAR"}


def unnested(item: exp.Expr, scope: Scope) -> Source:
    """An array, or an object by UNPIVOT, as an item of FROM: reworked into a call, and what it gives."""
    function, node, alias, index = _item(item)
    base, path = _found(node, scope)
    if base is None:
        raise NotLocalError(f"this item of FROM: {item.sql('redshift')}")
    call = exp.Anonymous(this=f"rsi.{function}", expressions=[_within(base, path)])
    columns = [exp.to_identifier(alias), exp.to_identifier(index)]
    item.replace(exp.Table(this=call, alias=exp.TableAlias(this=exp.to_identifier(alias), columns=columns)))
    return Source(alias, [Column(alias, "jsonb"), Column(index, "bigint" if function == "unnested" else "text")])


def _item(item: exp.Expr) -> tuple[str, exp.Expr, str, str]:
    """(function, what is unnested, alias, name of the index or of the attribute)."""
    if isinstance(item, exp.Unnest):
        alias = item.args.get("alias")
        columns = alias.columns if alias else ()
        return "unnested", item.expressions[0], folded(columns[0]) if columns else folded(item.expressions[0].this), "rs_index"
    function = "unpivoted" if isinstance(item, exp.Pivot) else "unnested"
    inner = item.this if isinstance(item, exp.Pivot) else item
    if isinstance(inner, exp.AtIndex):
        named = inner.this
        return function, named.this if isinstance(named, exp.Alias) else named, named.alias_or_name.lower(), folded(inner.expression)
    if isinstance(inner, exp.Alias):
        return function, inner.this, folded(inner.args["alias"]), "rs_index"
    raise NotLocalError(f"this item of FROM: {item.sql('redshift')}")


def _chain(node: exp.Expr) -> tuple[list[str], list[str]] | None:
    """(dotted names, path behind the first bracket) of a reference; None for anything else."""
    if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
        return parts(node), []
    if isinstance(node, exp.Dot | exp.Bracket) and (before := _chain(node.this)):
        steps = [folded(node.expression)] if isinstance(node, exp.Dot) else [_index(e) for e in node.expressions]
        return before[0], [*before[1], *steps]
    return None


def _index(node: exp.Expr) -> str:
    if isinstance(node, exp.Literal):
        return str(node.this)
    raise NotLocalError("SUPER by a computed index")


def _resolved(names: Sequence[str], scope: Scope) -> tuple[exp.Column, list[str], str] | None:
    """(column, the rest of the names, its type) that dotted names mean."""
    if len(names) > 1 and (source := scope.source(names[0])):
        if source.columns is None or any(c.name == names[1] for c in source.columns):
            return exp.column(names[1], names[0]), list(names[2:]), scope.kind(names[0], names[1])
        if any(c.name == source.alias and c.type == "jsonb" for c in source.columns):
            return exp.column(source.alias, source.alias), list(names[1:]), "jsonb"
    if scope.kind("", names[0]) == "jsonb":
        return exp.column(names[0]), list(names[1:]), "jsonb"
    if len(names) > 2 and scope.source(names[1]):
        return _resolved(names[1:], scope)
    return None


def _found(node: exp.Expr, scope: Scope) -> tuple[exp.Expr | None, list[str]]:
    """(the SUPER column, the path within) of a reference; (None, …) where it is no SUPER."""
    chain = _chain(node)
    if chain is None:
        return None, []
    names, path = chain
    found = _resolved(names, scope)
    if found is None:
        return (exp.column(names[-1], *names[-2:-1]), path) if path else (None, [])
    column, rest, kind = found
    if kind == "jsonb" or path:
        return column, [*rest, *path]
    return None, []


def _call(name: str, base: exp.Expr, path: Sequence[str]) -> exp.Expr:
    return exp.Anonymous(this=f"rsi.{name}", expressions=[base.copy(), *(exp.Literal.string(p) for p in path)])


def _within(base: exp.Expr, path: Sequence[str]) -> exp.Expr:
    return _call("within", base, path) if path else base.copy()


def navigated(select: exp.Select, scope: Scope) -> None:
    """Each reference into a SUPER as a call, read as what stands around it needs."""
    for node in [n for n in select.find_all(exp.Column, exp.Dot, exp.Bracket) if n.find_ancestor(exp.Select) is select]:
        if isinstance(node.parent, exp.Dot | exp.Bracket) and node.arg_key == "this":
            continue
        base, path = _found(node, scope)
        if base is None or (isinstance(node.parent, exp.Anonymous) and str(node.parent.this).startswith("rsi.")):
            continue
        _place(node, base, path, scope)


def _place(node: exp.Expr, base: exp.Expr, path: list[str], scope: Scope) -> None:
    around = node.parent
    if isinstance(around, exp.Cast | exp.TryCast) and around.to.sql("redshift").upper() != "SUPER":
        node.replace(_call("text_within", base, path))
    elif isinstance(around, _COMPARED):
        _compared(node, around, base, path, scope)
    elif isinstance(around, _NUMERIC):
        node.replace(_call("number_within", base, path))
    elif isinstance(around, _TEXTUAL):
        node.replace(_call("text_within", base, path))
    elif path:
        new = _within(base, path)
        node.replace(exp.alias_(new, path[-1], quoted=True) if around is not None and node.arg_key == "expressions" and isinstance(around, exp.Select) else new)


def _compared(node: exp.Expr, around: exp.Expr, base: exp.Expr, path: list[str], scope: Scope) -> None:
    """A literal beside a SUPER becomes one; a SUPER beside a column is read as the column's type."""
    other = around.args["expression" if node.arg_key == "this" else "this"]
    kind = scope.kind_of(other)
    if isinstance(other, exp.Literal | exp.Boolean):
        other.replace(
            exp.Anonymous(this="rsi.super_of", expressions=[exp.cast(other.copy(), "VARCHAR") if getattr(other, "is_string", False) else other.copy()])
        )
        node.replace(_within(base, path))
    elif kind and kind != "jsonb":
        name = kind.partition("(")[0]
        node.replace(exp.cast(_call("text_within", base, path), _CASTS.get(name, name), dialect="redshift"))
    elif path:
        node.replace(_within(base, path))
