"""Data files as relations: a table's live files read, and new ones written."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from penstock.schema import literal, names, quote
from penstock.tables import DataFile, FieldId, FileLayout, FileTable, Pinned, WrittenDeletes, WrittenFile
from penstock.threads import each

from .duck import beside, place_of
from .maps import replacing
from .positions import Positions

if TYPE_CHECKING:
    import duckdb

W = TypeVar("W")

FILE_ROWS = 1_000_000
ROW_GROUP_ROWS = 122_880
_VECTOR_ROWS = 2048
_WORKERS = 2
_PLACE = "file_row_number"


@dataclass(frozen=True)
class Output:
    """One partition's (or file range's) rows to be written: a query, and about how many rows it gives.

    `file_rows`: about where files are cut. `near`: rows may change places with those of the next row group, which lets several threads write them.
    """

    partition: tuple[object, ...]
    query: str
    rows: int
    file_rows: int = field(default_factory=lambda: FILE_ROWS)
    near: bool = False

    @property
    def is_divided(self) -> bool:
        return self.rows > self.file_rows * 3 // 2


def value(found: object) -> str:
    """A Python value as text in SQL, for a CAST to its type; bare numbers would make NaN and infinity the names of columns."""
    return "NULL" if found is None else literal(str(found))


@dataclass(frozen=True)
class Wanted:
    """Only rows of which the `keys` are among those that a query gives."""

    query: str
    keys: tuple[str, ...]

    def of(self, rows: str) -> str:
        return f"SELECT t.* FROM ({rows}) t SEMI JOIN ({self.query}) w ON {' AND '.join(f't.{quote(k)} = w.{quote(k)}' for k in self.keys)}"


def source(positions: Positions, table: FileTable, pinned: Pinned, files: Sequence[DataFile], columns: Iterable[str], only: Wanted | None = None) -> str:
    """A query for columns of the given files; `__file` is the file that a row is in, `__row` its place there, from 0. Deleted rows are left out."""
    wanted = list(columns)
    types = {c.name: c.type.duckdb for c in pinned.columns}
    if not files:
        nothing = ", ".join(f"CAST(NULL AS {types[c]}) AS {quote(c)}" for c in wanted)
        return f"SELECT {nothing}, CAST(NULL AS VARCHAR) AS __file, CAST(NULL AS BIGINT) AS __row WHERE FALSE"
    groups: dict[tuple[frozenset[str], bool], list[DataFile]] = {}
    for file in files:
        groups.setdefault((frozenset(file.outside), file.by_number), []).append(file)
    return " UNION ALL ".join(_source(positions, table, pinned, group, wanted, types, only) for group in groups.values())


def _source(
    positions: Positions, table: FileTable, pinned: Pinned, files: Sequence[DataFile], wanted: Sequence[str], types: Mapping[str, str], only: Wanted | None
) -> str:
    """The query for files that lack the same columns, and spell them alike."""
    layout, outside = table.layout(pinned), list(files[0].outside)
    in_files = [c for c in wanted if c not in outside]
    if only and not set(only.keys) <= set(in_files):
        return only.of(_source(positions, table, pinned, files, wanted, types, None))
    whole, thinned = ([f for f in files if bool(f.deletes) is has] for has in (False, True))
    # the few rows that are wanted are chosen before the deleted ones are left out: that join costs by the row
    read, thin = (_read(pinned, layout, part, in_files, types) if part else "" for part in (whole, thinned))
    parts = [only.of(read) if only else read] if whole else []
    if thinned:
        parts.append(positions.left(only.of(thin) if only else thin, thinned, few=only is not None))
    rows = " UNION ALL ".join(f"({part})" for part in parts)
    if in_order := replacing({c.name: c.type.arrow() for c in pinned.columns if c.type.is_nested and c.name in wanted}):
        rows = f"SELECT *{in_order} FROM ({rows})"
    if not outside:
        return f"SELECT {', '.join(map(quote, wanted))}, __file, __row FROM ({rows})"
    places = ", ".join(f"({literal(f.uri)}, {', '.join(value(f.outside[c]) for c in outside)})" for f in files)
    chosen = ", ".join(f"CAST(p.{quote(c)} AS {types[c]}) AS {quote(c)}" if c in outside else f"t.{quote(c)}" for c in wanted)
    return f"SELECT {chosen}, t.__file, t.__row FROM ({rows}) t JOIN (VALUES {places}) p(__path, {', '.join(map(quote, outside))}) ON t.__file = p.__path"


def _read(pinned: Pinned, layout: FileLayout, files: Sequence[DataFile], columns: Sequence[str], types: Mapping[str, str]) -> str:
    """Columns of files as they lie there, deleted rows among them: a column that a file lacks is NULL, a narrower type is widened."""
    listed = f"read_parquet([{', '.join(literal(f.uri) for f in files)}], filename = '__file', hive_partitioning = false"
    numbers = layout.field_ids if pinned.is_read_by_number or files[0].by_number else None
    if numbers or any(c.lower() == _PLACE for c in types):  # that name is DuckDB's own for the place of a row: read under another one
        read_as = {c: f"__own_{_PLACE}" if c.lower() == _PLACE else c for c in columns or list(types)[:1]}
        fields = ", ".join(
            f"{numbers[c].number if numbers else literal(c)}: {{name: {literal(name)}, type: {literal(types[c])}, default_value: NULL}}"
            for c, name in read_as.items()
        )
        chosen = "".join(f"{quote(read_as[c])} AS {quote(c)}, " for c in columns)
        return f"SELECT {chosen}__file, {_PLACE} AS __row FROM {listed}, schema = MAP {{{fields}}})"
    found = f"{listed}, {_PLACE} = true{', union_by_name = true' if pinned.evolved else ''})"
    if pinned.evolved and columns:
        typed = ", ".join(f"CAST(NULL AS {types[c]}) AS {quote(c)}" for c in columns)
        found = f"(FROM {found} UNION ALL BY NAME SELECT {typed} WHERE FALSE)"
        # together with what fields the files have besides, or in another order
        chosen = "".join(f"CAST({quote(c)} AS {types[c]}) AS {quote(c)}, " for c in columns)
    else:
        chosen = "".join(f"{quote(c)}, " for c in columns)
    return f"SELECT {chosen}__file, {_PLACE} AS __row FROM {found}"


def in_order(columns: Iterable[str]) -> list[str]:
    """What to ORDER BY, as a table's design means it."""
    return [f"{quote(c)} ASC NULLS FIRST" for c in columns]


def sorted_by(table: FileTable, otherwise: Sequence[str] = ()) -> str:
    """ORDER BY as the table's design has it."""
    order = in_order(table.design.sort_by) or [quote(c) for c in otherwise]
    return f" ORDER BY {', '.join(order)}" if order else ""


class Writer:
    """Writes the data files of one change of one table, two at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, positions: Positions, table: FileTable, pinned: Pinned, tag: str) -> None:
        self._connection, self.positions, self._table, self.tag = connection, positions, table, tag
        self._layout, self._columns = table.layout(pinned), pinned.columns
        self._own, self._place = threading.local(), place_of(connection)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that lie in the files."""
        left_out = set() if self._layout.partition_columns_in_file else {p.column for p in self._table.partition_by}
        return tuple(n for n in names(self._columns) if n not in left_out)

    def write(self, outputs: Sequence[Output]) -> list[WrittenFile]:
        """Write each output's rows in their order; the larger ones first. Nothing refers to the files until they are committed."""
        if not outputs:
            return []
        with self._threads(outputs):
            return self._write(outputs)

    def write_beside(self, thinned: Sequence[DataFile], outputs: Sequence[Output]) -> tuple[list[WrittenFile], Sequence[WrittenDeletes]]:
        """Write outputs, and meanwhile the positions of the rows of data files that `gone` names, with those that files of their own deleted before."""
        if not thinned:
            return self.write(outputs), []
        before = self.positions.own(thinned)
        write_deletes = partial(self._write_deletes, thinned, f" UNION ALL {before}" if before else "")
        with self._threads(outputs), ThreadPoolExecutor(1) as pool:
            found = pool.submit(_tried, write_deletes)
            written, deletes = self._write(outputs), found.result()
            return written, write_deletes() if deletes is None else deletes

    @contextmanager
    def _threads(self, outputs: Sequence[Output]) -> Iterator[None]:
        """As many as DuckDB may have for one of the outputs."""
        threads = self._connection.execute("SELECT current_setting('threads')").fetchone()
        # a thread each, for an output that is divided must be so in the order of its rows; one that stays whole, or only nearly so, has them all
        workers = _WORKERS if len(outputs) == 1 and (outputs[0].near or not outputs[0].is_divided) else 1
        self._connection.execute(f"SET threads = {workers}; SET preserve_insertion_order = true")
        try:
            yield
        finally:
            self._connection.execute(f"SET threads = {threads[0] if threads else _WORKERS}; SET preserve_insertion_order = false")

    def _write(self, outputs: Sequence[Output]) -> list[WrittenFile]:
        ordered = sorted(outputs, key=lambda o: -o.rows)
        parts = each(lambda o: _tried(partial(self._written, o, _row_group(o))), ordered, _WORKERS)
        if None in parts:  # what did not fit beside others is tried alone
            self._connection.execute("SET threads = 1")
        return [file for output, part in zip(ordered, parts, strict=True) for file in (self._in_smaller_groups(output) if part is None else part)]

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        if not hasattr(self._own, "cursor"):
            self._own.cursor = beside(self._connection, self._place)
        cursor: duckdb.DuckDBPyConnection = self._own.cursor
        return cursor

    def _in_smaller_groups(self, output: Output) -> Sequence[WrittenFile]:
        """A row group lies in memory before it is written: where its rows are so long that it does not fit, it is made smaller."""
        row_group = _row_group(output)
        while row_group > _VECTOR_ROWS:
            if (found := _tried(partial(self._written, output, row_group))) is not None:
                return found
            row_group = max(_VECTOR_ROWS, row_group // 8)
        return self._written(output, row_group)

    def _written(self, output: Output, row_group: int) -> list[WrittenFile]:
        uri = self._table.new_file(output.partition, self.tag)
        options = self._options(row_group)
        if output.is_divided:
            uri = uri.removesuffix(".parquet")
            options += f", ROW_GROUPS_PER_FILE {max(1, output.file_rows // row_group)}"
        if not uri.startswith("s3://"):
            Path(uri).parent.mkdir(parents=True, exist_ok=True)
        found = self._cursor().execute(f"COPY ({output.query}) TO {literal(uri)} ({options})").fetchall()
        return [WrittenFile(str(row[0]), output.partition, int(row[2]), int(row[1]), statistics=self._layout.measure(str(row[0]))) for row in found if row[1]]

    def _write_deletes(self, files: Sequence[DataFile], before: str) -> Sequence[WrittenDeletes]:
        numbered = ", ".join(f"({literal(f.uri)}, {i})" for i, f in enumerate(files))
        every = f"SELECT __file AS path, __row AS pos FROM gone{before}"
        query = f"SELECT n.number, g.pos FROM ({every}) g JOIN (VALUES {numbered}) n(path, number) ON g.path = n.path ORDER BY ALL"
        found = self._cursor().execute(query).to_arrow_table()
        rows = Counter(found["number"].to_pylist())
        ends = accumulate(rows[i] for i in range(len(files)))
        return self._layout.pack([(f, found["pos"].slice(end - rows[i], rows[i])) for i, (f, end) in enumerate(zip(files, ends, strict=True)) if i in rows])

    def _options(self, row_group: int) -> str:
        layout = self._layout
        options = f"FORMAT parquet, COMPRESSION {layout.compression}, COMPRESSION_LEVEL {layout.compression_level}, ROW_GROUP_SIZE {row_group}, RETURN_STATS"
        if layout.field_ids is None:
            return options
        return f"{options}, FIELD_IDS {_numbers({c: i for c, i in layout.field_ids.items() if c in self.columns})}"


def _tried(write: Callable[[], Sequence[W]]) -> Sequence[W] | None:
    """None where the memory does not suffice."""
    import duckdb

    try:
        return write()
    except duckdb.OutOfMemoryException:
        return None


def _row_group(output: Output) -> int:
    return min(ROW_GROUP_ROWS, max(_VECTOR_ROWS, output.file_rows))


def _numbers(ids: Mapping[str, FieldId], own: Sequence[str] = ()) -> str:
    """The numbers of fields, and of those inside them, as DuckDB takes them."""
    inner = (f"{quote(name)}: {_numbers(i.parts, [f'__duckdb_field_id: {i.number}']) if i.parts else i.number}" for name, i in ids.items())
    return f"{{{', '.join([*own, *inner])}}}"
