"""Data files as relations: a table's live files read, and new ones written."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.schema import literal, names, quote
from penstock.tables import DataFile, LakeTable, Pinned, WrittenFile

if TYPE_CHECKING:
    import duckdb

FILE_ROWS = 1_000_000
ROW_GROUP_ROWS = 122_880
_WORKERS = 2


@dataclass(frozen=True)
class Output:
    """One partition's (or file range's) rows to be written: a query, and about how many rows it gives."""

    partition: tuple[object, ...]
    query: str
    rows: int


def value(found: object) -> str:
    """A Python value as text in SQL, for a CAST to its type; bare numbers would make NaN and infinity the names of columns."""
    return "NULL" if found is None else literal(str(found))


def source(table: LakeTable, pinned: Pinned, files: Sequence[DataFile], columns: Iterable[str]) -> str:
    """A query for columns of the given files; `__file` is the file that a row is in."""
    wanted = list(columns)
    types = {c.name: c.type.duckdb for c in pinned.columns}
    if not files:
        nothing = ", ".join(f"CAST(NULL AS {types[c]}) AS {quote(c)}" for c in wanted)
        return f"SELECT {nothing}, CAST(NULL AS VARCHAR) AS __file WHERE FALSE"
    fields = {} if table.layout(pinned).partition_columns_in_file else {p.column: i for i, p in enumerate(table.partition_by)}
    options = "filename = '__file', hive_partitioning = false" + (", union_by_name = true" if pinned.evolved else "")
    listed = f"read_parquet([{', '.join(literal(f.uri) for f in files)}], {options})"
    if pinned.evolved:  # a column that no file has yet is NULL, a narrower type is widened
        typed = ", ".join(f"CAST(NULL AS {types[c]}) AS {quote(c)}" for c in wanted if c not in fields)
        listed = f"(FROM {listed} UNION ALL BY NAME SELECT {typed} WHERE FALSE)" if typed else listed
    if not fields:
        return f"SELECT {', '.join(map(quote, wanted))}, __file FROM {listed}"
    rows = ", ".join(f"({literal(f.uri)}, {', '.join(value(f.partition[i]) for i in fields.values())})" for f in files)
    chosen = ", ".join(f"CAST(p.{quote(c)} AS {types[c]}) AS {quote(c)}" if c in fields else f"t.{quote(c)}" for c in wanted)
    return f"SELECT {chosen}, t.__file FROM {listed} t JOIN (VALUES {rows}) p(__path, {', '.join(map(quote, fields))}) ON t.__file = p.__path"


class Writer:
    """Writes the data files of one change of one table, two at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: LakeTable, pinned: Pinned, tag: str) -> None:
        self._connection, self._table, self._tag = connection, table, tag
        self._layout, self._columns = table.layout(pinned), pinned.columns
        self._own = threading.local()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that lie in the files."""
        left_out = set() if self._layout.partition_columns_in_file else {p.column for p in self._table.partition_by}
        return tuple(n for n in names(self._columns) if n not in left_out)

    def write(self, outputs: Sequence[Output]) -> list[WrittenFile]:
        """Write each output's rows in their order; the larger ones first. Nothing refers to the files until they are committed."""
        threads = self._connection.execute("SELECT current_setting('threads')").fetchone()
        self._connection.execute("SET threads = 1; SET preserve_insertion_order = true")
        try:
            with ThreadPoolExecutor(_WORKERS) as pool:
                parts = list(pool.map(self._write_one, sorted(outputs, key=lambda o: -o.rows)))
        finally:
            self._connection.execute(f"SET threads = {threads[0] if threads else _WORKERS}; SET preserve_insertion_order = false")
        return [file for part in parts for file in part]

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        if not hasattr(self._own, "cursor"):
            self._own.cursor = self._connection.cursor()
        cursor: duckdb.DuckDBPyConnection = self._own.cursor
        return cursor

    def _write_one(self, output: Output) -> list[WrittenFile]:
        uri = self._table.new_file(output.partition, self._tag)
        options = self._options()
        if output.rows > FILE_ROWS * 3 // 2:
            uri = uri.removesuffix(".parquet")
            options += f", ROW_GROUPS_PER_FILE {FILE_ROWS // ROW_GROUP_ROWS}"
        if not uri.startswith("s3://"):
            Path(uri).parent.mkdir(parents=True, exist_ok=True)
        found = self._cursor().execute(f"COPY ({output.query}) TO {literal(uri)} ({options})").fetchall()
        return [WrittenFile(str(row[0]), output.partition, int(row[2]), int(row[1])) for row in found if row[1]]

    def _options(self) -> str:
        layout = self._layout
        options = (
            f"FORMAT parquet, COMPRESSION {layout.compression}, COMPRESSION_LEVEL {layout.compression_level}, ROW_GROUP_SIZE {ROW_GROUP_ROWS}, RETURN_STATS"
        )
        if layout.field_ids is None:
            return options
        return f"{options}, FIELD_IDS {{{', '.join(f'{quote(c)}: {i}' for c, i in layout.field_ids.items() if c in self.columns)}}}"
