"""Redshift's SQL as text: built here, quoted here, nowhere else. Pure, and held by snapshots."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from typing import Any

from penstock.schema import Column, Columns, quote

SCHEMA = "penstock"
PARQUET = "FORMAT AS PARQUET"
LEDGER_FORMAT = 1
CLAIM_FAILED = "penstock: the ledger of"


def literal(text: str) -> str:
    """A text as Redshift reads it: a backslash escapes within it, whatever the standard says."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def listed(columns: Iterable[str], of: str = "") -> str:
    """Names of columns, quoted, each as one `of` (`s.`) a table."""
    return ", ".join(f"{of}{quote(c)}" for c in columns)


@dataclass(frozen=True)
class Layout:
    """How a table lies on the cluster: none of it changes a result. `encode` is the compression of columns."""

    diststyle: str = ""
    distkey: str = ""
    sort_by: tuple[str, ...] = ()
    encode: Mapping[str, str] = field(default_factory=dict)

    @property
    def clauses(self) -> str:
        """What stands behind the columns of CREATE TABLE."""
        dist = f" DISTSTYLE KEY DISTKEY ({quote(self.distkey)})" if self.distkey else f" DISTSTYLE {self.diststyle.upper()}" if self.diststyle else ""
        return dist + (f" COMPOUND SORTKEY ({listed(self.sort_by)})" if self.sort_by else "")


@dataclass(frozen=True)
class Target:
    """A table of Redshift as declared. `partition_by`: the columns by which `overwrite_partitions` replaces rows; `history`: those of when a version of a row
    began and ended, of a table that keeps all versions of a key.
    """

    schema: str
    table: str
    columns: Columns
    keys: tuple[str, ...] = ()
    layout: Layout = Layout()
    partition_by: tuple[str, ...] = ()
    history: tuple[str, str] | None = None

    @property
    def row_keys(self) -> tuple[str, ...]:
        """What one row has alone."""
        return (*self.keys, self.history[0]) if self.history else self.keys

    @property
    def name(self) -> str:
        return f"{quote(self.schema)}.{quote(self.table)}"


@dataclass(frozen=True)
class StagedFile:
    """A file on S3 to be loaded; its `rows` where they are known."""

    url: str
    bytes: int
    rows: int | None = None


def setup() -> list[str]:
    """Penstock's own schema: the ledger, and a claim that raises, because the Data API cannot branch."""
    return [
        f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
        f"CREATE TABLE IF NOT EXISTS {SCHEMA}.ledger (step VARCHAR(512) NOT NULL, last BIGINT NOT NULL, format INTEGER NOT NULL)",
        f"CREATE TABLE IF NOT EXISTS {SCHEMA}.copied (step VARCHAR(512) NOT NULL, version BIGINT NOT NULL)",
        f"""CREATE OR REPLACE PROCEDURE {SCHEMA}.claim(step_name VARCHAR, expected BIGINT, next_batch BIGINT) AS $$
DECLARE
  hit INTEGER;
BEGIN
  UPDATE {SCHEMA}.ledger SET last = next_batch WHERE step = step_name AND last = expected;
  GET DIAGNOSTICS hit := ROW_COUNT;
  IF hit <> 1 THEN
    RAISE EXCEPTION '{CLAIM_FAILED} % is not at batch %', step_name, expected;
  END IF;
END;
$$ LANGUAGE plpgsql""",
    ]


def ledger_row(step: str, last: int) -> list[str]:
    """Make a step's row once; the lock keeps two first runs from making two."""
    missing = f"NOT EXISTS (SELECT 1 FROM {SCHEMA}.ledger WHERE step = {literal(step)})"
    return [f"LOCK {SCHEMA}.ledger", f"INSERT INTO {SCHEMA}.ledger SELECT {literal(step)}, {last}, {LEDGER_FORMAT} WHERE {missing}"]


def ledger_of(steps: Sequence[str]) -> str:
    """One row: the `last` batch and the `format` under any of the names, and whether the present name, the first, has a row of its `own`."""
    own = f"MAX(CASE WHEN step = {literal(steps[0])} THEN 1 ELSE 0 END)"
    return f"SELECT MAX(last) AS last, MAX(format) AS format, {own} AS own FROM {SCHEMA}.ledger WHERE step IN ({', '.join(map(literal, steps))})"


def forget(steps: Sequence[str]) -> list[str]:
    return [f"DELETE FROM {SCHEMA}.{table} WHERE step IN ({', '.join(map(literal, steps))})" for table in ("ledger", "copied")]


def copied(steps: Sequence[str]) -> str:
    """One row: the `version` of its source that a step's target was made equal to, or was appended up to; NULL before the first."""
    return f"SELECT MAX(version) AS version FROM {SCHEMA}.copied WHERE step IN ({', '.join(map(literal, steps))})"


def note_copied(steps: Sequence[str], version: int) -> list[str]:
    """Remember it, in the transaction that publishes."""
    return [forget(steps)[1], f"INSERT INTO {SCHEMA}.copied VALUES ({literal(steps[0])}, {version})"]


def claim(step: str, expected: int, batch: int) -> str:
    return f"CALL {SCHEMA}.claim({literal(step)}, {expected}, {batch})"


def definition(columns: Columns, keys: Sequence[str] = (), layout: Layout = Layout()) -> str:
    """Columns as DDL has them; keys are informational in Redshift, and said so."""
    parts = [_defined(c, layout) for c in columns]
    return ", ".join(parts + ([f"PRIMARY KEY ({listed(keys)})"] if keys else []))


def _defined(column: Column, layout: Layout) -> str:
    encode = f" ENCODE {layout.encode[column.name]}" if column.name in layout.encode else ""
    return f"{quote(column.name)} {column.type.redshift}{' NOT NULL' if column.required else ''}{encode}"


def create_table(target: Target) -> list[str]:
    columns = definition(target.columns, target.row_keys, target.layout)
    return [f"CREATE SCHEMA IF NOT EXISTS {quote(target.schema)}", f"CREATE TABLE IF NOT EXISTS {target.name} ({columns}){target.layout.clauses}"]


def add_column(target: Target, column: Column) -> str:
    return f"ALTER TABLE {target.name} ADD COLUMN {_defined(column, target.layout)}"


def widen_column(target: Target, column: Column) -> str:
    """The one change of a type that Redshift makes in place: a longer VARCHAR."""
    return f"ALTER TABLE {target.name} ALTER COLUMN {quote(column.name)} TYPE {column.type.redshift}"


def encode_column(target: Target, column: str) -> str:
    return f"ALTER TABLE {target.name} ALTER COLUMN {quote(column)} ENCODE {target.layout.encode[column]}"


def encodings(target: Target) -> str:
    """A row for each column: its `name` and how it is compressed, which for RAW is `none`."""
    named = f"schema_name = {literal(target.schema.lower())} AND table_name = {literal(target.table.lower())}"
    return f"SELECT column_name AS name, encoding FROM svv_redshift_columns WHERE {named}"


def stage_of(step: str, batch: int) -> str:
    """A permanent stage that bears the batch's name: a crash leaves it for the next run to replace."""
    return f"{SCHEMA}.{quote(_own('stage', step, batch))}"


def _own(kind: str, step: str, batch: int) -> str:
    """A table of Penstock's own. The hash keeps `a_b/c` from `a/b_c`; the cut keeps the name within the 63 bytes that PostgreSQL takes (Redshift: 127)."""
    readable = "".join(c if c.isascii() and c.isalnum() else "_" for c in step.lower())[:30]
    return f"{kind}_{readable}_{sha256(step.encode()).hexdigest()[:8]}_{batch}"


def iam(role: str) -> str:
    return "IAM_ROLE default" if role == "default" else f"IAM_ROLE {literal(role)}"


def stage(name: str, columns: Columns, manifest_url: str | None, role: str, clauses: str = PARQUET) -> list[str]:
    """A new stage with the rows of the manifest's files, or without any."""
    copied = [f"COPY {name} FROM {literal(manifest_url)} {iam(role)} {clauses} MANIFEST"] if manifest_url else []
    return [f"DROP TABLE IF EXISTS {name}", f"CREATE TABLE {name} ({definition(columns)})", *copied]


def manifest(files: Sequence[StagedFile]) -> bytes:
    """Each file once, all of them mandatory; Parquet needs the length."""
    by_url = {f.url: f for f in files}
    entries = [{"url": f.url, "mandatory": True, "meta": {"content_length": f.bytes}} for f in by_url.values()]
    return json.dumps({"entries": entries}, indent=1).encode()


def counted(stage_name: str, keys: Sequence[str]) -> str:
    """One row: `loaded` rows, and `doubled` keys among them."""
    doubled = f"(SELECT COUNT(*) FROM (SELECT {listed(keys)} FROM {stage_name} GROUP BY {listed(keys)} HAVING COUNT(*) > 1) d)" if keys else "0"
    return f"SELECT (SELECT COUNT(*) FROM {stage_name}) AS loaded, {doubled} AS doubled"


def compared(target: Target, step: str, batch: int) -> list[str]:
    """The last statement but one gives a table's columns and the declared ones as the catalog has them.

    The declared ones are those of a table made and dropped within the transaction, so that no type is compared by its spelling.
    """
    probe = _own("shape", step, batch)
    digits, scale = (f"CASE WHEN data_type = 'numeric' THEN numeric_{part} END" for part in ("precision", "scale"))
    shown = (
        f"table_schema = {literal(SCHEMA)} AS declared, column_name AS name, data_type AS type, {digits} AS digits, {scale} AS scale, "
        "character_maximum_length AS length"
    )
    there = f"(table_schema = {literal(target.schema.lower())} AND table_name = {literal(target.table.lower())})"
    declared = f"(table_schema = {literal(SCHEMA)} AND table_name = {literal(probe)})"
    return [
        f"CREATE TABLE {SCHEMA}.{quote(probe)} ({definition(target.columns)})",
        f"SELECT {shown} FROM information_schema.columns WHERE {there} OR {declared} ORDER BY ordinal_position",
        f"DROP TABLE {SCHEMA}.{quote(probe)}",
    ]


def shape(query: str, step: str, batch: int) -> list[str]:
    """The last statement but one gives a query's columns as the catalog has them: its rows are not made."""
    probe = _own("shape", step, batch)
    told = "column_name AS name, data_type AS type, numeric_precision AS digits, numeric_scale AS scale"
    return [
        f"CREATE TABLE {SCHEMA}.{quote(probe)} AS SELECT * FROM ({query}) q WHERE 1 = 0",
        f"SELECT {told} FROM information_schema.columns WHERE table_schema = {literal(SCHEMA)} AND table_name = {literal(probe)} ORDER BY ordinal_position",
        f"DROP TABLE {SCHEMA}.{quote(probe)}",
    ]


def load_errors(urls: Sequence[str]) -> str:
    """The first errors that loads of these files had, the newest load's first."""
    named = ", ".join(map(literal, list(urls)[:100]))
    columns = 'file_name AS file, line_number AS line, column_name AS "column", error_message AS reason, error_code AS code'
    return f"SELECT {columns} FROM sys_load_error_detail WHERE file_name IN ({named}) ORDER BY start_time DESC, line_number LIMIT 5"


SLICES = "SELECT COUNT(*) AS n FROM stv_slices"
LAST_COPY = "SELECT PG_LAST_COPY_ID() AS query"


def load_history(query: int) -> str:
    """Of a load that is done: `rows` loaded, `files` read, and `errors`, the rows that were rejected."""
    columns = "loaded_rows AS rows, source_file_count AS files, error_count AS errors"
    return f"SELECT {columns} FROM sys_load_history WHERE query_id = {query} AND status = 'completed'"


def rejected(query: int) -> str:
    """The rows that one load rejected."""
    reason = "'column ' || TRIM(NVL(column_name, '')) || ': ' || TRIM(NVL(error_message, ''))"
    columns = f"TRIM(file_name) AS file, line_number AS line, {reason} AS reason"
    return f"SELECT {columns} FROM sys_load_error_detail WHERE query_id = {query} ORDER BY file_name, line_number"


def quarantine_table(schema: str, name: str) -> list[str]:
    """The columns of a lake table's quarantine."""
    columns = "__step VARCHAR(512), __batch BIGINT, __position VARCHAR(2048), __reason VARCHAR(4096), __payload VARCHAR(65535)"
    return [f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}", f"CREATE TABLE IF NOT EXISTS {name} ({columns})"]


def released(name: str, steps: Sequence[str], batch: int | None = None) -> str:
    """What a step, or one batch of it, has in a quarantine goes."""
    return f"DELETE FROM {name} WHERE __step IN ({', '.join(map(literal, steps))}){'' if batch is None else f' AND __batch = {batch}'}"


def quarantine(name: str, step: str, batch: int, rows: Iterable[tuple[str, str, str | None]]) -> str:
    """Put rows, each a position, a reason and a payload, into a quarantine."""
    values = ", ".join(f"({literal(step)}, {batch}, {', '.join(map(constant, row))})" for row in rows)
    return f"INSERT INTO {name} (__step, __batch, __position, __reason, __payload) VALUES {values}"


def is_there(schema: str, table: str) -> str:
    """A row where there is such a table."""
    return f"SELECT 1 AS found FROM information_schema.tables WHERE table_schema = {literal(schema.lower())} AND table_name = {literal(table.lower())}"


def call(procedure: str, arguments: Sequence[Any]) -> str:
    return f"CALL {'.'.join(map(quote, procedure.split('.')))}({', '.join(map(constant, arguments))})"


def constant(value: Any) -> str:
    """A Python value as a SQL constant."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return str(value) if isinstance(value, int | float) else literal(str(value))


@dataclass(frozen=True)
class UnloadOptions:
    """How files of an unload are written; `max_file_mb` in 1024 * 1024 bytes."""

    format: str = "parquet"
    header: bool = False
    compression: str = ""
    partition_by: tuple[str, ...] = ()
    include: bool = False
    max_file_mb: int | None = None
    encrypted: bool = False

    @property
    def clauses(self) -> str:
        by = f" PARTITION BY ({listed(self.partition_by)}){' INCLUDE' if self.include else ''}" if self.partition_by else ""
        size = f"MAXFILESIZE {self.max_file_mb} MB" if self.max_file_mb else ""
        flags = ("HEADER" if self.header else "", self.compression.upper(), size, "ENCRYPTED AUTO" if self.encrypted else "")
        return f"FORMAT AS {self.format.upper()}{by}{''.join(f' {f}' for f in flags if f)}"


def unload(query: str, prefix: str, role: str, options: UnloadOptions = UnloadOptions()) -> str:
    """CLEANPATH clears this batch's own prefix, with PARTITION BY only the folders that receive files: what else lies there the caller removes."""
    return f"UNLOAD ({literal(query)}) TO {literal(prefix)} {iam(role)} {options.clauses} MANIFEST VERBOSE CLEANPATH"


def bound(sql: str, parameters: Mapping[str, Any]) -> str:
    """A text with `:name` replaced by constants; texts, comments and `::` casts are left alone. Raises KeyError for a name without a value."""
    from sqlglot import TokenType
    from sqlglot.dialects.redshift import Redshift

    tokens = Redshift().tokenize(sql)
    places = [
        (colon.start, word.end + 1, word.text)
        for colon, word in pairwise(tokens)
        if colon.token_type == TokenType.COLON and word.start == colon.end + 1 and word.text.isidentifier()
    ]
    for start, end, name in reversed(places):
        sql = sql[:start] + constant(parameters[name]) + sql[end:]
    return sql.strip().rstrip(";")
