"""One batch's work on the embedded engine: DuckDB for the relations, the table's connector for everything that lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from penstock.changes.facts import MergeSpec, listed
from penstock.config import AwsSettings, Secret
from penstock.connectors.readers import Files, read_rows
from penstock.engines.base import Arrived, Settled
from penstock.engines.changing import amend, evolved, overwriting, rewrite
from penstock.engines.curve import SAMPLE_ROWS, SAMPLED, place_on_curve, sample_of
from penstock.engines.deleting import Arrival, thinned
from penstock.engines.settling import settle, unknown
from penstock.engines.slices import files_for
from penstock.engines.slots import slots_of
from penstock.evolution import UNCHANGED, Evolution
from penstock.maintenance import Clustering, Group
from penstock.schema import literal, names, quote
from penstock.sketches import Sketch, sketched
from penstock.tables import Change, DataFile, LakeTable, Pinned, WrittenDeletes, WrittenFile

from .duck import reach_s3
from .files import Output, Wanted, Writer, in_order, sorted_by, source
from .locate import candidates, is_older
from .maps import replacing
from .positions import Positions
from .routing import FilledSlot, assign, filled_slots, incoming, slot_output
from .searching import found_below

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


_SKETCHED = 500_000  # values that are hashed together


class EmbeddedSession:
    """Implements `penstock.engines.base.Session` and `penstock.engines.changing.Writing`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, aws: AwsSettings) -> None:
        self._connection, self._aws = connection, aws
        self._positions = Positions(connection)
        self._secret: Secret | None = None
        self._files: dict[tuple[str, int | None, int], Sequence[DataFile]] = {}
        self.found: dict[tuple[str, int | None], str] = {}  # where settling found a table's touched rows

    def load(self, name: str, rows: pa.Table) -> None:
        in_order = replacing({f.name: f.type for f in rows.schema})
        self._connection.register(f"__loaded_{name}" if in_order else name, rows)
        if in_order:
            self.name(name, f"SELECT *{in_order} FROM {quote(f'__loaded_{name}')}", "TEMP VIEW")

    def read(self, name: str, files: Files) -> Arrived:
        rows = read_rows(files.store, files.files, files.spec)
        self.load(name, rows.table)
        return Arrived(rows.rejected, rows.read, rows.filtered)

    def query(self, sql: str) -> pa.Table:
        return self._connection.execute(sql).to_arrow_table()

    def frame(self, sql: str) -> pa.Table:
        return self.query(sql)

    def columns(self, name: str) -> Sequence[str]:
        return [d[0] for d in self._connection.execute(f"SELECT * FROM {name} LIMIT 0").description]

    def execute(self, sql: str) -> None:
        self._connection.execute(sql)

    def scan(self, name: str, table: LakeTable, pinned: Pinned, files: Sequence[DataFile] | None = None) -> None:
        columns, read = names(pinned.columns), self.files(table, pinned) if files is None else files
        self.name(name, f"SELECT {listed('{0}', columns)} FROM ({source(self._positions, table, pinned, read, columns)})", "TEMP VIEW")

    def settle(self, spec: MergeSpec, table: LakeTable, pinned: Pinned, memory: LakeTable, remembered: Pinned) -> Settled:
        return settle(self, spec, table, pinned, memory, remembered)

    def unknown(self, table: LakeTable, pinned: Pinned, rows: str, sequence: Sequence[str]) -> str:
        return unknown(self, table, pinned, rows, sequence)

    def rewrite(self, table: LakeTable, pinned: Pinned, upserts: str, deletes: str, tag: str) -> Change:
        return rewrite(self, table, pinned, upserts, deletes, tag)

    def append(self, table: LakeTable, pinned: Pinned, rows: str, tag: str) -> Change:
        writer = Writer(self._connection, self._positions, table, pinned, tag)
        partitions = incoming(self._connection, table, pinned, rows)
        counts = dict(self._connection.execute("SELECT __part, COUNT(*) FROM incoming GROUP BY __part").fetchall())
        columns = listed("{0}", writer.columns)
        order = sorted_by(table)
        outputs = [Output(p, f"SELECT {columns} FROM incoming WHERE __part = {i}{order}", counts[i]) for i, p in enumerate(partitions) if counts.get(i)]
        self._reach(table.location)
        return Change("append", writer.write(outputs))

    def overwrite(self, table: LakeTable, pinned: Pinned, rows: str, tag: str, replaces: Callable[[tuple[object, ...]], bool] | None = None) -> Change:
        return overwriting(self, table, pinned, self.append(table, pinned, rows, tag).add, replaces)

    def amend(self, table: LakeTable, pinned: Pinned, where: str, values: Mapping[str, str], tag: str) -> Change:
        return amend(self, table, pinned, where, values, tag)

    def compact(self, table: LakeTable, pinned: Pinned, group: Group, order: Clustering, tag: str, evolution: Evolution = UNCHANGED) -> Change:
        self._reach(table.location)
        now, values = evolved(evolution, pinned)
        writer = Writer(self._connection, self._positions, table, now, tag)
        read = names(pinned.columns) if evolution else writer.columns
        query = f"SELECT {', '.join(f'{values[c]} AS {quote(c)}' for c in writer.columns)} FROM ({self.rows_of(table, pinned, group.files, read)})"
        within = [c for c in order.columns or table.design.sort_by if c in writer.columns]
        curved = order.zorder and len(within) > 1
        by, declared = ([self._curve(table, pinned, group, within)] if curved else in_order(within)), order.keeps(table.design.sort_by)
        file_rows = max(1, group.rows * order.file_bytes // max(1, group.bytes))
        output = Output(group.partition, f"{query} ORDER BY {', '.join(by)}" if by else query, group.rows, file_rows, near=bool(by) and not declared)
        return Change("replace", [replace(f, in_order=declared) for f in writer.write([output])], group.files)

    def _curve(self, table: LakeTable, pinned: Pinned, group: Group, columns: Sequence[str]) -> str:
        rows = self.rows_of(table, pinned, sample_of(group.files), columns)
        self.name(SAMPLED, f"SELECT {listed('{0}', columns)} FROM ({rows}) USING SAMPLE reservoir({SAMPLE_ROWS} ROWS) REPEATABLE (1)")
        return place_on_curve(self, columns, {c.name: c.type.duckdb for c in pinned.columns})

    def sketch(self, table: LakeTable, pinned: Pinned, columns: Sequence[str]) -> Mapping[str, Sketch]:
        rows = self.rows_of(table, pinned, self.files(table, pinned), columns)
        self._connection.execute("SET arrow_large_buffer_size = true")  # a batch of long texts has more than 2 GB
        try:
            batches = self._connection.execute(f"SELECT {listed('{0}', columns)} FROM ({rows})").to_arrow_reader(_SKETCHED // len(columns))
            return sketched(batches, tuple(c for c in pinned.columns if c.name in columns))
        finally:
            self._connection.execute("RESET arrow_large_buffer_size")

    def found_below(self, table: LakeTable, pinned: Pinned, keys: str, columns: Sequence[str]) -> int:
        self._reach(table.location)
        return found_below(self._connection, table, pinned, self.files(table, pinned), keys, columns)

    def export(self, rows: str, uri: str, slices: int = 1) -> Sequence[WrittenFile]:
        self._reach(uri)
        if slices == 1:
            return self._exported(rows, uri)
        count = self._connection.execute(f"CREATE OR REPLACE TEMP TABLE outward AS FROM {rows}").fetchall()[0][0]
        files = files_for(count, slices)
        bounds = pairwise(count * i // files for i in range(files + 1))
        ranges = [f"(SELECT * FROM outward WHERE rowid >= {start} AND rowid < {end})" for start, end in bounds]
        found = [f for i, part in enumerate(ranges) for f in self._exported(part, f"{uri.removesuffix('.parquet')}-{i}.parquet")]
        self._connection.execute("DROP TABLE outward")
        return found

    def _exported(self, rows: str, uri: str) -> list[WrittenFile]:
        found = self._connection.execute(f"COPY (FROM {rows}) TO {literal(uri)} (FORMAT parquet, COMPRESSION zstd, RETURN_STATS)").fetchall()
        return [WrittenFile(str(row[0]), (), int(row[2]), int(row[1])) for row in found if row[1]]

    def written(self, table: LakeTable, pinned: Pinned, rows: str, keys: Sequence[str], tag: str) -> Change:
        gone = dict(self._connection.execute("SELECT __file, COUNT(*) FROM gone GROUP BY __file").fetchall())
        writer = Writer(self._connection, self._positions, table, pinned, tag)
        files = self.files(table, pinned)
        partitions = incoming(self._connection, table, pinned, rows)
        counts = dict(self._connection.execute("SELECT __part, COUNT(*) FROM incoming GROUP BY __part").fetchall())
        staying = {f.uri for f in thinned(files, gone)} if table.design.position_deletes else set()
        arrivals = [Arrival(p, counts.get(i, 0)) for i, p in enumerate(partitions)]
        slots = slots_of(arrivals, files, set(gone) - staying, keys[0], apart=table.design.position_deletes)
        assign(self._connection, partitions, slots, keys[0], self._type(pinned, keys[0]))
        filled = filled_slots(self._connection, slots, gone)
        removed = [f for one in filled for f in one.slot.files]
        thin = staying - {f.uri for f in removed}
        added, deletes = self._write_slots(writer, table, pinned, keys, [f for f in filled if f.rows > 0], [f for f in files if f.uri in thin])
        return Change("overwrite" if removed or deletes else "append", added, removed, deletes)

    def _write_slots(
        self, writer: Writer, table: LakeTable, pinned: Pinned, keys: Sequence[str], filled: Sequence[FilledSlot], thin: Sequence[DataFile]
    ) -> tuple[list[WrittenFile], Sequence[WrittenDeletes]]:
        """Write the rows of slots, and positions for the files that stay without rows of theirs."""
        return writer.write_beside(thin, [slot_output(writer, table, pinned, one, keys) for one in filled])

    def locate(self, name: str, wanted: str | None, table: LakeTable, pinned: Pinned, keys: Sequence[str], columns: Iterable[str]) -> None:
        """Name the stored rows of the wanted keys (all rows for None), with the file that each is in; only files that can hold one are read."""
        files = self.files(table, pinned)
        if wanted is None:
            self.name(name, self.rows_of(table, pinned, files, columns))
            return
        self._find(name, wanted, table, pinned, self._candidates(wanted, pinned, keys, files), keys, tuple(columns))

    def _find(self, name: str, wanted: str, table: LakeTable, pinned: Pinned, held: Sequence[DataFile], keys: Sequence[str], columns: Sequence[str]) -> None:
        """Name the rows of the wanted keys in the files that can hold them."""
        self.name(name, self.rows_of(table, pinned, held, columns, Wanted(wanted, tuple(keys))))
        self._positions.let_go()

    def locate_sequences(self, name: str, wanted: str, table: LakeTable, pinned: Pinned, keys: Sequence[str], sequence: Sequence[str], least: object) -> None:
        """Name keys and sequence of the stored rows of the wanted keys, as `locate` does. Of a file of which all rows are older than `least`, the first
        part of the least wanted sequence, no sequence is read: its rows have the least that the file can have.
        """
        self._find_sequences(name, wanted, table, pinned, self._candidates(wanted, pinned, keys, self.files(table, pinned)), keys, sequence, least)

    def _find_sequences(
        self, name: str, wanted: str, table: LakeTable, pinned: Pinned, held: Sequence[DataFile], keys: Sequence[str], sequence: Sequence[str], least: object
    ) -> None:
        older = [f for f in held if is_older(f, sequence, least)]
        rest = [f for f in held if f not in older] if older else held
        only = Wanted(wanted, tuple(keys))
        parts = [self.rows_of(table, pinned, rest, (*keys, *sequence), only)] if rest or not older else []
        if older:
            lowest = ", ".join(f"({literal(f.uri)}, {', '.join(str(f.lower[c]) for c in sequence)})" for f in older)
            typed = ", ".join(f"CAST(l.{quote(c)} AS {self._type(pinned, c)}) AS {quote(c)}" for c in sequence)
            parts.append(f"""SELECT {listed("t.{0}", keys)}, {typed}, t.__file, t.__row FROM ({self.rows_of(table, pinned, older, keys, only)}) t
              JOIN (VALUES {lowest}) l(__path, {listed("{0}", sequence)}) ON t.__file = l.__path""")
        self.name(name, " UNION ALL ".join(parts))
        self._positions.let_go()

    def _candidates(self, wanted: str, pinned: Pinned, keys: Sequence[str], files: Sequence[DataFile]) -> list[DataFile]:
        return candidates(self._connection, wanted, keys[0], self._type(pinned, keys[0]), files)

    def rows_of(self, table: LakeTable, pinned: Pinned, files: Sequence[DataFile], columns: Iterable[str], only: Wanted | None = None) -> str:
        """A query for columns of some files of a table, and `__file`."""
        return source(self._positions, table, pinned, files, columns, only)

    def files(self, table: LakeTable, pinned: Pinned) -> Sequence[DataFile]:
        self._reach(table.location)
        state = (table.location, pinned.version, pinned.schema)
        if state not in self._files:
            self._files[state] = table.files(pinned)
        return self._files[state]

    def _reach(self, location: str) -> None:
        if location.startswith("s3://"):
            self._secret = reach_s3(self._connection, self._aws, self._secret)

    def name(self, name: str, sql: str, kind: str = "TABLE") -> None:
        """Tables are not temporary: the cursors that write files must see them, and the whole database goes with the session."""
        self._connection.execute(f"CREATE OR REPLACE {kind} {quote(name)} AS {sql}")

    @staticmethod
    def _type(pinned: Pinned, column: str) -> str:
        return next(c.type.duckdb for c in pinned.columns if c.name == column)
