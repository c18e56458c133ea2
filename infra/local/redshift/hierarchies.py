"""START WITH … CONNECT BY as a recursive query."""

from __future__ import annotations

from sqlglot import exp

from penstock.infra.local.errors import NotLocalError

from .scopes import folded

_TREE = "rs_tree"


def connected(select: exp.Select) -> None:
    """Rework a hierarchical query in place: its one table becomes the tree, each row with its LEVEL."""
    connect = select.args.get("connect")
    if connect is None:
        return
    start = select.args["from_"].this
    if select.args.get("joins") or not isinstance(start, exp.Table):
        raise NotLocalError("CONNECT BY over more than one table")
    alias = folded(start.args["alias"].this) if start.args.get("alias") else folded(start.this)
    table = start.copy()
    table.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    first = exp.select(exp.column("*", alias), exp.alias_(exp.Literal.number(1), "level")).from_(table.copy())
    first.set("expressions", [exp.Column(this=exp.Star(), table=exp.to_identifier(alias)), exp.alias_(exp.Literal.number(1), "level")])
    if connect.args.get("start"):
        first = first.where(connect.args["start"].copy())
    condition = connect.args["connect"].copy()
    holder = exp.Paren(this=condition)
    for prior in list(holder.find_all(exp.Prior)):
        prior.replace(exp.column(folded(prior.this.this), _TREE))
    for column in list(holder.find_all(exp.Column)):
        if not column.args.get("table"):
            column.set("table", exp.to_identifier(alias))
    next_level = exp.alias_(exp.Add(this=exp.column("level", _TREE), expression=exp.Literal.number(1)), "level")
    second = exp.Select(expressions=[exp.Column(this=exp.Star(), table=exp.to_identifier(alias)), next_level])
    second = second.from_(table.copy()).join(exp.to_table(_TREE), on=holder.this, join_type="inner")
    tree = exp.CTE(this=exp.union(first, second, distinct=False), alias=exp.TableAlias(this=exp.to_identifier(_TREE)))
    clause = select.args.get("with_")
    select.set("with_", exp.With(expressions=[*(clause.expressions if clause else ()), tree], recursive=True))
    select.set("connect", None)
    start.replace(exp.Table(this=exp.to_identifier(_TREE), alias=exp.TableAlias(this=exp.to_identifier(alias))))
