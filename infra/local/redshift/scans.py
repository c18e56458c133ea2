"""External tables, read: partitions that a filter rules out are not looked at, DuckDB filters, projects and aggregates what is left."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import duckdb

from penstock.infra.local.errors import LoadError, NotLocalError, SqlError

from .conversions import literal, quoted
from .glue_tables import ExternalTable, pg_type
from .logs import Logs, now
from .objects import Listed, Object, fetch, listed, split_url
from .streams import Exchange, send

NULL = "\\N"
_MOST_VALUES, _KEPT_BYTES = 1000, 2_000_000_000
_DUCK = {"smallint": "SMALLINT", "integer": "INTEGER", "bigint": "BIGINT", "real": "FLOAT", "double precision": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE",
         "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMPTZ", "bytea": "BLOB"}  # fmt: skip


def duck_type(kind: str) -> str:
    """PostgreSQL's type as DuckDB's."""
    return kind.replace("numeric", "DECIMAL") if kind.startswith("numeric") else _DUCK.get(kind, "VARCHAR")


@dataclass(frozen=True)
class Part:
    """Files that share their partition's values."""

    values: tuple[str, ...]
    files: tuple[Listed, ...]


class Scans:
    """The scans of one server; files that were read once are kept, by their ETag, as long as they do not weigh too much."""

    def __init__(self, s3: Callable[[], Any], exchange: Exchange, logs: Logs) -> None:
        self._s3, self._exchange, self._logs = s3, exchange, logs
        self._kept = Path(tempfile.mkdtemp(prefix="penstock-scans-"))
        self._database, self._pool = duckdb.connect(), ThreadPoolExecutor(8)

    def close(self) -> None:
        self._pool.shutdown()
        self._database.close()
        shutil.rmtree(self._kept, ignore_errors=True)

    def begin(
        self, table: ExternalTable, scan: Mapping[str, Any], wanted: Mapping[str, Any], pid: int, partitions: Callable[[], Sequence[Mapping[str, Any]]]
    ) -> dict[str, Any]:
        """Plan and read; answers with the definition of what comes, and its stream."""
        number, start = self._logs.number(), now()
        filters = [*scan["filters"], *_from_values(wanted)]
        connection = self._database.cursor()  # what is temporary there is its own
        connection.execute("SET TimeZone = 'UTC'")
        try:
            if table.kind == "iceberg":
                total, parts = 1, self._iceberg(connection, table, scan, filters)
            else:
                total, parts = self._hive(connection, table, scan, filters, partitions)
            connection.execute(f"CREATE TEMP TABLE scanned AS {_query(scan, filters)}")
        except duckdb.Error as error:
            connection.close()
            raise LoadError(f"Spectrum Scan Error: {table.name}: {str(error).splitlines()[0]}") from error
        except BaseException:
            connection.close()
            raise
        row = connection.execute("SELECT count(*) FROM scanned").fetchone()
        files = [f for p in parts for f in p.files]
        self._logs.add("scans", query=number, pid=pid, segment=0, step=0, starttime=start, endtime=now(), elapsed=0, aborted=0,
                       external_table_name=f"S3 Scan {table.database}_{table.name}", file_format=table.kind, is_partitioned="t" if table.keys else "f",
                       s3_scanned_rows=0, s3_scanned_bytes=sum(f.size for f in files), s3query_returned_rows=row[0] if row else 0, s3query_returned_bytes=0,
                       files=len(files), files_max=len(files), splits=len(files), total_partitions=total, qualified_partitions=len(parts))  # fmt: skip
        pipe = self._exchange.pipe()
        send(pipe, lambda name: _sent(connection, name))
        definition = ", ".join(f"{quoted(n)} {t}" for n, t in scan["gives"])
        return {"query": str(number), "definition": definition, "stream": str(pipe), "null": NULL}

    def _hive(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: ExternalTable,
        scan: Mapping[str, Any],
        filters: Sequence[str],
        partitions: Callable[[], Sequence[Mapping[str, Any]]],
    ) -> tuple[int, list[Part]]:
        """(all partitions, those that are read); their rows are the view `rows`."""
        known = [({"values": (), "location": table.location})] if not table.keys else partitions()
        left = _qualified(connection, table, known, filters)
        files = self._pool.map(lambda p: self._files(table, str(p["location"])), left)
        parts = [Part(tuple(p["values"]), tuple(found)) for p, found in zip(left, files, strict=True)]
        parts = [p for p in parts if p.files]
        needed = [c for c in scan["columns"] if c not in table.keys]
        selects = []
        for part in parts:
            source = self._relation(connection, table, part.files, needed)
            values = [f"CAST({_value(v)} AS {duck_type(pg_type(t))}) AS {quoted(k)}" for (k, t), v in zip(table.keys.items(), part.values, strict=False)]
            selects.append(f"SELECT {', '.join([*source[1], *values]) or '1 AS rs_none'} FROM {source[0]}")
        if not selects:
            empty = [f"CAST(NULL AS {duck_type(pg_type(t))}) AS {quoted(n)}" for n, t in (*table.columns.items(), *table.keys.items())]
            selects.append(f"SELECT {', '.join(empty)} WHERE FALSE")
        connection.execute(f"CREATE TEMP VIEW rows AS {' UNION ALL '.join(selects)}")
        return len(known), parts

    def _files(self, table: ExternalTable, location: str) -> list[Listed]:
        if table.kind == "symlink":
            return self._linked(table, location)
        bucket, prefix = split_url(location if location.endswith("/") else f"{location}/")
        found = listed(self._s3(), bucket, prefix) or listed(self._s3(), *split_url(location))
        return [o for o in found if not o.url.rpartition("/")[2].startswith(("_", ".")) and not o.url.endswith("manifest")]

    def _linked(self, table: ExternalTable, location: str) -> list[Listed]:
        """The files that a manifest of symbolic links names: how Redshift reads Delta."""
        root = location.partition("/_symlink_format_manifest")[0]
        bucket, prefix = split_url(root)
        for log in listed(self._s3(), bucket, f"{prefix}/_delta_log/"):
            if log.url.endswith(".json") and b'"deletionVector"' in self._content(log.url):
                raise SqlError("XX000", f"Delta Lake table {table.name} has deletion vectors: Redshift cannot read it")
        bucket, prefix = split_url(f"{location.rstrip('/')}/")
        urls = [line for o in listed(self._s3(), bucket, prefix) for line in self._content(o.url).decode().split()]
        return [Listed(u.replace("s3a://", "s3://"), 0) for u in urls]

    def _content(self, url: str) -> bytes:
        bucket, key = split_url(url)
        return bytes(self._s3().get_object(Bucket=bucket, Key=key)["Body"].read())

    def _tag(self, url: str) -> str:
        bucket, key = split_url(url)
        try:
            return str(self._s3().head_object(Bucket=bucket, Key=key)["ETag"].strip('"'))
        except self._s3().exceptions.ClientError:
            raise LoadError(f"Spectrum Scan Error: the file {url} does not exist") from None

    def _local(self, file: Listed) -> Path:
        """A file of S3's here; fetched where it is not kept."""
        path = self._kept / hashlib.sha256(f"{file.url} {file.tag or self._tag(file.url)}".encode()).hexdigest()
        if not path.exists():
            fresh = path.with_suffix(f".{token_hex(6)}")
            fetch(self._s3(), Object(file.url), fresh)
            fresh.rename(path)
            self._forget_oldest()
        return path

    def _forget_oldest(self) -> None:
        files = sorted(self._kept.iterdir(), key=lambda f: f.stat().st_atime)
        weight = sum(f.stat().st_size for f in files)
        while weight > _KEPT_BYTES and len(files) > 1:
            weight -= files[0].stat().st_size
            files.pop(0).unlink(missing_ok=True)

    def _relation(self, connection: duckdb.DuckDBPyConnection, table: ExternalTable, files: Sequence[Listed], needed: Sequence[str]) -> tuple[str, list[str]]:
        """(what to read from, the needed columns as typed expressions)."""
        paths = list(self._pool.map(self._local, files))
        listed_paths = f"[{', '.join(literal(str(p)) for p in paths)}]"
        if table.kind == "orc":
            import pyarrow as pa
            from pyarrow import orc

            name = f"orc_{len(connection.execute('SHOW TABLES').fetchall())}_{abs(hash(tuple(files)))}"
            connection.register(name, pa.concat_tables([orc.read_table(p) for p in paths]))
            source = name
        elif table.kind in ("parquet", "symlink"):
            source = f"read_parquet({listed_paths}, union_by_name = true)"
        elif table.kind == "json":
            source = f"read_json({listed_paths}, format = 'newline_delimited', union_by_name = true)"
        else:
            return _delimited(table, listed_paths), [_typed(f"f{list(table.columns).index(c)}", c, table, text=True) for c in needed]
        present = {str(d[0]).lower(): str(d[0]) for d in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
        return source, [_typed(quoted(present[c]) if c in present else "NULL", c, table, text=False) for c in needed]

    def _iceberg(self, connection: duckdb.DuckDBPyConnection, table: ExternalTable, scan: Mapping[str, Any], filters: Sequence[str]) -> list[Part]:
        from pyiceberg.exceptions import ValidationError
        from pyiceberg.expressions import AlwaysTrue, And
        from pyiceberg.expressions.parser import parse
        from pyiceberg.table import StaticTable

        endpoint = self._s3().meta.endpoint_url
        properties = {"s3.endpoint": endpoint, "s3.access-key-id": "test", "s3.secret-access-key": "test", "s3.region": "us-east-1"}
        held = StaticTable.from_metadata(table.properties["metadata_location"], properties)
        condition: Any = AlwaysTrue()
        for text in filters:
            try:
                condition = And(condition, parse(text.replace('"', "")))
            except Exception:  # noqa: S112 - a filter that it cannot read is applied to the rows
                continue
        found = held.scan(row_filter=condition, selected_fields=tuple(scan["columns"]) or ("*",))
        try:
            files = tuple(Listed(t.file.file_path, t.file.file_size_in_bytes) for t in found.plan_files())
            rows = found.to_arrow()
        except (ValidationError, ValueError, NotImplementedError) as error:
            raise NotLocalError(f"this Iceberg table ({error})") from error
        connection.register("iceberg_rows", rows)
        columns = [_typed(quoted(c), c, table, text=False) for c in scan["columns"]] or ["1 AS rs_none"]
        connection.execute(f"CREATE TEMP VIEW rows AS SELECT {', '.join(columns)} FROM iceberg_rows")
        return [Part((), files)]


def _value(text: str) -> str:
    return "NULL" if text == "__HIVE_DEFAULT_PARTITION__" else literal(text)


def _typed(expression: str, column: str, table: ExternalTable, *, text: bool) -> str:
    hive = table.columns[column]
    kind = pg_type(hive)
    if kind == "jsonb" and not text and expression != "NULL":
        return f"CAST(to_json({expression}) AS VARCHAR) AS {quoted(column)}"
    cast = f"TRY_CAST(nullif({expression}, '') AS {duck_type(kind)})" if text and duck_type(kind) != "VARCHAR" else f"CAST({expression} AS {duck_type(kind)})"
    return f"{cast} AS {quoted(column)}"


def _delimited(table: ExternalTable, paths: str) -> str:
    delimiter = table.properties.get("field.delim") or table.properties.get("separatorChar") or ("," if "CSV" in table.serde else "\x01")
    skip = table.properties.get("skip.header.line.count", "0")
    columns = "{" + ", ".join(f"'f{i}': 'VARCHAR'" for i in range(len(table.columns))) + "}"
    return (
        f"read_csv({paths}, columns = {columns}, delim = {literal(delimiter)}, quote = {literal(table.properties.get('quoteChar', chr(34)))}, "
        f"header = false, skip = {skip}, auto_detect = false, null_padding = true, nullstr = {literal(NULL)})"
    )


def _qualified(
    connection: duckdb.DuckDBPyConnection, table: ExternalTable, known: Sequence[Mapping[str, Any]], filters: Sequence[str]
) -> list[Mapping[str, Any]]:
    """The partitions whose values no filter rules out: those filters count that speak of partitions alone."""
    if not table.keys or not known:
        return list(known)
    rows = ", ".join(f"({i}, {', '.join(_value(str(v)) for v in p['values'])})" for i, p in enumerate(known))
    names = ", ".join(f"CAST(v{i} AS {duck_type(pg_type(t))}) AS {quoted(k)}" for i, (k, t) in enumerate(table.keys.items()))
    listed_values = f"(SELECT n, {names} FROM (VALUES {rows}) p(n, {', '.join(f'v{i}' for i in range(len(table.keys)))}))"
    usable = []
    for text in filters:
        try:
            connection.execute(f"SELECT n FROM {listed_values} WHERE {text} LIMIT 0")
        except duckdb.BinderException:
            continue
        usable.append(f"coalesce({text}, FALSE)")
    found = connection.execute(f"SELECT n FROM {listed_values} WHERE {' AND '.join(usable) or 'TRUE'} ORDER BY n").fetchall()
    return [known[n] for (n,) in found]


def _from_values(wanted: Mapping[str, Any]) -> list[str]:
    """Filters by the values that a joined table has, where those are few."""
    found = []
    for column, values in wanted.items():
        if values is not None and len(values) <= _MOST_VALUES:
            shown = ", ".join("NULL" if v is None else literal(str(v)) for v in values)
            found.append(f"{quoted(column)} IN ({shown})" if values else "FALSE")
    return found


def _query(scan: Mapping[str, Any], filters: Sequence[str]) -> str:
    where = f" WHERE {' AND '.join(f'({f})' for f in filters)}" if filters else ""
    by = f" GROUP BY {', '.join(scan['groups'])}" if scan.get("groups") else ""
    return f"SELECT {', '.join(scan['select'])} FROM rows{where}{by}"


def _sent(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    try:
        connection.execute(f"COPY scanned TO {literal(name)} (FORMAT csv, HEADER false, NULLSTR {literal(NULL)}, USE_TMP_FILE false)")
    except duckdb.Error:
        pass
    finally:
        connection.close()
