"""Files of a COPY as rows: read by DuckDB, checked field by field, written as the CSV that PostgreSQL takes."""

from __future__ import annotations

import bz2
import csv
import gzip
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from penstock.infra.local.errors import LoadError, NotLocalError

from .conversions import Converted, Target, converted, literal, quoted
from .options import Copy

NULL = "\\N"
_MOST_ERRORS = 1000


@dataclass(frozen=True)
class BadRow:
    """A row that is not loaded: what `stl_load_errors` says of it."""

    file: str
    line: int
    column: str
    type: str
    length: str
    position: int
    code: int
    reason: str
    raw_line: str
    raw_value: str


_ENCODINGS = {"UTF16": "utf-16", "UTF16LE": "utf-16-le", "UTF16BE": "utf-16-be", "ISO88591": "iso-8859-1"}


@contextmanager
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    try:
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = true")
        yield connection
    finally:
        connection.close()


def read(connection: duckdb.DuckDBPyConnection, copy: Copy, columns: Sequence[Target], path: Path, url: str, table: str) -> list[BadRow]:
    """One file's good rows into a table of DuckDB's whose columns are texts or typed; returns the bad ones.

    Raises LoadError for a file that cannot be read at all, or whose schema is another.
    """
    try:
        if copy.is_columnar:
            _columnar(connection, copy, columns, path, url, table)
            return _too_long(connection, columns, url, table)
        return _fields(connection, copy, columns, path, url, table)
    except duckdb.Error as error:
        raise LoadError(f"{url}: {str(error).splitlines()[0]}") from error


# formats with types of their own

_GROUPS = (("int", ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")), ("float", ("FLOAT", "DOUBLE")),
           ("text", ("VARCHAR", "BLOB")), ("bool", ("BOOLEAN",)), ("date", ("DATE",)))  # fmt: skip


def _group(kind: str) -> str:
    if kind.startswith("DECIMAL"):
        return "decimal"
    if kind.startswith("TIMESTAMP"):
        return "timestamp"
    return next((name for name, kinds in _GROUPS if kind in kinds), "nested")


def _wanted(column: Target) -> tuple[str, str]:
    """(DuckDB's type, its group) of a column."""
    if column.type.startswith("numeric"):
        return column.type.replace("numeric", "DECIMAL"), "decimal"
    if column.is_text:
        return "VARCHAR", "text"
    named = {
        "smallint": "SMALLINT",
        "integer": "INTEGER",
        "bigint": "BIGINT",
        "real": "FLOAT",
        "double precision": "DOUBLE",
        "boolean": "BOOLEAN",
        "date": "DATE",
    }
    kind = named.get(column.type) or ("TIMESTAMPTZ" if "with time zone" in column.type else "TIMESTAMP" if column.type.startswith("timestamp") else "VARCHAR")
    return kind, "nested" if column.type == "jsonb" else _group(kind)


def _columnar(connection: duckdb.DuckDBPyConnection, copy: Copy, columns: Sequence[Target], path: Path, url: str, table: str) -> None:
    relation = f"read_parquet({literal(str(path))})"
    if copy.format == "orc":
        connection.register("orc_rows", _orc(path, url))
        relation = "orc_rows"
    found = [(str(d[0]), str(d[1])) for d in connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()]
    if len(found) != len(columns) and not (len(found) < len(columns) and "FILLRECORD" in copy.options):
        raise LoadError(f"Unmatched number of columns between table and file. Table columns: {len(columns)}, Data columns: {len(found)}, File name: {url}")
    typed = []
    for (name, kind), column in zip(found, columns, strict=False):
        wanted, group = _wanted(column)
        if group != _group(kind) or (group == "nested" and "SERIALIZETOJSON" not in copy.options):
            raise LoadError(f"file '{url}' has an incompatible {copy.format} schema for column '{column.name}'. Column type: {column.type}, file: {kind}")
        text = f"to_json({quoted(name)})" if group == "nested" else quoted(name)
        typed.append(f"CAST({text} AS {wanted}) AS {quoted(column.name)}")
    typed += [f"CAST(NULL AS VARCHAR) AS {quoted(c.name)}" for c in columns[len(found) :]]
    connection.execute(f"CREATE TABLE {table} AS SELECT {', '.join(typed)} FROM {relation}")


def _orc(path: Path, url: str) -> Any:
    import pyarrow as pa
    from pyarrow import orc

    try:
        return orc.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise LoadError(f"{url} is no ORC file: {error}") from error


def _too_long(connection: duckdb.DuckDBPyConnection, columns: Sequence[Target], url: str, table: str) -> list[BadRow]:
    """Columnar formats know no MAXERROR: any fault fails the load."""
    for column in columns:
        name = quoted(column.name)
        condition = f"{name} IS NULL" if column.required else "FALSE"
        if column.bytes is not None:
            condition = f"({condition}) OR octet_length(encode({name})) > {column.bytes}"
        row = connection.execute(f"SELECT CAST({name} AS VARCHAR) FROM {table} WHERE {condition} LIMIT 1").fetchone() if condition != "FALSE" else None
        if row:
            null = row[0] is None
            reason = "Missing data for not-null field" if null else "String length exceeds DDL length"
            return [BadRow(url, 0, column.name, column.type, str(column.bytes or ""), 0, 1213 if null else 1204, reason, "", row[0] or "")]
    return []


# formats of fields


def _fields(connection: duckdb.DuckDBPyConnection, copy: Copy, columns: Sequence[Target], path: Path, url: str, table: str) -> list[BadRow]:
    unpacked = _in_utf8(_unpacked(path, copy), copy, url)
    source, rejected = _avro(connection, unpacked, columns) if copy.format == "avro" else _SOURCES[copy.format](unpacked, copy, columns)
    found = [converted(f"f{i}", c, copy.options) for i, c in enumerate(columns)]
    checks = [_check(c, made) for c, made in zip(columns, found, strict=True)]
    connection.execute(f"CREATE OR REPLACE TABLE fields AS SELECT * FROM {source}")
    bad = f"({') OR ('.join(checks)})"
    count = _one(connection, f"SELECT count(*) FROM fields WHERE {bad}")
    rows = _rejected(connection, url) if rejected else []
    if count:
        rows += _described(connection, columns, found, checks, bad, url, copy)
    where = f" WHERE NOT coalesce({bad}, FALSE)" if count else ""
    values = ", ".join(f"{made.value} AS {quoted(c.name)}" for c, made in zip(columns, found, strict=True))
    connection.execute(f"CREATE TABLE {table} AS SELECT {values} FROM fields{where}")
    return rows


def _in_utf8(path: Path, copy: Copy, url: str) -> Path:
    """A file of another ENCODING as UTF-8, packed as it was."""
    encoding = copy.options.get("ENCODING", "UTF8").upper()
    if encoding == "UTF8":
        return path
    if encoding not in _ENCODINGS:
        raise LoadError(f"ENCODING {encoding} is none of UTF8, {', '.join(_ENCODINGS)}")
    if _compression(copy) not in ("none", "gzip"):
        raise NotLocalError(f"ENCODING {encoding} of files packed otherwise than by GZIP")
    opened = gzip.open if _compression(copy) == "gzip" else open
    found = path.with_suffix(".utf8")
    try:
        with opened(path, "rt", encoding=_ENCODINGS[encoding], newline="") as source, opened(found, "wt", encoding="utf-8", newline="") as out:
            shutil.copyfileobj(source, out)
    except UnicodeError as error:
        raise LoadError(f"{url} is not {encoding}: {error}") from None
    return found


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0


def _check(column: Target, made: Converted) -> str:
    """True for a field that is refused."""
    found = f"coalesce(({made.raw}) IS NOT NULL AND ({made.fault}), FALSE)"
    return f"{found} OR ({made.raw}) IS NULL" if column.required else found


def _described(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[Target], found: Sequence[Converted], checks: Sequence[str], bad: str, url: str, copy: Copy
) -> list[BadRow]:
    """The first fault of each bad row."""
    header = int(copy.options.get("IGNOREHEADER", "0"))
    listed = ", ".join(f"f{i}" for i in range(len(columns)))
    flags = ", ".join(f"coalesce({c}, FALSE)" for c in checks)
    sql = f"SELECT n, [{flags}], [{listed}] FROM (SELECT *, row_number() OVER () AS n FROM fields) WHERE {bad} ORDER BY n LIMIT {_MOST_ERRORS}"
    rows = []
    for number, faults, values in connection.execute(sql).fetchall():
        at = faults.index(True)
        column, value = columns[at], values[at]
        missing = column.required and value in (None, "", copy.options.get("NULL", NULL))
        code, reason = (1213, "Missing data for not-null field") if missing else (found[at].code, _reason(found[at], value))
        line = copy.options.get("DELIMITER", "|" if copy.format == "text" else ",").join("" if v is None else str(v) for v in values)
        rows.append(
            BadRow(url, number + header, column.name, column.type.split("(")[0], str(column.bytes or ""), 0, code, reason, line[:1024], str(value or "")[:1024])
        )
    return rows


def _reason(made: Converted, value: object) -> str:
    if made.code != 1207 or not value:
        return made.reason
    text = str(value).strip()
    place = next((i for i, c in enumerate(text) if not (c.isdigit() or (c in "+-" and i == 0))), 0)
    kind = made.reason.rpartition(" ")[2]
    if all(c.isdigit() or (c in "+-" and i == 0) for i, c in enumerate(text)):
        return f"Overflow, Value '{text[:40]}', Type: {kind}"
    return f"Invalid digit, Value '{text[place]}', Pos {place}, Type: {kind}"


def _rejected(connection: duckdb.DuckDBPyConnection, url: str) -> list[BadRow]:
    """Lines that have more or fewer fields than the table has columns."""
    rows = connection.execute(f"SELECT DISTINCT ON (line) line, error_type, csv_line FROM reject_errors ORDER BY line LIMIT {_MOST_ERRORS}").fetchall()
    connection.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")
    known = {"TOO MANY COLUMNS": (1202, "Extra column(s) found"), "MISSING COLUMNS": (1214, "Delimiter not found"),
             "INVALID ENCODING": (1220, "String contains invalid or unsupported UTF8 codepoints")}  # fmt: skip
    found = []
    for line, kind, text in rows:
        code, reason = known.get(str(kind).replace("_", " "), (1216, "Invalid input line"))
        found.append(BadRow(url, int(line), "", "", "", 0, code, reason, str(text or "")[:1024], ""))
    return found


Source = Callable[[Path, Copy, Sequence[Target]], tuple[str, bool]]


def _unpacked(path: Path, copy: Copy) -> Path:
    """bzip2, and what has to be read before DuckDB reads it, as another file."""
    if "BZIP2" in copy.options:
        plain = path.with_suffix(".plain")
        plain.write_bytes(bz2.decompress(path.read_bytes()))
        return plain
    return path


def _compression(copy: Copy) -> str:
    return "gzip" if "GZIP" in copy.options else "zstd" if "ZSTD" in copy.options else "none"


def _delimited(path: Path, copy: Copy, columns: Sequence[Target]) -> tuple[str, bool]:
    is_csv = copy.format == "csv"
    delimiter = copy.options.get("DELIMITER", "," if is_csv else "|")
    if "ESCAPE" in copy.options:
        path, is_csv, delimiter = _unescaped(path, delimiter, copy), True, ","
    quote = copy.options.get("QUOTE", '"') if is_csv or "REMOVEQUOTES" in copy.options else ""
    options = {
        "delim": literal(delimiter), "quote": literal(quote), "escape": literal(quote), "header": "false", "auto_detect": "false", "store_rejects": "true",
        "skip": copy.options.get("IGNOREHEADER", "0"), "nullstr": literal("\x01"),
        "compression": literal("none" if "ESCAPE" in copy.options else _compression(copy)),
        "columns": "{" + ", ".join(f"'f{i}': 'VARCHAR'" for i in range(len(columns))) + "}", "null_padding": str("FILLRECORD" in copy.options).lower(),
        "max_line_size": "4194304",
    }  # fmt: skip
    return f"read_csv({literal(str(path))}, {', '.join(f'{k} = {v}' for k, v in options.items())})", True


def _unescaped(path: Path, delimiter: str, copy: Copy) -> Path:
    """Lines in which a backslash makes what follows a part of the field, as CSV."""
    found, text = path.with_suffix(".escaped"), _text(path, copy)
    with found.open("w", newline="", encoding="utf-8") as out:
        writer, fields = csv.writer(out), [""]
        i = 0
        while i < len(text):
            if text[i] == "\\" and i + 1 < len(text) and not (text[i + 1] == "N" and fields[-1] == ""):
                fields[-1] += text[i + 1]
                i += 2
                continue
            if text[i] == "\n":
                writer.writerow(fields)
                fields = [""]
            elif text[i] == delimiter:
                fields.append("")
            else:
                fields[-1] += text[i]
            i += 1
        if fields != [""]:
            writer.writerow(fields)
    return found


def _text(path: Path, copy: Copy) -> str:
    if "GZIP" in copy.options:
        with gzip.open(path, "rt", encoding="utf-8") as source:
            return source.read()
    return path.read_text(encoding="utf-8")


def _fixed(path: Path, copy: Copy, columns: Sequence[Target]) -> tuple[str, bool]:
    """FIXEDWIDTH 'name:width,…': each field has its place."""
    widths = [int(part.rpartition(":")[2]) for part in copy.options["FIXEDWIDTH"].split(",")]
    if len(widths) != len(columns):
        raise LoadError(f"FIXEDWIDTH names {len(widths)} columns where {len(columns)} are to be filled")
    starts = [1 + sum(widths[:i]) for i in range(len(widths))]
    fields = ", ".join(f"rtrim(substr(line, {s}, {w})) AS f{i}" for i, (s, w) in enumerate(zip(starts, widths, strict=True)))
    skip = copy.options.get("IGNOREHEADER", "0")
    lines = (
        f"read_csv({literal(str(path))}, columns = {{'line': 'VARCHAR'}}, delim = '\x02', quote = '', escape = '', header = false, auto_detect = false, "
        f"skip = {skip}, compression = '{_compression(copy)}')"
    )
    return f"(SELECT {fields} FROM {lines})", False


def _json(path: Path, copy: Copy, columns: Sequence[Target]) -> tuple[str, bool]:
    asked = copy.options["JSON"] or "auto"
    packed = f", compression = '{_compression(copy)}'" if _compression(copy) != "none" else ""
    rows = f"read_json_objects({literal(str(path))}, format = 'auto', maximum_object_size = 16777216{packed})"
    if asked == "noshred":
        return f"(SELECT CAST(json AS VARCHAR) AS f0 FROM {rows})", False
    if asked.startswith("jsonpaths:"):
        paths = asked.removeprefix("jsonpaths:").split("\n")
        if len(paths) != len(columns):
            raise LoadError(f"The JSONPaths file has {len(paths)} expressions where {len(columns)} columns are to be filled")
        cells = [f"json_extract_string(json, {literal(dotted(p))})" for p in paths]
    elif asked == "auto":
        cells = [f"""json_extract_string(json, '$."{c.name}"')""" for c in columns]
    elif asked == "auto ignorecase":
        cells = [f"""json_extract_string(json, '$."' || list_filter(json_keys(json), k -> lower(k) = {literal(c.name)})[1] || '"')""" for c in columns]
    else:
        raise LoadError(f"JSON '{asked}' is none of 'auto', 'auto ignorecase', 'noshred' and the address of a JSONPaths file")
    return f"(SELECT {', '.join(f'{cell} AS f{i}' for i, cell in enumerate(cells))} FROM {rows})", False


def dotted(path: str) -> str:
    """`$['a']['b'][0]` as `$."a"."b"[0]`."""
    found, i = "", 0
    while i < len(path):
        if path[i : i + 2] in ("['", '["'):
            end = path.index(path[i + 1] + "]", i + 2)
            found += f'."{path[i + 2 : end]}"'
            i = end + 2
        else:
            found += path[i]
            i += 1
    return found


def _avro(connection: duckdb.DuckDBPyConnection, path: Path, columns: Sequence[Target]) -> tuple[str, bool]:
    try:
        from duckdb_extensions import import_extension

        import_extension("avro", con=connection)
        connection.execute("LOAD avro")
    except (ImportError, duckdb.Error) as error:
        raise NotLocalError("COPY with AVRO without the package duckdb-extension-avro") from error
    names = {str(d[0]).lower(): str(d[0]) for d in connection.execute(f"DESCRIBE SELECT * FROM read_avro({literal(str(path))})").fetchall()}
    cells = [f"CAST({quoted(names[c.name])} AS VARCHAR)" if c.name in names else "CAST(NULL AS VARCHAR)" for c in columns]
    return f"(SELECT {', '.join(f'{cell} AS f{i}' for i, cell in enumerate(cells))} FROM read_avro({literal(str(path))}))", False


_SOURCES: dict[str, Source] = {"csv": _delimited, "text": _delimited, "fixed": _fixed, "json": _json}
