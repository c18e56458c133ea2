"""One batch's work on Spark: relations are its own, the table's connector does everything that lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from penstock.changes.facts import MergeSpec, listed
from penstock.config import AwsSettings
from penstock.connectors.readers import Files
from penstock.engines.base import Arrived, Settled
from penstock.engines.changing import amend, evolved, overwriting, rewrite
from penstock.engines.curve import SAMPLE_ROWS, SAMPLED, place_on_curve, sample_of
from penstock.engines.deleting import thinned
from penstock.engines.embedded.routing import FilledSlot
from penstock.engines.partition import partition_value
from penstock.engines.settling import has_deletes_alone, nature_of, recall, settled, unknown
from penstock.engines.slots import Partition, Slot, place, shares, slots_of
from penstock.errors import NotSupportedError
from penstock.evolution import UNCHANGED, Evolution
from penstock.maintenance import Clustering, Group
from penstock.schema import Column, backquote, names, quote
from penstock.sketches import Sketch
from penstock.tables import Change, DataFile, LakeTable, Pinned, WrittenDeletes, WrittenFile

from .arriving import read_files
from .arrow import framed, runs, to_arrow
from .buckets import make_buckets_known
from .by_key import FORGOTTEN, GONE, MANY_TIMES, settled_by_key
from .dialect import chosen_from, spark_sql, statement
from .packing import Noting, Packed, rows_in
from .reading import BROADCAST_ROWS, FILE, PLACE, ROW, Wanted, deleted_rows, rows_of
from .routing import NUMBER, Routing, arriving, by_number, gone_from, note_places, places_in, rows_of_slots, written
from .sketching import sketched_on_executors
from .slot_writing import SlotWriting
from .writing import SLOT, Writer, exported

if TYPE_CHECKING:
    import pyarrow as pa

FILE_ROWS = 1_000_000
_PART, _CURVE = "__part", "__curve"


class SparkBatchSession:
    """Implements `penstock.engines.base.Session` and `penstock.engines.changing.Writing`. What it names is kept until it is closed."""

    def __init__(self, spark: Any, aws: AwsSettings) -> None:
        self.spark, self._aws = spark, aws
        self._kept: list[Any] = []
        self._views = 0
        self._packed: dict[str, Packed] = {}
        self._at_hand: set[str] = set()  # relations whose rows are kept, or are chosen from such
        self._files: dict[tuple[str, int | None, int], Sequence[DataFile]] = {}
        self.found: dict[tuple[str, int | None], str] = {}
        self._gone: dict[tuple[str, int | None], str] = {}  # where settling named the rows that go

    def close(self) -> None:
        """Let go of everything named."""
        self._kept.clear()

    # relations

    def load(self, name: str, rows: pa.Table) -> None:
        self._name(name, framed(self.spark, rows), lasting=False, at_hand=True)

    def read(self, name: str, files: Files) -> Arrived:
        rows, arrived = read_files(self.spark, files)
        self._name(name, rows, lasting=False, at_hand=True)
        return arrived

    def compute(self, name: str, made: Callable[[Any], Any]) -> int:
        """Name a DataFrame that is made of the session; returns how many rows it has."""
        rows = made(self.spark)
        self._name(name, rows, lasting=False, at_hand=True)
        return int(rows.count())

    def query(self, sql: str) -> pa.Table:
        return to_arrow(self.frame(sql))

    def frame(self, sql: str) -> Any:
        return self.spark.sql(spark_sql(sql))

    def columns(self, name: str) -> Sequence[str]:
        return tuple(self.spark.table(_view(name)).columns)

    def execute(self, sql: str) -> None:
        said = statement(sql)
        frame, lasting = self.spark.sql(said.query), said.kind != "view" and chosen_from(said.asked) not in self._at_hand
        if said.kind == "insert":
            before = self.spark.table(_view(said.name))
            frame = before.unionByName(frame if said.by_name else frame.toDF(*before.columns), allowMissingColumns=True)
        self._name(said.name, frame, lasting=lasting, at_hand=said.kind == "table")

    def name(self, name: str, sql: str, kind: str = "TABLE") -> None:
        lasting = kind == "TABLE" and chosen_from(sql) not in self._at_hand
        self._name(name, self.frame(sql), lasting=lasting, at_hand=kind == "TABLE")

    def _name(self, name: str, frame: Any, *, lasting: bool, at_hand: bool) -> None:
        """What only chooses from rows that are kept need not be kept again; it is `at_hand` like those."""
        self.keep(name, frame, lasting=lasting)
        if at_hand:
            self._at_hand.add(name)

    def keep(self, name: str, frame: Any, *, lasting: bool) -> None:
        if lasting:
            kept = frame.localCheckpoint()  # not persisted: the plan of a view upon views upon views is analysed anew for every query
            self._kept.append(kept)
            frame = kept.toDF(*kept.columns)  # columns of its own: joined with what it was made of, Spark 3.5 does not tell them apart
        frame.createOrReplaceTempView(_view(name))
        self._at_hand.discard(name)
        self._packed.pop(name, None)

    def keep_packed(self, name: str, rows: Packed, columns: Sequence[Column]) -> None:
        """Name packed rows."""
        self.keep(name, rows_in(rows.frame.where(f"kind = '{rows.kind}'"), columns), lasting=False)
        self._packed[name] = rows

    def _viewed(self, frame: Any) -> str:
        """A query for the rows of a frame."""
        self._views += 1
        frame.createOrReplaceTempView(f"__rows_{self._views}")
        return f"SELECT * FROM __rows_{self._views}"

    # stored rows

    def scan(self, name: str, table: LakeTable, pinned: Pinned, files: Sequence[DataFile] | None = None) -> None:
        columns = names(pinned.columns)
        frame = rows_of(self.spark, table, pinned, self.files(table, pinned) if files is None else files, columns)
        frame.drop(FILE, ROW).createOrReplaceTempView(_view(name))

    def settle(self, spec: MergeSpec, table: LakeTable, pinned: Pinned, memory: LakeTable, remembered: Pinned) -> Settled:
        nature, deletes = nature_of(self), self.files(memory, remembered)
        known = None
        if not nature.truncates and not nature.partial and has_deletes_alone(deletes) and sum(f.rows for f in deletes) <= MANY_TIMES * nature.rows:
            known = deletes
        else:
            nature = recall(self, spec, table, pinned, memory, remembered)
        if nature.truncates:
            return settled(self, spec, table, pinned, memory, remembered, nature)
        self._gone = {(table.name, pinned.version): GONE, (memory.name, remembered.version): FORGOTTEN}
        going = (*spec.keys, *spec.start) if spec.history else spec.keys
        upserts = Routing(SlotWriting.of(table, pinned, going, self._aws))
        return settled_by_key(self, upserts, Routing(SlotWriting.of(memory, remembered, spec.keys, self._aws)), spec, table, pinned, nature, known)

    def files(self, table: LakeTable, pinned: Pinned) -> Sequence[DataFile]:
        state = (table.location, pinned.version, pinned.schema)
        if state not in self._files:
            self._files[state] = table.files(pinned)
        return self._files[state]

    def rows_of(self, table: LakeTable, pinned: Pinned, files: Sequence[DataFile], columns: Iterable[str]) -> str:
        return self._viewed(rows_of(self.spark, table, pinned, files, list(columns)))

    def locate(self, name: str, wanted: str | None, table: LakeTable, pinned: Pinned, keys: Sequence[str], columns: Iterable[str]) -> None:
        files = self.files(table, pinned)
        if wanted is None:
            self.name(name, self.rows_of(table, pinned, files, columns))
            return
        only = Wanted(self.frame(wanted), tuple(keys))
        self.keep(name, rows_of(self.spark, table, pinned, self.candidates(wanted, keys[0], files), list(columns), only), lasting=True)

    def locate_sequences(self, name: str, wanted: str, table: LakeTable, pinned: Pinned, keys: Sequence[str], sequence: Sequence[str], least: object) -> None:
        del least  # Spark skips what a query does not ask for; a column of sequences is small beside its start
        self.locate(name, wanted, table, pinned, keys, (*keys, *sequence))

    def gather(self, wanted: pa.Table, table: LakeTable, pinned: Pinned, files: Sequence[DataFile], columns: Sequence[str]) -> pa.Table:
        """The stored rows of wanted keys in some files, with where each lies, brought to the driver."""
        among = framed(self.spark, wanted)
        few = wanted.num_rows <= BROADCAST_ROWS
        only = Wanted(among.hint("broadcast") if few else among, tuple(wanted.column_names))
        return to_arrow(rows_of(self.spark, table, pinned, files, columns, only))

    def candidates(self, wanted: str, first_key: str, files: Sequence[DataFile]) -> list[DataFile]:
        """The files whose range of the first key meets that of the wanted keys; a file without statistics may hold any."""
        (found,) = self.query(f"SELECT MIN({quote(first_key)}) AS least, MAX({quote(first_key)}) AS greatest FROM ({wanted})").to_pylist()
        least, greatest = found["least"], found["greatest"]
        if least is None:
            return []

        def may_hold(file: DataFile) -> bool:
            lower, upper = file.lower.get(first_key), file.upper.get(first_key)
            if not (isinstance(lower, type(least)) and isinstance(upper, type(least))) or isinstance(least, bytes | float):
                return True
            return bool(lower <= greatest and upper >= least)

        return [f for f in files if may_hold(f)]

    def unknown(self, table: LakeTable, pinned: Pinned, rows: str, sequence: Sequence[str]) -> str:
        return unknown(self, table, pinned, rows, sequence)

    # changes

    def rewrite(self, table: LakeTable, pinned: Pinned, upserts: str, deletes: str, tag: str) -> Change:
        gone = self._gone.get((table.name, pinned.version))
        if gone is None:
            return rewrite(self, table, pinned, upserts, deletes, tag)
        if not any(map(self._count, (upserts, deletes))):
            return Change("append")
        self.keep_packed("gone", self._packed[gone], PLACE)
        return self.written(table, pinned, upserts, self.columns(deletes), tag)

    def append(self, table: LakeTable, pinned: Pinned, rows: str, tag: str) -> Change:
        partitions, counts = self._incoming(table, pinned, rows, kind="VIEW")
        slots = [Slot(i, partition) for i, partition in enumerate(partitions)]
        frame = self.spark.sql(f"SELECT *, {_PART} AS {SLOT} FROM incoming")
        return Change("append", self._writer(table, pinned, tag).write(frame, slots, counts))

    def overwrite(self, table: LakeTable, pinned: Pinned, rows: str, tag: str, replaces: Callable[[Partition], bool] | None = None) -> Change:
        return overwriting(self, table, pinned, self.append(table, pinned, rows, tag).add, replaces)

    def amend(self, table: LakeTable, pinned: Pinned, where: str, values: Mapping[str, str], tag: str) -> Change:
        return amend(self, table, pinned, where, values, tag)

    def compact(self, table: LakeTable, pinned: Pinned, group: Group, order: Clustering, tag: str, evolution: Evolution = UNCHANGED) -> Change:
        now, values = evolved(evolution, pinned)
        columns = [c for c in order.columns or table.design.sort_by if c in values]
        curved = order.zorder and len(columns) > 1
        along = self._curve(table, pinned, group, columns) if curved else "0"
        columns_now = ", ".join(f"{value} AS {quote(c)}" for c, value in values.items())
        rows = self.rows_of(table, pinned, group.files, names(pinned.columns))
        self.name("curved", f"SELECT {columns_now}, 0 AS {SLOT}, {along} AS {_CURVE} FROM ({rows})", "VIEW")
        file_rows = max(1, group.rows * order.file_bytes // max(1, group.bytes))
        writer = Writer(table, now, tag, self._aws, file_rows, [_CURVE] if curved else columns)
        written = writer.write(self.spark.table("curved"), [Slot(0, group.partition)], {0: group.rows})
        return Change("replace", [replace(f, in_order=order.keeps(table.design.sort_by)) for f in written], group.files)

    def _curve(self, table: LakeTable, pinned: Pinned, group: Group, columns: Sequence[str]) -> str:
        files = sample_of(group.files)
        share = min(1.0, SAMPLE_ROWS / max(1, sum(f.rows for f in files)))
        self.keep(SAMPLED, rows_of(self.spark, table, pinned, files, columns).sample(share, seed=1), lasting=True)
        return place_on_curve(self, columns, {c.name: c.type.duckdb for c in pinned.columns})

    def sketch(self, table: LakeTable, pinned: Pinned, columns: Sequence[str]) -> Mapping[str, Sketch]:
        rows = rows_of(self.spark, table, pinned, self.files(table, pinned), columns).select(*map(backquote, columns))
        return sketched_on_executors(rows, tuple(c for c in pinned.columns if c.name in columns))

    def found_below(self, table: LakeTable, pinned: Pinned, keys: str, columns: Sequence[str]) -> int:
        del table, pinned, keys, columns
        raise NotSupportedError("proving on Spark that no file has a row any more", hint="erase with the embedded engine")

    def export(self, rows: str, uri: str, slices: int = 1) -> Sequence[WrittenFile]:
        return exported(self.spark.table(_view(rows)), uri.removesuffix(".parquet"), self._aws, slices)

    def _writer(self, table: LakeTable, pinned: Pinned, tag: str, keys: Sequence[str] = ()) -> Writer:
        return Writer(table, pinned, tag, self._aws, FILE_ROWS, table.design.sort_by or tuple(keys))

    def _incoming(self, table: LakeTable, pinned: Pinned, rows: str, kind: str = "TABLE") -> tuple[list[Partition], dict[int, int]]:
        """Name rows with the number of their partition as `incoming`, a `kind` of relation where one can be; the partitions by number, and the rows of each."""
        import pyarrow as pa

        types = {c.name: c.type for c in pinned.columns}
        if any(p.transform == "bucket" for p in table.partition_by):
            make_buckets_known(self.spark)
        values = [partition_value(p, types[p.column]) for p in table.partition_by]
        if not values:
            self.name("incoming", f"SELECT *, 0 AS {_PART} FROM {rows}", kind)
            (count,) = self.query("SELECT COUNT(*) AS n FROM incoming").to_pylist()
            return [()], {0: count["n"]}
        named, numbers = ", ".join(f"{v} AS __p{i}" for i, v in enumerate(values)), ", ".join(f"__p{i}" for i in range(len(values)))
        self.name("valued", f"SELECT *, {named} FROM {rows}", "VIEW")
        found = self.query(f"SELECT {numbers}, COUNT(*) AS __rows FROM valued GROUP BY {numbers}")
        partitions: list[Partition] = list(zip(*(column.to_pylist() for column in found.columns[:-1]), strict=True))
        self.load("parts", found.append_column(_PART, pa.array(range(found.num_rows), pa.int32())))
        on = " AND ".join(f"r.__p{i} IS NOT DISTINCT FROM p.__p{i}" for i in range(len(values)))
        self.name("incoming", f"SELECT {listed('r.{0}', names(pinned.columns))}, p.{_PART} FROM valued r JOIN parts p ON {on}", "VIEW")
        return partitions, {i: row["__rows"] for i, row in enumerate(found.to_pylist())}

    def written(self, table: LakeTable, pinned: Pinned, rows: str, keys: Sequence[str], tag: str) -> Change:
        routing, files = Routing(SlotWriting.of(table, pinned, keys, self._aws)), self.files(table, pinned)
        new, places = self._as_packed(rows, pinned.columns, routing.note_arrivals), self._as_packed("gone", PLACE, note_places)
        gone, arrivals = gone_from(places), arriving(new)
        coming, going = new.rows(sum(one.arrival.rows for one in arrivals)), places.rows(sum(gone.values()))
        staying = {f.uri for f in thinned(files, gone)} if table.design.position_deletes else set()
        slots = slots_of([one.arrival for one in arrivals], files, set(gone) - staying, keys[0], apart=table.design.position_deletes)
        counts = rows_of_slots(routing, coming, slots, arrivals, gone)
        more = shares(slots, counts, {place(one.arrival.partition): one.keys for one in arrivals}, keys[0], FILE_ROWS)
        slots, counts = [*slots, *more], counts | {s.number: FILE_ROWS for s in more}
        filled = [FilledSlot(s, counts.get(s.number, 0) + sum(f.rows - gone.get(f.uri, 0) for f in s.files)) for s in slots]
        filled = [one for one in filled if counts.get(one.slot.number) or any(f.uri in gone for f in one.slot.files)]
        removed = [f for one in filled for f in one.slot.files]
        added = written(routing, table, coming, going, slots, filled, counts, tag)
        rewritten = {f.uri for f in removed}
        deletes = self._deletes(table, pinned, [f for f in files if f.uri in staying - rewritten], going)
        return Change("overwrite" if removed or deletes else "append", added, removed, deletes)

    def _count(self, name: str) -> int:
        return self._packed[name].total if name in self._packed else int(self.spark.table(_view(name)).count())

    def _as_packed(self, name: str, columns: Sequence[Column], note: Noting) -> Packed:
        """A relation's rows in the types of columns."""
        if name not in self._packed:
            typed = [f"CAST({backquote(c.name)} AS {c.type.spark}) AS {backquote(c.name)}" for c in columns]
            self._packed[name] = Packed.of(self.spark.table(_view(name)).selectExpr(*typed), name, note)
        return self._packed[name]

    def _deletes(self, table: LakeTable, pinned: Pinned, files: Sequence[DataFile], going: Any) -> Sequence[WrittenDeletes]:
        """The positions of the rows of data files that go, with those that files of their own deleted before."""
        import pyarrow as pa

        if not files:
            return []
        found = places_in(going, [f.uri for f in files])
        if any(d.is_own for f in files for d in f.deletes):
            found += by_number(to_arrow(deleted_rows(self.spark, files, own=True)), [f.uri for f in files])
        rows = pa.concat_tables(found).sort_by([(NUMBER, "ascending"), (ROW, "ascending")])
        return table.layout(pinned).pack([(files[number], part[ROW]) for number, part in runs(rows, NUMBER).items()])


def _view(relation: str) -> str:
    return backquote(relation)
