"""Redshift's SQL as text: built here, quoted here, nowhere else. Pure, and held by snapshots."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any

from penstock.errors import ArgumentError, choice
from penstock.schema import Columns, literal, names, quote

SCHEMA = "penstock"
LEDGER_FORMAT = 1
CLAIM_FAILED = "penstock: the ledger of"


@dataclass(frozen=True)
class Target:
    """A table of Redshift as declared."""

    schema: str
    table: str
    columns: Columns
    keys: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{quote(self.schema)}.{quote(self.table)}"


@dataclass(frozen=True)
class StagedFile:
    """A Parquet file on S3 to be loaded."""

    url: str
    bytes: int
    rows: int


def setup() -> list[str]:
    """Penstock's own schema: the ledger, and a claim that raises, because the Data API cannot branch."""
    return [
        f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
        f"CREATE TABLE IF NOT EXISTS {SCHEMA}.ledger (step VARCHAR(512) NOT NULL, last BIGINT NOT NULL, format INTEGER NOT NULL)",
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


def forget(steps: Iterable[str]) -> str:
    return f"DELETE FROM {SCHEMA}.ledger WHERE step IN ({', '.join(map(literal, steps))})"


def claim(step: str, expected: int, batch: int) -> str:
    return f"CALL {SCHEMA}.claim({literal(step)}, {expected}, {batch})"


def definition(columns: Columns, keys: Sequence[str] = ()) -> str:
    """Columns as DDL has them; keys are informational in Redshift, and said so."""
    parts = [f"{quote(c.name)} {c.type.redshift}{' NOT NULL' if c.required else ''}" for c in columns]
    return ", ".join(parts + ([f"PRIMARY KEY ({_listed(keys)})"] if keys else []))


def create_table(target: Target) -> list[str]:
    return [f"CREATE SCHEMA IF NOT EXISTS {quote(target.schema)}", f"CREATE TABLE IF NOT EXISTS {target.name} ({definition(target.columns, target.keys)})"]


def stage_of(step: str, batch: int) -> str:
    """A permanent stage that bears the batch's name: a crash leaves it for the next run to replace."""
    return f"{SCHEMA}.{quote(_own('stage', step, batch))}"


def _own(kind: str, step: str, batch: int) -> str:
    """A table of Penstock's own. The hash keeps `a_b/c` from `a/b_c`; the cut keeps the name within the 63 bytes that PostgreSQL takes (Redshift: 127)."""
    readable = "".join(c if c.isascii() and c.isalnum() else "_" for c in step.lower())[:30]
    return f"{kind}_{readable}_{sha256(step.encode()).hexdigest()[:8]}_{batch}"


def iam(role: str) -> str:
    return "IAM_ROLE default" if role == "default" else f"IAM_ROLE {literal(role)}"


def stage(name: str, columns: Columns, manifest_url: str | None, role: str) -> list[str]:
    """A new stage with the rows of the manifest's files, or without any."""
    copied = [f"COPY {name} FROM {literal(manifest_url)} {iam(role)} FORMAT AS PARQUET MANIFEST"] if manifest_url else []
    return [f"DROP TABLE IF EXISTS {name}", f"CREATE TABLE {name} ({definition(columns)})", *copied]


def manifest(files: Sequence[StagedFile]) -> bytes:
    """Each file once, all of them mandatory; Parquet needs the length."""
    by_url = {f.url: f for f in files}
    entries = [{"url": f.url, "mandatory": True, "meta": {"content_length": f.bytes}} for f in by_url.values()]
    return json.dumps({"entries": entries}, indent=1).encode()


def publish(target: Target, stage_name: str, write: str) -> list[str]:
    """The statements that bring a stage, a whole snapshot of its source, into the target. Never TRUNCATE: it commits.

    Raises ArgumentError for another `write` than overwrite or merge, and for a merge without keys.
    """
    if write not in ("overwrite", "merge"):
        raise ArgumentError(f"write {choice(write, ('overwrite', 'merge'))}: what is copied into {target.name} is a whole snapshot")
    if write == "merge" and not target.keys:
        raise ArgumentError(f"{target.name} has no keys; a merge needs them")
    columns = _listed(names(target.columns))
    if write == "overwrite":
        return [f"DELETE FROM {target.name}", f"INSERT INTO {target.name} ({columns}) SELECT {columns} FROM {stage_name}"]
    keys = _listed(target.keys)
    same = " AND ".join(f"{target.name}.{quote(k)} = s.{quote(k)}" for k in target.keys)
    equal = " AND ".join(
        f"({target.name}.{quote(c)} = s.{quote(c)} OR ({target.name}.{quote(c)} IS NULL AND s.{quote(c)} IS NULL))" for c in names(target.columns)
    )
    missing = " AND ".join(f"s.{quote(k)} = t.{quote(k)}" for k in target.keys)
    listed = ", ".join(f"s.{quote(c)}" for c in names(target.columns))
    return [
        # keys are not enforced: rows of a key that somebody else doubled go as well, and come back once
        f"DELETE FROM {target.name} WHERE ({keys}) IN (SELECT {keys} FROM {target.name} GROUP BY {keys} HAVING COUNT(*) > 1)",
        # rows that are gone from the source, or differ from it, go; those that are not there, or no longer, come
        f"DELETE FROM {target.name} WHERE NOT EXISTS (SELECT 1 FROM {stage_name} s WHERE {same} AND {equal})",
        f"INSERT INTO {target.name} ({columns}) SELECT {listed} FROM {stage_name} s WHERE NOT EXISTS (SELECT 1 FROM {target.name} t WHERE {missing})",
    ]


def counted(stage_name: str, keys: Sequence[str]) -> str:
    """One row: `loaded` rows, and `doubled` keys among them."""
    doubled = f"(SELECT COUNT(*) FROM (SELECT {_listed(keys)} FROM {stage_name} GROUP BY {_listed(keys)} HAVING COUNT(*) > 1) d)" if keys else "0"
    return f"SELECT (SELECT COUNT(*) FROM {stage_name}) AS loaded, {doubled} AS doubled"


def ensure(target: Target, step: str, batch: int) -> list[str]:
    """Make the table where it is missing; the last statement but one gives its columns and the declared ones as the catalog has them.

    The declared ones are those of a table made and dropped within the transaction, so that no type is compared by its spelling.
    """
    probe = _own("shape", step, batch)
    digits, scale = (f"CASE WHEN data_type = 'numeric' THEN numeric_{part} END" for part in ("precision", "scale"))
    shown = f"table_schema = {literal(SCHEMA)} AS declared, column_name AS name, data_type AS type, {digits} AS digits, {scale} AS scale"
    there = f"(table_schema = {literal(target.schema.lower())} AND table_name = {literal(target.table.lower())})"
    declared = f"(table_schema = {literal(SCHEMA)} AND table_name = {literal(probe)})"
    return [
        *create_table(target),
        f"CREATE TABLE {SCHEMA}.{quote(probe)} ({definition(target.columns)})",
        f"SELECT {shown} FROM information_schema.columns WHERE {there} OR {declared} ORDER BY ordinal_position",
        f"DROP TABLE {SCHEMA}.{quote(probe)}",
    ]


def call(procedure: str, arguments: Sequence[Any]) -> str:
    return f"CALL {'.'.join(map(quote, procedure.split('.')))}({', '.join(map(constant, arguments))})"


def constant(value: Any) -> str:
    """A Python value as a SQL constant."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return str(value) if isinstance(value, int | float) else literal(str(value))


def unload(query: str, prefix: str, role: str, partition_by: Sequence[str]) -> str:
    """CLEANPATH clears this batch's own prefix, with PARTITION BY only the folders that receive files: what else lies there the caller removes."""
    by = f" PARTITION BY ({_listed(partition_by)})" if partition_by else ""
    return f"UNLOAD ({literal(query)}) TO {literal(prefix)} {iam(role)} FORMAT AS PARQUET{by} MANIFEST VERBOSE CLEANPATH"


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


def statements(script: str) -> list[str]:
    """A script's statements; semicolons within texts, comments and dollar quotes divide nothing."""
    from sqlglot import TokenType
    from sqlglot.dialects.redshift import Redshift

    found, start = [], 0
    tokens = Redshift().tokenize(script)
    ends = [t.start for t in tokens if t.token_type == TokenType.SEMICOLON]
    for end in (*ends, len(script)):
        if any(start <= t.start < end and t.token_type != TokenType.SEMICOLON for t in tokens):
            found.append(script[start:end].strip())
        start = end + 1
    return found


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(map(quote, columns))
