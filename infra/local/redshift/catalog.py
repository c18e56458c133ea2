"""What the rewriting of a statement needs to know of the database: columns, external schemas, views that bind late."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Column:
    """A column and PostgreSQL's name of its type."""

    name: str
    type: str


class Catalog(Protocol):
    """The database as one session sees it."""

    def columns(self, table: str) -> Sequence[Column] | None:
        """The columns of a table or view; None where there is none of that name."""
        ...

    @property
    def external_schemas(self) -> Mapping[str, str]:
        """Schemas of external tables, and the databases of Glue that they show."""
        ...

    def late_view(self, schema: str, name: str) -> str | None:
        """The text of a view WITH NO SCHEMA BINDING; without a schema, of the one that the search path finds."""
        ...


Query = Callable[[str], Sequence[Sequence[Any]]]


@dataclass
class Registry:
    """External schemas and late views of one database, shared by its sessions; read again when a statement may have changed them."""

    external: dict[str, str] = field(default_factory=dict)
    views: dict[tuple[str, str], str] = field(default_factory=dict)
    is_stale: bool = True
    version: int = 0

    def changed(self) -> None:
        self.is_stale, self.version = True, self.version + 1

    def read(self, query: Query) -> None:
        self.external = {str(n): str(d) for n, d in query("SELECT name, database FROM rsi.external_schemas")}
        self.views = {(str(s), str(n)): str(t) for s, n, t in query("SELECT schema, name, text FROM rsi.late_views_now")}
        self.is_stale = False


class SessionCatalog:
    """The catalog by queries within a session."""

    def __init__(self, query: Query, registry: Registry) -> None:
        self._query, self._registry = query, registry

    def columns(self, table: str) -> Sequence[Column] | None:
        quoted = table.replace("'", "''")
        rows = self._query(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            f"WHERE attrelid = to_regclass('{quoted}') AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        )
        return [Column(str(n), str(t)) for n, t in rows] or None

    @property
    def external_schemas(self) -> Mapping[str, str]:
        self._fresh()
        return self._registry.external

    def late_view(self, schema: str, name: str) -> str | None:
        self._fresh()
        if schema or not any(n == name for _, n in self._registry.views):
            return self._registry.views.get((schema, name))
        quoted = name.replace("'", "''")
        found = self._query(f"SELECT text FROM rsi.late_views_now WHERE relation = to_regclass(quote_ident('{quoted}'))")
        return str(found[0][0]) if found else None

    def _fresh(self) -> None:
        if self._registry.is_stale:
            self._registry.read(self._query)


class NeedsColumns(Exception):
    """Raised within a statement under way: the columns of these tables are to be told first."""

    def __init__(self, table: str) -> None:
        super().__init__(table)
        self.table = table


class ToldCatalog:
    """The catalog of a text that is rewritten within a statement: PostgreSQL tells the columns that are asked for."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._known: Mapping[str, Sequence[Mapping[str, Any]] | None] = told.get("known") or {}
        self._schemas: Mapping[str, str] = told.get("schemas") or {}
        self._views: Mapping[str, str] = told.get("views") or {}

    def columns(self, table: str) -> Sequence[Column] | None:
        if table not in self._known:
            raise NeedsColumns(table)
        found = self._known[table]
        return [Column(str(c["name"]), str(c["type"])) for c in found] if found else None

    @property
    def external_schemas(self) -> Mapping[str, str]:
        return self._schemas

    def late_view(self, schema: str, name: str) -> str | None:
        return self._views.get(f"{schema}.{name}" if schema else name)
