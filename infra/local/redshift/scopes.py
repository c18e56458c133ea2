"""What a query may name: the items of its FROM, and their columns with types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from .catalog import Catalog, Column
from .kinds import kind_of

Ctes = Mapping[str, Sequence[Column] | None]


@dataclass
class Source:
    """An item of FROM; `columns` is None where nobody knows them."""

    alias: str
    columns: Sequence[Column] | None


@dataclass
class Scope:
    """The sources of one SELECT; names that they lack may be those of the query around it."""

    sources: list[Source] = field(default_factory=list)
    outer: Scope | None = None

    @property
    def is_known(self) -> bool:
        return all(s.columns is not None for s in self.sources)

    def source(self, alias: str) -> Source | None:
        found = next((s for s in self.sources if s.alias == alias), None)
        return found or (self.outer.source(alias) if self.outer else None)

    def has_column(self, name: str) -> bool:
        return any(c.name == name for s in self.sources for c in s.columns or ())

    def kind(self, table: str, name: str) -> str:
        """The type of a column, empty where it is not known."""
        for source in self.sources:
            if table in ("", source.alias):
                for column in source.columns or ():
                    if column.name == name:
                        return column.type
        return self.outer.kind(table, name) if self.outer else ""

    def kind_of(self, node: exp.Expr | None) -> str:
        return kind_of(node, lambda c: self.kind(folded(c.args.get("table")), folded(c.this)))


def folded(identifier: exp.Expr | None) -> str:
    """A name as the catalog has it."""
    return str(identifier.name).lower() if identifier is not None else ""


def parts(column: exp.Expr) -> list[str]:
    """The names of a dotted reference, first to last."""
    return [folded(column.args[k]) for k in ("catalog", "db", "table", "this") if column.args.get(k) is not None]


def items(select: exp.Select) -> Iterator[exp.Expr]:
    """The items of FROM and its joins, in order."""
    if start := select.args.get("from_"):
        yield start.this
    for join in select.args.get("joins") or ():
        yield join.this


def table_name(table: exp.Table) -> str:
    """`schema.table` as `to_regclass` takes it."""
    return ".".join(f'"{folded(p)}"' for p in (table.args.get("db"), table.this) if p is not None)


def base_columns(table: exp.Table, catalog: Catalog, ctes: Ctes) -> Sequence[Column] | None:
    defined = [c for c in table.args["alias"].columns if isinstance(c, exp.ColumnDef)] if table.args.get("alias") else []
    if defined:  # those of a function that gives records
        return [Column(folded(c.this), c.args["kind"].sql("postgres").lower()) for c in defined]
    name = folded(table.this)
    if not table.args.get("db") and name in ctes:
        return ctes[name]
    return catalog.columns(table_name(table))


def outputs(select: exp.Select, scope: Scope) -> Sequence[Column] | None:
    """The columns that a SELECT gives; None where a star stands for what nobody knows."""
    found: list[Column] = []
    for node in select.expressions:
        star = node if isinstance(node, exp.Star) else node.this if isinstance(node, exp.Column) and isinstance(node.this, exp.Star) else None
        if star is None:
            found.append(Column(node.alias_or_name.lower(), scope.kind_of(node.this if isinstance(node, exp.Alias) else node)))
            continue
        of = folded(node.args.get("table")) if isinstance(node, exp.Column) else ""
        for source in (s for s in scope.sources if of in ("", s.alias)):
            if source.columns is None:
                return None
            found += source.columns
    return found
