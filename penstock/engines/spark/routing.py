"""Which file each packed row belongs to, found out by executors as one machine does it, and the files written."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from penstock.engines.deleting import Arrival
from penstock.engines.embedded.duck import attached
from penstock.engines.embedded.routing import FilledSlot, assign, incoming
from penstock.engines.slots import Partition, Slot, place, slot_of, slots_by_place
from penstock.schema import quote
from penstock.tables import LakeTable, WrittenFile

from .executing import database
from .packing import AT, PACKED, PART, Batches, Packed, apart, by_kind, divided, each, mapped, message, name_rows, note, numbered, packed, said, unpacked
from .reading import FILE, ROW
from .slot_writing import SlotWriting, groups_of, plan_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

NEW, GONE = "new", "gone"
_PLAN, _FOUND = "plan", "found"
_FILE, _PARTITION, _KEYS = "file", "partition", "keys"
_ARRIVING = "arriving_rows"
NUMBER = "__number"
_SAMPLE = 64
_ROW_BYTES = 60  # about, in a file


@dataclass(frozen=True)
class Arriving:
    """Rows that come to a partition, and some of their first keys."""

    arrival: Arrival
    keys: Sequence[Any]


def note_places(connection: duckdb.DuckDBPyConnection, kind: str, places: str) -> Iterator[pa.RecordBatch]:
    """How many of the places of a relation are in which file."""
    for file, count in connection.execute(f"SELECT {FILE}, COUNT(*) FROM {places} GROUP BY {FILE}").fetchall():
        yield message(note(kind, _FILE), file.encode(), rows=count)


@dataclass(frozen=True)
class Routing:
    """What the tasks of one change share."""

    writing: SlotWriting

    @property
    def key(self) -> str:
        return self.writing.keys[0]

    def note_arrivals(self, connection: duckdb.DuckDBPyConnection, kind: str, rows: str) -> Iterator[pa.RecordBatch]:
        """How many rows of a relation come to which partition, and some of their keys."""
        found = incoming(connection, self.writing.table, self.writing.pinned, rows)
        for part, count in connection.execute("SELECT __part, COUNT(*) FROM incoming GROUP BY __part").fetchall():
            yield message(note(kind, _PARTITION), pickle.dumps(found[part]), rows=count)
        drawn = connection.execute(f"SELECT __part, {quote(self.key)} AS key FROM incoming USING SAMPLE {_SAMPLE} ROWS").to_arrow_table()
        yield message(note(kind, _KEYS), pickle.dumps([(place(found[row["__part"]]), row["key"]) for row in drawn.to_pylist()]))

    def slots(self, slots: Sequence[Slot], batches: Batches) -> Iterator[pa.RecordBatch]:
        """How many rows come to which slot."""
        for _, data in each(batches):
            with attached(database()) as connection:
                self._assign(connection, unpacked(data), slots)
                yield message(_FOUND, pickle.dumps(connection.execute("SELECT __slot, COUNT(*) FROM assigned GROUP BY __slot").fetchall()))

    def sent(self, kind: str, slots: Sequence[Slot], tasks: pa.Table, batches: Batches) -> Iterator[pa.RecordBatch]:
        """Rows packed for the tasks that write them: new ones by their `slot`, the places of those that go by their `file`."""

        for _, data in each(batches):
            rows = unpacked(data)
            with attached(database()) as connection:
                if kind == NEW:
                    self._assign(connection, rows, slots)
                else:
                    name_rows(connection, "assigned", numbered(rows.select([FILE])))
                connection.register("__tasks", tasks)
                on = "a.__slot = t.slot" if kind == NEW else f"a.{FILE} = t.file"
                found = connection.execute(f"SELECT a.* , t.task FROM assigned a JOIN __tasks t ON {on}").to_arrow_table()
            yield from self._taken(kind, rows, found)

    @staticmethod
    def _taken(kind: str, rows: pa.Table, found: pa.Table) -> Iterator[pa.RecordBatch]:
        """Rows by the places that are found for them, packed for each task."""
        found = found.sort_by([("task", "ascending"), (AT, "ascending")])
        rows = rows.take(found[AT])
        if kind == NEW:
            rows = rows.append_column("__slot", found["__slot"])
        yield from divided(kind, rows, found["task"])

    def written(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        """Write the slots whose plans came, with what comes to them and what goes. Raises as `SlotWriting.written`."""
        import pyarrow as pa

        sent = by_kind(batches)
        for plan in sent[_PLAN]:
            filled, uris = pickle.loads(plan)  # noqa: S301 - of the driver
            with attached(database()) as connection:
                for kind, name in ((NEW, "assigned"), (GONE, "gone")):
                    if sent[kind]:
                        name_rows(connection, name, pa.concat_tables(map(unpacked, sent[kind])))
                if not sent[NEW]:
                    columns = ", ".join(f"CAST(NULL AS {c.type.duckdb}) AS {quote(c.name)}" for c in self.writing.pinned.columns)
                    connection.execute(f"CREATE TABLE assigned AS SELECT {columns}, 0 AS __slot WHERE FALSE")
                if not sent[GONE]:
                    connection.execute("CREATE TABLE gone (__file VARCHAR, __row BIGINT)")
                yield message(_FOUND, pickle.dumps(self.writing.write(connection, self._counted(connection, filled), uris)))

    @staticmethod
    def _counted(connection: duckdb.DuckDBPyConnection, filled: Sequence[FilledSlot]) -> list[FilledSlot]:
        """With the rows that they really have; those that have none are not written."""
        new, gone = (
            dict(connection.execute(f"SELECT {by}, COUNT(*) FROM {of} GROUP BY {by}").fetchall()) for by, of in (("__slot", "assigned"), ("__file", "gone"))
        )
        rows = (replace(one, rows=new.get(one.slot.number, 0) + sum(f.rows - gone.get(f.uri, 0) for f in one.slot.files)) for one in filled)
        return [one for one in rows if one.rows > 0]

    def _assign(self, connection: duckdb.DuckDBPyConnection, rows: pa.Table, slots: Sequence[Slot]) -> None:
        """Name the places of rows with the slots that they come to as `assigned`."""
        known = {self.key, *(p.column for p in self.writing.table.partition_by)}
        name_rows(connection, _ARRIVING, numbered(rows.select(sorted(known))))
        kind = next(c.type.duckdb for c in self.writing.pinned.columns if c.name == self.key)
        assign(connection, incoming(connection, self.writing.table, self.writing.pinned, _ARRIVING), slots, self.key, kind)


def _found(frame: Any) -> list[Any]:
    return [pickle.loads(data) for data in said(frame, _FOUND)]  # noqa: S301 - of our own executors


def gone_from(places: Packed) -> dict[str, int]:
    """How many rows go from each file."""
    return {file.decode(): count for file, count in places.noted(_FILE)}


def by_number(places: pa.Table, files: Sequence[str]) -> list[pa.Table]:
    """Those of some places that are in files, with the NUMBER of each file: a path takes ten times what a position takes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = pc.index_in(places[FILE].cast(pa.string()), pa.array(files, pa.string()))
    return [pa.Table.from_arrays([numbers, places[ROW]], [NUMBER, ROW]).filter(pc.is_valid(numbers))]


def places_in(places: Any, files: Sequence[str]) -> list[pa.Table]:
    """Those of packed places that are in files."""

    def work(batches: Batches) -> Iterator[pa.RecordBatch]:
        for _, data in each(batches):
            for found in by_number(unpacked(data), files):
                yield packed(_FOUND, found)

    return [unpacked(data) for data in said(mapped(places, work), _FOUND)]


def arriving(rows: Packed) -> list[Arriving]:
    """What comes to each partition."""
    found: dict[Partition, Arrival] = {}
    for text, count in rows.noted(_PARTITION):
        partition = pickle.loads(text)  # noqa: S301 - of our own executors
        before = found.get(place(partition), Arrival(partition, 0))
        found[place(partition)] = replace(before, rows=before.rows + count)
    keys: dict[Partition, list[Any]] = {home: [] for home in found}
    for text, _ in rows.noted(_KEYS):
        for home, key in pickle.loads(text):  # noqa: S301 - of our own executors
            keys[home].append(key)
    return [Arriving(arrival, keys[home]) for home, arrival in found.items()]


def rows_of_slots(routing: Routing, rows: Any, slots: Sequence[Slot], arrivals: Sequence[Arriving], gone: Collection[str]) -> dict[int, int]:
    """About how many of packed rows come to each slot; just how many where it depends on that whether a file is written again."""
    sure = {s.number for s in slots if not s.files or any(f.uri in gone for f in s.files)}
    homes = slots_by_place(slots)
    mine = [(homes[place(one.arrival.partition)], one) for one in arrivals]
    if all(s.number in sure or len(home) == 1 for home, _ in mine for s in home):
        return {number: count for home, one in mine for number, count in about(home, one, routing.key).items()}
    total: Counter[int] = Counter()
    known = _slim(slots, routing.key)
    for found in _found(mapped(rows, lambda batches: routing.slots(known, batches))):
        total.update(dict(found))
    return total


def _slim(slots: Sequence[Slot], first_key: str) -> list[Slot]:
    """Slots with what tells which rows come to them."""
    return [replace(s, files=(), begins=s.least(first_key)) for s in slots]


def about(home: Sequence[Slot], coming: Arriving, first_key: str) -> dict[int, int]:
    """Rows of a partition shared among its slots as some of their keys are: one at the least for each."""
    drawn = Counter(slot_of(home, key, first_key).number for key in coming.keys)
    return {s.number: max(1, coming.arrival.rows * drawn[s.number] // max(1, len(coming.keys))) for s in home}


def written(
    routing: Routing, table: LakeTable, rows: Any, gone: Any, slots: Sequence[Slot], filled: Sequence[FilledSlot], new: Mapping[int, int], tag: str
) -> list[WrittenFile]:
    """Write the filled ones of some slots, to which packed rows come and from which packed places go; `new`: slot -> about how many rows come to it.

    Nothing refers to the files until they are committed.
    """
    import pyarrow as pa

    if not filled:
        return []
    groups = groups_of(filled, {number: count * _ROW_BYTES for number, count in new.items()})
    at = apart(len(groups))
    plans = [(_PLAN, number, 0, pickle.dumps(plan_of(table, group, tag))) for number, group in zip(at, groups, strict=True)]
    of_slots = [(one.slot.number, number) for number, group in zip(at, groups, strict=True) for one in group]
    of_files = [(f.uri, number) for number, group in zip(at, groups, strict=True) for one in group for f in one.slot.files]
    by_slot = pa.table({"slot": pa.array([s for s, _ in of_slots], pa.int32()), "task": pa.array([t for _, t in of_slots], pa.int32())})
    by_file = pa.table({"file": pa.array([f for f, _ in of_files], pa.string()), "task": pa.array([t for _, t in of_files], pa.int32())})
    every, known = rows.sparkSession.createDataFrame(plans, PACKED), _slim(slots, routing.key)
    every = every.unionByName(mapped(rows, lambda batches: routing.sent(NEW, known, by_slot, batches)))
    if of_files:
        every = every.unionByName(mapped(gone, lambda batches: routing.sent(GONE, known, by_file, batches)))
    return [file for files in _found(mapped(every.repartition(len(groups), PART), routing.written)) for file in files]
