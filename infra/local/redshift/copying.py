"""COPY, executed: DuckDB reads the files, PostgreSQL takes the rows within the caller's transaction while they are still being written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import duckdb

from penstock.infra.local.errors import LoadError

from .conversions import Target, literal, quoted
from .incoming import NULL, BadRow, read
from .logs import Logs, now
from .objects import Object, fetch, split_url, to_load
from .options import Copy, parse_copy
from .streams import Exchange, send


@dataclass(frozen=True)
class Loading:
    """A COPY under way."""

    copy: Copy
    columns: Sequence[Target]
    query: int
    table: str
    oid: int
    session: int


class Copies:
    """The COPYs of one server."""

    def __init__(self, s3: Callable[[], Any], exchange: Exchange, logs: Logs) -> None:
        self._s3, self._exchange, self._logs = s3, exchange, logs

    def begin(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Read and check all files; answers with the stream of their rows. Raises LoadError as Redshift fails."""
        copy, s3 = self._with_paths(parse_copy(str(asked["sql"]))), self._s3()
        columns = _targets(copy, asked["columns"])
        loading = Loading(copy, columns, self._logs.number(), str(asked["table"]), int(asked["oid"]), int(asked["pid"]))
        start, objects = now(), to_load(s3, copy)
        folder, connection = Path(mkdtemp(prefix="penstock-copy-")), duckdb.connect()
        try:
            connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = true")
            rows, size, bad = self._read(connection, loading, objects, folder)
            self._judged(loading, bad, rows, objects, size, start)
        except BaseException:
            connection.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        answer = {"query": str(loading.query), "rows": rows, "null": NULL, "names": ", ".join(quoted(c.name) for c in columns)}
        if not rows or "NOLOAD" in copy.options:
            connection.close()
            shutil.rmtree(folder, ignore_errors=True)
            return answer | {"rows": 0}
        pipe = self._exchange.pipe()
        send(pipe, lambda name: _written(connection, len(objects), name, folder))
        return answer | {"stream": str(pipe)}

    def _read(self, connection: duckdb.DuckDBPyConnection, loading: Loading, objects: Sequence[Object], folder: Path) -> tuple[int, int, list[BadRow]]:
        rows, size, bad = 0, 0, list[BadRow]()
        for i, item in enumerate(objects):
            path = folder / f"{i}.in"
            scanned = fetch(self._s3(), item, path)
            faults = read(connection, loading.copy, loading.columns, path, item.url, f"loaded_{i}")
            count = connection.execute(f"SELECT count(*) FROM loaded_{i}").fetchone()
            path.unlink()
            rows, size = rows + (int(count[0]) if count else 0), size + scanned
            bad += faults
            self._logs.add("load_files", query_id=loading.query, file_name=item.url, bytes_scanned=scanned, lines_scanned=int(count[0]) if count else 0,
                           splits_scanned=1, start_time=now(), end_time=now(), record_time=now())  # fmt: skip
        return rows, size, bad

    def _judged(self, loading: Loading, bad: Sequence[BadRow], rows: int, objects: Sequence[Object], size: int, start: str) -> None:
        """Remember the load and its bad rows; raises LoadError where there are as many as MAXERROR says, or one where it says nothing."""
        for row in bad:
            self._logs.add("load_errors", query_id=loading.query, transaction_id=loading.query, session_id=loading.session, table_id=loading.oid,
                           start_time=now(), file_name=row.file, line_number=row.line, column_name=row.column, column_type=row.type, column_length=row.length,
                           position=row.position, error_code=row.code, error_message=row.reason, raw_line=row.raw_line, raw_value=row.raw_value)  # fmt: skip
        most = int(loading.copy.options.get("MAXERROR", "0"))
        failed = bool(bad) and (loading.copy.is_columnar or len(bad) >= max(most, 1)) and "IGNOREALLERRORS" not in loading.copy.options
        self._logs.add("loads", query_id=loading.query, transaction_id=loading.query, session_id=loading.session, status="failed" if failed else "completed",
                       table_name=loading.table.replace('"', "").rpartition(".")[2], start_time=start, end_time=now(), duration=0,
                       data_source=loading.copy.source, file_format=loading.copy.format, loaded_rows=0 if failed else rows, loaded_bytes=size,
                       source_file_count=len(objects), source_file_bytes=size, file_count_scanned=len(objects), file_bytes_scanned=size,
                       error_count=len(bad))  # fmt: skip
        if failed:
            raise LoadError(f"Load into table '{loading.table}' failed.  Check 'stl_load_errors' system table for details. {_shown(bad[0])}")

    def _with_paths(self, copy: Copy) -> Copy:
        """The JSONPaths file, where there is one, with its expressions."""
        import json

        asked = copy.options.get("JSON", "")
        if not asked.startswith("s3://"):
            return copy
        bucket, key = split_url(asked)
        try:
            paths = json.loads(self._s3().get_object(Bucket=bucket, Key=key)["Body"].read())["jsonpaths"]
        except (self._s3().exceptions.NoSuchKey, ValueError, KeyError, TypeError):
            raise LoadError(f'The JSONPaths file {asked} does not exist, or has not the form {{"jsonpaths": ["$.a"]}}') from None
        return replace(copy, options={**copy.options, "JSON": "jsonpaths:" + "\n".join(paths)})


def _targets(copy: Copy, held: Sequence[Mapping[str, Any]]) -> list[Target]:
    """The columns to be filled, in the order of the statement or of the table; identity columns fill themselves."""
    found = {str(c["name"]): c for c in held}
    if unknown := [c for c in copy.columns if c not in found]:
        raise LoadError(f'column "{unknown[0]}" of relation "{copy.table}" does not exist')
    explicit = "EXPLICIT_IDS" in copy.options
    chosen = [found[c] for c in copy.columns] if copy.columns else [c for c in held if explicit or not c["identity"]]
    return [Target(str(c["name"]), str(c["type"]), bool(c["required"])) for c in chosen]


def _written(connection: duckdb.DuckDBPyConnection, count: int, name: str, folder: Path) -> None:
    """All rows as CSV into the pipe; who reads it may go away before the end."""
    union = " UNION ALL ".join(f"SELECT * FROM loaded_{i}" for i in range(count))
    try:
        connection.execute(f"COPY ({union}) TO {literal(name)} (FORMAT csv, HEADER false, NULLSTR {literal(NULL)}, USE_TMP_FILE false)")
    except duckdb.Error:
        pass
    finally:
        connection.close()
        shutil.rmtree(folder, ignore_errors=True)


def _shown(row: BadRow) -> str:
    where = f"line {row.line} of {row.file}" if row.line else row.file
    return f"({row.code}: {row.reason}; {where}{f', column {row.column}' if row.column else ''})"
