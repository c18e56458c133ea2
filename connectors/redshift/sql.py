"""Redshift's SQL as text: built here, quoted here, nowhere else. Pure, and held by snapshots."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from penstock.schema import Columns, literal, names, quote

SCHEMA = "penstock"
LEDGER_FORMAT = 1


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
    RAISE EXCEPTION 'penstock: the ledger of % is not at batch %', step_name, expected;
  END IF;
END;
$$ LANGUAGE plpgsql""",
    ]


def ledger_row(step: str, last: int) -> list[str]:
    """Make a step's row once; the lock keeps two first runs from making two."""
    missing = f"NOT EXISTS (SELECT 1 FROM {SCHEMA}.ledger WHERE step = {literal(step)})"
    return [f"LOCK {SCHEMA}.ledger", f"INSERT INTO {SCHEMA}.ledger SELECT {literal(step)}, {last}, {LEDGER_FORMAT} WHERE {missing}"]


def ledger_of(steps: Iterable[str]) -> str:
    return f"SELECT MAX(last) AS last, MAX(format) AS format FROM {SCHEMA}.ledger WHERE step IN ({', '.join(map(literal, steps))})"


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
    return f"{SCHEMA}.{quote(f'stage_{step}_{batch}'.replace('/', '_').lower())}"


def iam(role: str) -> str:
    return "IAM_ROLE default" if role == "default" else f"IAM_ROLE {literal(role)}"


def stage(name: str, columns: Columns, manifest_url: str, role: str) -> list[str]:
    return [
        f"DROP TABLE IF EXISTS {name}",
        f"CREATE TABLE {name} ({definition(columns)})",
        f"COPY {name} FROM {literal(manifest_url)} {iam(role)} FORMAT AS PARQUET MANIFEST",
    ]


def manifest(files: Sequence[StagedFile]) -> bytes:
    """Each file once, all of them mandatory; Parquet needs the length."""
    by_url = {f.url: f for f in files}
    entries = [{"url": f.url, "mandatory": True, "meta": {"content_length": f.bytes}} for f in by_url.values()]
    return json.dumps({"entries": entries}, indent=1).encode()


def publish(target: Target, stage_name: str, write: str) -> list[str]:
    """The statements that bring a stage, a whole snapshot of its source, into the target. Never TRUNCATE: it commits."""
    columns = _listed(names(target.columns))
    insert = f"INSERT INTO {target.name} ({columns}) SELECT {columns} FROM {stage_name}"
    if write == "overwrite":
        return [f"DELETE FROM {target.name}", insert]
    same = " AND ".join(f"{target.name}.{quote(k)} = s.{quote(k)}" for k in target.keys)
    equal = " AND ".join(
        f"({target.name}.{quote(c)} = s.{quote(c)} OR ({target.name}.{quote(c)} IS NULL AND s.{quote(c)} IS NULL))" for c in names(target.columns)
    )
    missing = " AND ".join(f"s.{quote(k)} = t.{quote(k)}" for k in target.keys)
    listed = ", ".join(f"s.{quote(c)}" for c in names(target.columns))
    return [
        # rows that are gone from the source, or differ from it, go; those that are not there, or no longer, come
        f"DELETE FROM {target.name} WHERE NOT EXISTS (SELECT 1 FROM {stage_name} s WHERE {same} AND {equal})",
        f"INSERT INTO {target.name} ({columns}) SELECT {listed} FROM {stage_name} s WHERE NOT EXISTS (SELECT 1 FROM {target.name} t WHERE {missing})",
    ]


def duplicate_keys(stage_name: str, keys: Sequence[str]) -> str:
    return f"SELECT COUNT(*) AS n FROM (SELECT {_listed(keys)} FROM {stage_name} GROUP BY {_listed(keys)} HAVING COUNT(*) > 1) d"


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
    """CLEANPATH clears only this batch's own prefix, so that a batch done again does not double."""
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
