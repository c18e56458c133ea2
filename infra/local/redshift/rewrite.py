"""One statement of Redshift's as PostgreSQL's. What cannot be done is refused by name; nothing passes with another meaning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from penstock.infra.local.errors import NotLocalError, SqlError

from .catalog import Catalog
from .expressions import Renderer, Settings
from .leader import as_there
from .procedures import function, procedure
from .queries import needs_tree, ranges
from .refusals import refuse
from .structures import External, restructured
from .tables import TableMaker, altered
from .tokens import closing, find, tokenize

_SIZED = ("MAX", "MIN", "SUM", "AVG", "ABS", "NVL", "COALESCE", "CASE", "NULLIF", "+", "-", "*", "/")  # decimals that PostgreSQL gives any number of digits
_EXTERNAL_CHANGES = ("CREATE", "ALTER", "DROP")
_OWN_SETTINGS = frozenset((
    "query_group", "wlm_query_slot_count", "enable_result_cache_for_session", "enable_case_sensitive_identifier", "enable_case_sensitive_super_attribute",
    "enable_vacuum_boost", "describe_field_name_in_uppercase", "downcase_delimited_identifier", "error_on_nondeterministic_update",
    "mv_enable_aqmv_for_session", "navigate_super_null_on_error", "parse_super_null_on_error", "cast_super_null_on_error", "json_serialization_enable",
    "json_serialization_parse_nested_strings", "spectrum_enable_pseudo_columns", "spectrum_query_maxerror", "activate_aqua", "use_fips_ssl", "auto_analyze",
    "analyze_threshold_percent", "enable_numeric_rounding", "default_geometry_encoding", "stored_proc_log_min_messages", "max_concurrency_scaling_clusters",
    "max_cursor_result_set_size",
))  # fmt: skip
_SHOWN_BY_VIEWS = (
    "TABLES", "COLUMNS", "SCHEMAS", "DATABASES", "TABLE", "VIEW", "PROCEDURE", "EXTERNAL", "GRANTS", "PARAMETERS", "FUNCTIONS", "PROCEDURES",
)  # fmt: skip


@dataclass(frozen=True)
class Rewritten:
    """`after` is run when the statement is done, `tag` is what a client is told of it; `is_lasting`: the same text gives the same whatever the catalog is."""

    sql: str
    after: tuple[str, ...] = ()
    tag: str = ""
    is_lasting: bool = True
    changes_registry: bool = False


def literal(text: str) -> str:
    quoted = text.replace("'", "''")
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in text else f"'{quoted}'"


class Rewriter:
    """The rewriting for one session."""

    def __init__(self, catalog: Catalog, settings: Settings, external: External) -> None:
        self._catalog, self._settings, self._external_tables = catalog, settings, external

    def statement(self, sql: str) -> Rewritten:
        """Raises SqlError for what Redshift would refuse, NotLocalError for what only this stand-in lacks."""
        tokens = tokenize(sql)
        if not tokens:
            return Rewritten(sql)
        refuse(tokens)
        words = [t.word for t in tokens]
        handler = self._handler(words)
        if handler:
            return handler(sql, words)
        return self._generic(sql)

    def text(self, sql: str) -> str:
        """A statement within another one: a procedure's, a function's, or a text that is executed."""
        return self.statement(sql).sql

    def _handler(self, words: Sequence[str]) -> Callable[[str, Sequence[str]], Rewritten] | None:
        first = words[0]
        if first == "CREATE":
            return self._create
        return {
            "COPY": self._copy, "UNLOAD": self._unload, "ALTER": self._alter, "DROP": self._drop, "TRUNCATE": self._truncate, "VACUUM": self._vacuum,
            "ANALYZE": self._analyze, "SET": self._set, "RESET": self._reset, "SHOW": self._show, "LOCK": self._lock, "MERGE": self._merge,
            "CANCEL": self._cancel, "DELETE": self._delete, "GRANT": self._grant, "REVOKE": self._grant, "INSERT": self._insert, "REFRESH": self._refresh,
            "USE": self._use,
        }.get(first)  # fmt: skip

    def _render(self, sql: str) -> str:
        return Renderer(sql, self._settings).render()

    def _generic(self, sql: str) -> Rewritten:
        """A statement with queries in it: first the structures that need a tree, then the tokens."""
        sql = as_there(sql, tokenize(sql))
        tokens, lasting, text = tokenize(sql), True, sql
        for first, last in reversed(ranges(tokens)):
            start, end = tokens[first].start, tokens[last - 1].end
            if needs_tree(tokens[first:last], self._catalog):
                text = text[:start] + restructured(sql[start:end], self._catalog, self._external_tables) + text[end:]
                lasting = False
        if any(t.word == "PG_LAST_QUERY_ID" for t in tokens):
            lasting = False
        return Rewritten(self._render(text), is_lasting=lasting)

    # data in and out

    def _copy(self, sql: str, _words: Sequence[str]) -> Rewritten:
        r = Renderer(sql, self._settings)
        name, _, _ = TableMaker(r).table(1)
        return Rewritten(f"CALL rsi.copy({literal(sql)}, {literal(name)})", tag="COPY")

    def _unload(self, sql: str, _words: Sequence[str]) -> Rewritten:
        return Rewritten(f"CALL rsi.unload({literal(sql)})", tag="UNLOAD")

    def _external(self, sql: str, tag: str) -> Rewritten:
        return Rewritten(f"CALL rsi.external({literal(sql)})", tag=tag, changes_registry=True)

    def _is_external(self, sql: str) -> bool:
        """Whether a statement names an external schema first."""
        tokens = tokenize(sql)
        names = [t.name for i, t in enumerate(tokens) if t.is_name and i + 1 < len(tokens) and tokens[i + 1].text == "."]
        return bool(names) and names[0] in self._catalog.external_schemas

    # definitions

    def _create(self, sql: str, words: Sequence[str]) -> Rewritten:
        kinds = [w for w in words[1:5] if w not in ("OR", "REPLACE", "TEMP", "TEMPORARY", "LOCAL")]
        match kinds[0]:
            case "EXTERNAL":
                return self._external(sql, f"CREATE EXTERNAL {kinds[1]}")
            case "TABLE":
                return self._create_table(sql)
            case "VIEW" | "MATERIALIZED":
                return self._create_view(sql, words)
            case "PROCEDURE":
                return Rewritten(procedure(sql, self._settings, self.text), is_lasting=False)
            case "FUNCTION":
                return Rewritten(function(sql, self._settings, self.text), is_lasting=False)
            case "USER" | "GROUP":
                return self._create_user(sql, words)
            case "SCHEMA":
                return self._create_schema(sql, words)
        return self._generic(sql)

    def _create_table(self, sql: str) -> Rewritten:
        tokens = tokenize(sql)
        found, lasting = sql, True
        for first, last in reversed(ranges(tokens)):
            start, end = tokens[first].start, tokens[last - 1].end
            if needs_tree(tokens[first:last], self._catalog) or any(t.word in _SIZED for t in tokens[first:last]):
                query = restructured(sql[start:end], self._catalog, self._external_tables, makes_table=True)
                found, lasting = found[:start] + query + found[end:], False
        return Rewritten(TableMaker(Renderer(found, self._settings)).create(), is_lasting=lasting)

    def _create_view(self, sql: str, words: Sequence[str]) -> Rewritten:
        tokens = tokenize(sql)
        if words[-4:] == ["WITH", "NO", "SCHEMA", "BINDING"]:
            return self._external(sql, "CREATE VIEW")
        start = next(i for i in range(len(words)) if words[i] == "VIEW") + 1
        if words[start : start + 3] == ["IF", "NOT", "EXISTS"]:
            raise SqlError("42601", 'syntax error at or near "IF"')
        at = find(tokens, ["AS"], start)
        if at < 0:
            raise SqlError("42601", "CREATE VIEW needs AS SELECT")
        named = next((i for i in range(start, at) if words[i] in ("BACKUP", "AUTO", "DISTSTYLE", "DISTKEY", "SORTKEY", "COMPOUND", "INTERLEAVED")), at)
        head = self._render(sql[: tokens[named - 1].end])
        query, maker = self._generic(sql[tokens[at + 1].start :]), TableMaker(Renderer(sql, self._settings))
        maker.laid_out(named, at)
        return Rewritten(f"{head} AS {query.sql.rstrip(';')}{maker.layout.mark(maker.table(start)[0])}", is_lasting=query.is_lasting)

    def _create_user(self, sql: str, words: Sequence[str]) -> Rewritten:
        r = Renderer(sql, self._settings)
        kind = "ROLE" if words[1] == "GROUP" else "USER"
        skipped = {"CREATEUSER": "SUPERUSER", "NOCREATEUSER": "NOSUPERUSER"}
        rest = []
        i = 3
        while i < len(words):
            if words[i] == "PASSWORD" and words[i + 1] == "DISABLE":
                i += 2
            elif words[i] in ("SYSLOG", "SESSION", "EXTERNALID"):
                i += 3 if words[i] == "SESSION" else 2
            else:
                rest.append(skipped.get(words[i], r.tokens[i].text))
                i += 1
        return Rewritten(" ".join(["CREATE", kind, r.name(2), *rest]), tag=f"CREATE {words[1]}")

    def _create_schema(self, sql: str, words: Sequence[str]) -> Rewritten:
        tokens = tokenize(sql)
        quota = next((i for i in range(len(words)) if words[i] == "QUOTA"), len(words))
        return Rewritten(self._render(sql[: tokens[quota - 1].end]), changes_registry=True)

    def _alter(self, sql: str, words: Sequence[str]) -> Rewritten:
        if words[1:2] == ["EXTERNAL"] or (words[1] == "TABLE" and self._is_external(sql)):
            return self._external(sql, "ALTER TABLE")
        if words[1] == "TABLE":
            if "APPEND" in words and any(w in words for w in ("FROM",)):
                return Rewritten(altered(Renderer(sql, self._settings)), after=("COMMIT",), tag="ALTER TABLE APPEND")
            renamed = "RENAME" in words or "SCHEMA" in words
            return Rewritten(altered(Renderer(sql, self._settings)), tag="ALTER TABLE", changes_registry=renamed)
        if words[1] == "MATERIALIZED":
            return Rewritten("SELECT 1 WHERE FALSE", tag="ALTER MATERIALIZED VIEW")
        if words[1] == "GROUP":
            return Rewritten(self._render(sql), tag="ALTER GROUP")
        return self._generic(sql)

    def _drop(self, sql: str, words: Sequence[str]) -> Rewritten:
        if words[1] in ("TABLE", "VIEW", "SCHEMA") and (self._names_external(sql) or "EXTERNAL" in words):
            return self._external(sql, f"DROP {words[1]}")
        if words[1] == "GROUP":
            return Rewritten(self._render(sql).replace("GROUP", "ROLE", 1).replace("group", "ROLE", 1), tag="DROP GROUP")
        return replace(self._generic(sql), changes_registry=words[1] in ("SCHEMA", "VIEW"))

    def _names_external(self, sql: str) -> bool:
        """Whether what is dropped is an external schema or table."""
        tokens = [t for t in tokenize(sql)[2:] if t.word not in ("IF", "EXISTS", "CASCADE", "RESTRICT")]
        names = "".join(t.name if t.is_name else t.text for t in tokens).split(",")
        return any(n.split(".")[0] in self._catalog.external_schemas for n in names)

    # changes

    def _truncate(self, sql: str, words: Sequence[str]) -> Rewritten:
        rest = self._render(sql[tokenize(sql)[1 + (words[1] == "TABLE")].start :])
        return Rewritten(f"TRUNCATE {rest}", after=("COMMIT",), tag="TRUNCATE TABLE")

    def _delete(self, sql: str, words: Sequence[str]) -> Rewritten:
        if words[1] == "FROM":
            return self._generic(sql)
        return self._generic(f"DELETE FROM {sql[tokenize(sql)[1].start :]}")

    def _insert(self, sql: str, words: Sequence[str]) -> Rewritten:
        if self._is_external(sql[: sql.upper().index("SELECT")] if "SELECT" in words else sql) and "SELECT" in words:
            return self._external(sql, "INSERT")
        return self._generic(sql)

    def _merge(self, sql: str, words: Sequence[str]) -> Rewritten:
        if words[-2:] != ["REMOVE", "DUPLICATES"]:
            return self._generic(sql)
        r = Renderer(sql, self._settings)
        target, at, _ = TableMaker(r).table(2)
        source_end = find(r.tokens, ["ON"], at)
        source, condition = r.render(at + 1, source_end), r.render(source_end + 1, len(r.tokens) - 2)
        named, _, _ = TableMaker(r).table(at + 1)
        return Rewritten(
            f"WITH gone AS (DELETE FROM {target} USING {source} WHERE {condition} RETURNING 1), counted AS (SELECT count(*) FROM gone) "
            f"INSERT INTO {target} SELECT DISTINCT * FROM {named} WHERE (SELECT count FROM counted) >= 0", tag="MERGE",
        )  # fmt: skip

    # the session and the rest

    def _vacuum(self, sql: str, words: Sequence[str]) -> Rewritten:
        r = Renderer(sql, self._settings)
        at = next((i for i in range(1, len(words)) if words[i] not in ("FULL", "SORT", "DELETE", "ONLY", "REINDEX", "RECLUSTER")), len(words))
        if at >= len(words) or words[at] == ";":
            return Rewritten("VACUUM", tag="VACUUM")
        name, _, _ = TableMaker(r).table(at)
        return Rewritten(f"VACUUM {name}", tag="VACUUM")

    def _analyze(self, sql: str, words: Sequence[str]) -> Rewritten:
        if words[1:2] == ["COMPRESSION"]:
            raise NotLocalError("ANALYZE COMPRESSION")
        r = Renderer(sql, self._settings)
        at = 1 + (words[1:2] == ["VERBOSE"])
        if at >= len(words):
            return Rewritten("ANALYZE", tag="ANALYZE")
        name, end, _ = TableMaker(r).table(at)
        listed = r.render(end, closing(r.tokens, end) + 1) if r.text(end) == "(" else ""
        return Rewritten(f"ANALYZE {name} {listed}".strip(), tag="ANALYZE")

    def _set(self, sql: str, words: Sequence[str]) -> Rewritten:
        tokens = tokenize(sql)
        at = 2 if words[1] in ("SESSION", "LOCAL") and words[2] not in ("AUTHORIZATION", "CHARACTERISTICS", "TO", "=") else 1
        name = tokens[at].name
        if name in _OWN_SETTINGS:
            value = "'default'" if words[at + 2] == "DEFAULT" else self._render(sql[tokens[at + 2].start :])
            return Rewritten(f"SET {'LOCAL ' if words[1] == 'LOCAL' else ''}rsi.{name} = {value}", tag="SET")
        return Rewritten(self._render(sql))

    def _reset(self, sql: str, _words: Sequence[str]) -> Rewritten:
        name = tokenize(sql)[1].name
        return Rewritten(f"SET rsi.{name} TO ''", tag="RESET") if name in _OWN_SETTINGS else Rewritten(self._render(sql))

    def _show(self, sql: str, words: Sequence[str]) -> Rewritten:
        name = tokenize(sql)[1].name
        if name in _OWN_SETTINGS:
            return Rewritten(f"SELECT coalesce(nullif(current_setting('rsi.{name}', TRUE), ''), 'default') AS {name}", tag="SHOW")
        if words[1] in _SHOWN_BY_VIEWS:
            raise NotLocalError(f"SHOW {words[1]}; its views SVV_… are here")
        return Rewritten(self._render(sql))

    def _lock(self, sql: str, words: Sequence[str]) -> Rewritten:
        rest = self._render(sql[tokenize(sql)[1 + (words[1] == "TABLE")].start :]).rstrip(";")
        lock = f"LOCK TABLE {rest}"
        return Rewritten(lock if self._settings.in_block else f"DO $rs$ BEGIN {lock}; END $rs$", tag="LOCK TABLE", is_lasting=False)

    def _cancel(self, sql: str, words: Sequence[str]) -> Rewritten:
        return Rewritten(f"SELECT pg_cancel_backend({int(words[1] or tokenize(sql)[1].text)})", tag="CANCEL")

    def _grant(self, sql: str, words: Sequence[str]) -> Rewritten:
        tokens = tokenize(sql)
        kept = [t for i, t in enumerate(tokens) if not (t.word in ("GROUP", "ROLE") and i and tokens[i - 1].word in ("TO", "FROM", ","))]
        if "ASSUMEROLE" in words or "MODEL" in words or "DATASHARE" in words:
            raise NotLocalError(f"{words[0]} of that kind")
        text = " ".join(t.text for t in kept if t.word != "ROLE" or t is not tokens[1])
        return Rewritten(self._render(text))

    def _refresh(self, sql: str, _words: Sequence[str]) -> Rewritten:
        kept = [t.text for t in tokenize(sql) if t.word not in ("RESTRICT", "CASCADE")]
        return Rewritten(self._render(" ".join(kept)), tag="REFRESH")

    def _use(self, _sql: str, _words: Sequence[str]) -> Rewritten:
        raise NotLocalError("USE of another database")
