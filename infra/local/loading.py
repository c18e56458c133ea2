"""COPY and UNLOAD, executed: DuckDB reads and writes the files, PostgreSQL takes and gives the rows within the caller's transaction."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import psycopg

from .errors import LoadError
from .options import Copy, Unload, parse_copy

_NULL = "\\N"
_SIZED = re.compile(r"character varying\((\d+)\)|character\((\d+)\)")
_DUCK = {
    "smallint": "SMALLINT", "integer": "INTEGER", "bigint": "BIGINT", "real": "FLOAT", "double precision": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE",
    "timestamp without time zone": "TIMESTAMP", "timestamp with time zone": "TIMESTAMPTZ", "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMPTZ",
    "int2": "SMALLINT", "int4": "INTEGER", "int8": "BIGINT", "float4": "FLOAT", "float8": "DOUBLE", "bool": "BOOLEAN",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    name: str
    type: str

    @property
    def duckdb(self) -> str:
        if self.type.startswith("numeric"):
            return self.type.replace("numeric", "DECIMAL") if "(" in self.type else "DECIMAL(38, 10)"
        return _DUCK.get(self.type, "VARCHAR")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _duck() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    try:
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = true")
        yield connection
    finally:
        connection.close()


def _split(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


def _columns_of(connection: psycopg.Connection[Any], copy: Copy) -> list[Column]:
    """The columns to be filled, in the order of the statement or of the table; identity columns fill themselves."""
    sql = """SELECT attname, format_type(atttypid, atttypmod), attidentity <> '' FROM pg_attribute
      WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
    found = {name: (Column(name, kind), own) for name, kind, own in connection.execute(sql, (copy.table.lstrip("#"),)).fetchall()}
    if unknown := [c for c in copy.columns if c not in found]:
        raise LoadError(f'column "{unknown[0]}" of relation "{copy.table}" does not exist')
    return [found[c][0] for c in copy.columns] if copy.columns else [column for column, own in found.values() if not own]


def _files(s3: Any, copy: Copy) -> list[str]:
    """The objects to load: those of the manifest, or all that begin with the prefix."""
    bucket, key = _split(copy.source)
    if "MANIFEST" not in copy.flags:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        urls = [f"s3://{bucket}/{o['Key']}" for page in pages for o in page.get("Contents", ())]
        if not urls:
            raise LoadError(f"The specified S3 prefix '{key}' does not exist")
        return urls
    try:
        entries = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())["entries"]
    except s3.exceptions.NoSuchKey:
        raise LoadError(f"The manifest {copy.source} does not exist") from None
    if "PARQUET" in copy.flags and any("content_length" not in e.get("meta", {}) for e in entries):
        raise LoadError("The manifest of a COPY from Parquet needs meta.content_length for each entry")
    return [str(e["url"]) for e in entries if e.get("mandatory") or _exists(s3, e["url"])]


def _exists(s3: Any, url: str) -> bool:
    bucket, key = _split(url)
    return bool(s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("KeyCount"))


def copy_into(connection: psycopg.Connection[Any], s3: Any, sql: str) -> int:
    """Execute a COPY in the connection's transaction; returns the rows loaded. Raises LoadError as Redshift would fail."""
    copy = parse_copy(sql)
    columns, urls = _columns_of(connection, copy), _files(s3, copy)
    rows = 0
    with TemporaryDirectory(prefix="penstock-copy-") as folder, _duck() as duck:
        for i, url in enumerate(urls):
            local = Path(folder) / f"{i}.in"
            _fetch(s3, url, local)
            out = Path(folder) / f"{i}.csv"
            _as_csv(duck, copy, columns, local, out, url)
            listed = ", ".join(_quoted(c.name) for c in columns)
            with connection.cursor() as cursor, cursor.copy(f"COPY {copy.table.lstrip('#')} ({listed}) FROM STDIN (FORMAT csv, NULL '{_NULL}')") as stream:
                stream.write(out.read_bytes())
            rows += cursor.rowcount
    connection.execute(
        "INSERT INTO rs.loads (table_name, data_source, loaded_rows, source_file_count, status, start_time) VALUES (%s, %s, %s, %s, 'completed', getdate())",
        (copy.table, copy.source, rows, len(urls)),
    )
    return rows


def _fetch(s3: Any, url: str, path: Path) -> None:
    bucket, key = _split(url)
    try:
        path.write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except s3.exceptions.NoSuchKey:
        raise LoadError(f"The S3 object {url} of the manifest does not exist") from None


def _as_csv(duck: duckdb.DuckDBPyConnection, copy: Copy, columns: Sequence[Column], source: Path, out: Path, url: str) -> None:
    """One object's rows, typed as the table's columns are, as the CSV that PostgreSQL reads."""
    relation = f"read_parquet({_literal(str(source))})" if "PARQUET" in copy.flags else _csv(copy, columns, source)
    try:
        names = [d[0] for d in duck.execute(f"SELECT * FROM {relation} LIMIT 0").description]
        if len(names) != len(columns):
            raise LoadError(f"{url} has {len(names)} columns, {copy.table} takes {len(columns)}")
        typed = ", ".join(f"CAST({_quoted(n)} AS {c.duckdb}) AS {_quoted(c.name)}" for n, c in zip(names, columns, strict=True))
        duck.execute(f"CREATE OR REPLACE TABLE incoming AS SELECT {typed} FROM {relation}")
    except duckdb.Error as error:
        raise LoadError(f"Load into table '{copy.table}' failed. {url}: {str(error).splitlines()[0]}") from error
    for column in columns:
        if sized := _SIZED.fullmatch(column.type):
            most = int(sized[1] or sized[2])
            long = duck.execute(f"SELECT COUNT(*) FROM incoming WHERE octet_length(encode({_quoted(column.name)})) > {most}").fetchone()
            if long and long[0]:
                detail = f"String length exceeds DDL length: {long[0]} values of {column.name}, at most {most} bytes"
                raise LoadError(f"Load into table '{copy.table}' failed. {url}: {detail}")
    duck.execute(f"COPY incoming TO {_literal(str(out))} (FORMAT csv, HEADER false, NULLSTR '{_NULL}')")


def _csv(copy: Copy, columns: Sequence[Column], source: Path) -> str:
    delimiter = copy.values.get("DELIMITER", "," if "CSV" in copy.flags else "|")
    options = {
        "delim": _literal(delimiter), "skip": copy.values.get("IGNOREHEADER") or "0", "header": "false", "auto_detect": "false",
        "quote": "'\"'", "escape": "'\"'",
        "nullstr": _literal(copy.values.get("NULL", "")), "compression": "'gzip'" if "GZIP" in copy.flags else "'none'",
        "columns": "{" + ", ".join(f"{_literal(c.name)}: 'VARCHAR'" for c in columns) + "}",
    }  # fmt: skip
    return f"read_csv({_literal(str(source))}, {', '.join(f'{k} = {v}' for k, v in options.items())})"


def unload(connection: psycopg.Connection[Any], s3: Any, query: str, ask: Unload) -> int:
    """Execute an UNLOAD whose query is already PostgreSQL's; returns the rows written."""
    bucket, prefix = _split(ask.prefix)
    held = [o["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix) for o in page.get("Contents", ())]
    if held and not ask.flags & {"ALLOWOVERWRITE", "CLEANPATH"}:
        raise LoadError(f"Specified unload destination on S3 is not empty: {ask.prefix}. Use ALLOWOVERWRITE or CLEANPATH")
    with TemporaryDirectory(prefix="penstock-unload-") as folder:
        written = _written(connection, query, ask, Path(folder))
        for key in held if "CLEANPATH" in ask.flags else ():
            s3.delete_object(Bucket=bucket, Key=key)
        for path, name, _ in written:
            s3.put_object(Bucket=bucket, Key=prefix + name, Body=path.read_bytes())
        if "MANIFEST" in ask.flags:
            sizes = [(f"s3://{bucket}/{prefix}{name}", path.stat().st_size, rows) for path, name, rows in written]
            s3.put_object(Bucket=bucket, Key=f"{prefix}manifest", Body=_manifest(sizes, verbose="VERBOSE" in ask.flags))
    return sum(rows for _, _, rows in written)


def _manifest(files: Sequence[tuple[str, int, int]], *, verbose: bool) -> bytes:
    """What an UNLOAD wrote: (URL, bytes, rows) of each file."""
    if not verbose:
        return json.dumps({"entries": [{"url": url} for url, _, _ in files]}).encode()
    entries = [{"url": url, "meta": {"content_length": size, "record_count": rows}} for url, size, rows in files]
    total = {"content_length": sum(size for _, size, _ in files), "record_count": sum(rows for _, _, rows in files)}
    return json.dumps({"entries": entries, "meta": total, "author": {"name": "Amazon Redshift", "version": "1.0.0"}}).encode()


def _written(connection: psycopg.Connection[Any], query: str, ask: Unload, folder: Path) -> list[tuple[Path, str, int]]:
    """The query's rows as Parquet files: (file, key below the prefix, rows)."""
    described = connection.execute(f"SELECT * FROM ({query}) q LIMIT 0").description or ()
    columns = [Column(d.name, d.type_display) for d in described]
    if missing := [c for c in ask.partition_by if c not in [k.name for k in columns]]:
        raise LoadError(f'partition column "{missing[0]}" is not in the query\'s output')
    source = folder / "rows.csv"
    with connection.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT csv, NULL '{_NULL}')") as stream, source.open("wb") as out:
        for block in stream:
            out.write(block)
    types = "{" + ", ".join(f"{_literal(c.name)}: {_literal(c.duckdb)}" for c in columns) + "}"
    options = f"header = false, auto_detect = false, delim = ',', quote = '\"', escape = '\"', nullstr = '{_NULL}', columns = {types}"
    with _duck() as duck:
        duck.execute(f"CREATE TABLE outgoing AS SELECT * FROM read_csv({_literal(str(source))}, {options})")
        return _partitions(duck, ask, [c.name for c in columns], folder)


def _partitions(duck: duckdb.DuckDBPyConnection, ask: Unload, columns: Sequence[str], folder: Path) -> list[tuple[Path, str, int]]:
    """One file a partition, `a=1/b=2/0000_part_00.parquet`; the partition's columns are left out unless INCLUDE asks for them."""
    by = [_quoted(c) for c in ask.partition_by]
    groups: list[dict[str, Any]] = [{}]
    if by:
        groups = duck.execute(f"SELECT DISTINCT {', '.join(by)} FROM outgoing ORDER BY ALL").to_arrow_table().to_pylist()
    shown = ", ".join(_quoted(c) for c in columns if c not in ask.partition_by or "INCLUDE" in ask.flags)
    found = []
    for i, group in enumerate(groups):
        path = folder / f"{i}.parquet"
        parameters = list(group.values())
        where = " AND ".join(f"{_quoted(c)} IS NOT DISTINCT FROM ?" for c in group) or "TRUE"
        duck.execute(f"CREATE OR REPLACE TEMP TABLE part AS SELECT {shown} FROM outgoing WHERE {where}", parameters)
        counted = duck.execute("SELECT COUNT(*) FROM part").fetchone()
        duck.execute(f"COPY part TO {_literal(str(path))} (FORMAT parquet)")
        folders = "".join(f"{c}={'__HIVE_DEFAULT_PARTITION__' if v is None else v}/" for c, v in group.items())
        found.append((path, f"{folders}0000_part_00.parquet", counted[0] if counted else 0))
    return [f for f in found if f[2] or not by]
