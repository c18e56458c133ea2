"""Rows of a DataFrame packed: each of its rows is an Arrow stream of many, which Spark keeps and shuffles as it is, where it would take rows apart."""

from __future__ import annotations

import itertools
import pickle
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from penstock.engines.embedded.duck import attached
from penstock.errors import PenstockError
from penstock.schema import Column, backquote, quote

from .executing import database, forget_archives
from .reading import FILE

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

KIND, PART, ROWS, DATA = "kind", "part", "rows", "data"
CHUNK_ROWS = 200_000
FAILED = "failed"
PACKED = f"{KIND} STRING, {PART} INT, {ROWS} BIGINT, {DATA} BINARY"
AT = "__at"
Batches = Iterable["pa.RecordBatch"]


def packed(kind: str, rows: pa.Table, part: int = 0) -> pa.RecordBatch:
    """Rows as one row."""
    import pyarrow as pa

    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
        stream.write_table(rows)
    return message(kind, out.getvalue().to_pybytes(), part, rows.num_rows)


def message(kind: str, data: bytes, part: int = 0, rows: int = 0) -> pa.RecordBatch:
    """Bytes in place of rows."""
    import pyarrow as pa

    return pa.RecordBatch.from_pydict({KIND: [kind], PART: pa.array([part], pa.int32()), ROWS: pa.array([rows], pa.int64()), DATA: [data]})


def unpacked(data: bytes) -> pa.Table:
    import pyarrow as pa

    return pa.ipc.open_stream(data).read_all()


def each(batches: Batches) -> Iterator[tuple[str, bytes]]:
    """Kind and data of what came to a task, one after the other. Raises what the task raised that it came from."""
    for row in (row for batch in batches for row in batch.to_pylist()):
        if row[KIND] == FAILED:
            raise pickle.loads(row[DATA])  # noqa: S301 - of our own executors
        yield row[KIND], row[DATA]


def by_kind(batches: Batches) -> dict[str, list[bytes]]:
    """All that came to a task. Raises as `each`."""
    found: dict[str, list[bytes]] = defaultdict(list)
    for kind, data in each(batches):
        found[kind].append(data)
    return found


def said(frame: Any, kind: str) -> list[bytes]:
    """The messages of one kind. Raises what a task raised."""
    rows = frame.where(f"{KIND} IN ('{kind}', '{FAILED}')").select(KIND, DATA).collect()
    for failed in (row for row in rows if row[KIND] == FAILED):
        raise pickle.loads(failed[DATA])  # noqa: S301 - of our own executors
    return [bytes(row[DATA]) for row in rows]


@cache
def apart(count: int) -> tuple[int, ...]:
    """Numbers of which Spark's hash sends each to a partition of its own, of so many."""
    import mmh3

    found: dict[int, int] = {}
    for number in itertools.count():
        found.setdefault(mmh3.hash(struct.pack("<i", number), 42) % count, number)
        if len(found) == count:
            return tuple(found.values())
    raise AssertionError


def together(chunks: Sequence[bytes], empty: pa.Schema) -> pa.Table:
    """The rows of some streams; none, of a schema, where there are none."""
    import pyarrow as pa

    return pa.concat_tables(map(unpacked, chunks)) if chunks else empty.empty_table()


def divided(kind: str, rows: pa.Table, parts: Any) -> Iterator[pa.RecordBatch]:
    """Rows packed by the part of each, in whose order they are."""
    import pyarrow.compute as pc

    if FILE in rows.column_names:  # a path takes more than all else of a position
        rows = rows.set_column(rows.column_names.index(FILE), FILE, pc.dictionary_encode(rows[FILE]))
    begin = 0
    for part, count in zip(*(a.to_pylist() for a in pc.value_counts(parts).flatten()), strict=True):
        yield packed(kind, rows.slice(begin, count).combine_chunks(), part)
        begin += count


def numbered(rows: pa.Table) -> pa.Table:
    """Rows with the place of each, AT."""
    import pyarrow as pa

    return rows.append_column(AT, pa.array(range(rows.num_rows), pa.int64()))


@dataclass(frozen=True)
class Dividing:
    """What divides rows by their key: like keys of one type come to one part, whoever sends them."""

    keys: tuple[str, ...]
    parts: int
    columns: Mapping[str, Column]

    def sent(self, kind: str, rows: pa.Table) -> Iterator[pa.RecordBatch]:
        """Rows, packed."""
        import pyarrow as pa

        rows = rows.cast(pa.schema([(c, self.columns[c].type.arrow()) for c in rows.column_names]))
        keys = ", ".join(f"CAST({quote(c)} AS {self.columns[c].type.duckdb})" for c in self.keys)
        parts = ", ".join(map(str, apart(self.parts)))
        with attached(database()) as connection:
            connection.register("__keys", numbered(rows.select(list(self.keys))))
            query = f"SELECT {AT}, ([{parts}])[1 + CAST(hash({keys}) % {self.parts} AS INTEGER)] AS part FROM __keys"
            found = connection.execute(query).to_arrow_table().sort_by([("part", "ascending"), (AT, "ascending")])
        yield from divided(kind, rows.take(found[AT]), found["part"])

    def of(self, kind: str, frame: Any) -> Any:
        """A DataFrame's rows, packed."""

        def work(batches: Batches) -> Iterator[pa.RecordBatch]:
            for rows in chunked(batches):
                yield from self.sent(kind, rows)

        return mapped(frame, work)


def mapped(frame: Any, work: Callable[[Batches], Iterator[pa.RecordBatch]], schema: str = PACKED) -> Any:
    """What `work` makes of a DataFrame's batches, when it is asked for; packed, an error of Penstock's own goes with it."""

    def run(batches: Batches) -> Iterator[pa.RecordBatch]:
        forget_archives()
        try:
            yield from work(batches)
        except PenstockError as error:
            if schema != PACKED:
                raise
            yield message(FAILED, pickle.dumps(error))

    return frame.mapInArrow(run, schema)


def chunked(batches: Batches) -> Iterator[pa.Table]:
    """Neighbours together: Spark sends some thousands of rows at once."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(b.num_rows for b in held) >= CHUNK_ROWS:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


Noting = Callable[["duckdb.DuckDBPyConnection", str, str], Iterator["pa.RecordBatch"]]


@dataclass(frozen=True)
class Packed:
    """The packed rows of a kind, among others in a DataFrame that is kept, with what was noted of them."""

    frame: Any
    kind: str

    @classmethod
    def of(cls, frame: Any, kind: str, note: Noting) -> Packed:
        """A DataFrame's rows packed where they are, and noted."""

        def work(batches: Batches) -> Iterator[pa.RecordBatch]:
            for rows in chunked(batches):
                yield packed(kind, rows)
                with attached(database()) as connection:
                    name_rows(connection, kind, rows)
                    yield from note(connection, kind, kind)

        return cls(mapped(frame, work).localCheckpoint(), kind)

    @property
    def total(self) -> int:
        return int(self._those(self.kind).selectExpr(f"COALESCE(SUM({ROWS}), 0) AS n").first()["n"])

    def noted(self, what: str) -> list[tuple[bytes, int]]:
        """The notes of a sort, each once, and to how many rows it applies."""
        found = self._those(note(self.kind, what)).groupBy(DATA).sum(ROWS).collect()
        return [(bytes(row[0]), row[1]) for row in found]

    def rows(self, total: int) -> Any:
        """The packed rows, in no more parts than so many are worth."""
        return self._those(self.kind).coalesce(max(1, -(-total // CHUNK_ROWS)))

    def _those(self, kind: str) -> Any:
        return self.frame.where(f"{KIND} = '{kind}'")


def note(kind: str, what: str) -> str:
    """The kind of notes of a sort on rows of a kind."""
    return f"{kind} {what}"


def rows_in(frame: Any, columns: Sequence[Column]) -> Any:
    """Packed rows as a DataFrame, unpacked when it is asked for."""
    import pyarrow as pa
    from pyspark.sql.pandas.types import from_arrow_schema

    schema = pa.schema([(c.name, c.type.arrow()) for c in columns])

    def work(batches: Batches) -> Iterator[pa.RecordBatch]:
        for data in (data for batch in batches for data in batch.column(0)):
            yield from unpacked(data.as_buffer()).cast(schema).to_batches()

    return mapped(frame.select(DATA), work, from_arrow_schema(schema, prefer_timestamp_ntz=True)).select(*(backquote(c.name) for c in columns))


def name_rows(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """Rows as a table of DuckDB, which any cursor sees."""
    connection.register("__rows", rows)
    connection.execute(f"CREATE OR REPLACE TABLE {quote(name)} AS FROM __rows")
    connection.unregister("__rows")
