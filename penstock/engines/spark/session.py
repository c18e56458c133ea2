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
from penstock.engines.deleting import Arrival, thinned
from penstock.engines.partition import partition_value
from penstock.engines.settling import settle, unknown
from penstock.engines.slots import Partition, Slot, bound, place, slots_of
from penstock.errors import NotSupportedError
from penstock.evolution import UNCHANGED, Evolution
from penstock.maintenance import Clustering, Group
from penstock.schema import Column, backquote, names, quote
from penstock.sketches import Sketch
from penstock.tables import Change, DataFile, LakeTable, Pinned, WrittenDeletes, WrittenFile

from .arriving import read_files
from .arrow import framed, runs, to_arrow
from .buckets import make_buckets_known
from .dialect import spark_sql, statement
from .reading import FILE, ROW, Wanted, deleted_rows, rows_of
from .sketching import sketched_on_executors
from .writing import SLOT, Writer, exported

if TYPE_CHECKING:
    import pyarrow as pa

FILE_ROWS = 1_000_000
BROADCAST_ROWS = 2_000_000  # keys, or positions: some 100 MB on every executor
_PART, _CURVE, _NUMBER = "__part", "__curve", "__number"


class SparkBatchSession:
    """Implements `penstock.engines.base.Session` and `penstock.engines.changing.Writing`. What it names is kept until it is closed."""

    def __init__(self, spark: Any, aws: AwsSettings) -> None:
        self.spark, self._aws = spark, aws
        self._kept: list[Any] = []
        self._views = 0
        self._files: dict[tuple[str, int | None, int], Sequence[DataFile]] = {}
        self.found: dict[tuple[str, int | None], str] = {}

    def close(self) -> None:
        """Let go of everything named."""
        self._kept.clear()

    # relations

    def load(self, name: str, rows: pa.Table) -> None:
        framed(self.spark, rows).createOrReplaceTempView(_view(name))

    def read(self, name: str, files: Files) -> Arrived:
        rows, arrived = read_files(self.spark, files)
        self._keep(name, rows, lasting=False)
        return arrived

    def compute(self, name: str, made: Callable[[Any], Any]) -> int:
        """Name a DataFrame that is made of the session; returns how many rows it has."""
        rows = made(self.spark)
        self._keep(name, rows, lasting=False)
        return int(rows.count())

    def query(self, sql: str) -> pa.Table:
        return to_arrow(self.frame(sql))

    def frame(self, sql: str) -> Any:
        return self.spark.sql(spark_sql(sql))

    def columns(self, name: str) -> Sequence[str]:
        return tuple(self.spark.table(_view(name)).columns)

    def execute(self, sql: str) -> None:
        said = statement(sql)
        frame = self.spark.sql(said.query)
        if said.kind == "insert":
            before = self.spark.table(_view(said.name))
            frame = before.unionByName(frame if said.by_name else frame.toDF(*before.columns), allowMissingColumns=True)
        self._keep(said.name, frame, lasting=said.kind != "view")

    def name(self, name: str, sql: str, kind: str = "TABLE") -> None:
        self._keep(name, self.frame(sql), lasting=kind == "TABLE")

    def _keep(self, name: str, frame: Any, *, lasting: bool) -> None:
        if lasting:
            kept = frame.localCheckpoint()  # not persisted: the plan of a view upon views upon views is analysed anew for every query
            self._kept.append(kept)
            frame = kept.toDF(*kept.columns)  # columns of its own: joined with what it was made of, Spark 3.5 does not tell them apart
        frame.createOrReplaceTempView(_view(name))

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
        return settle(self, spec, table, pinned, memory, remembered)

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
        self._keep(name, rows_of(self.spark, table, pinned, self._candidates(wanted, keys[0], files), list(columns), only), lasting=True)

    def locate_sequences(self, name: str, wanted: str, table: LakeTable, pinned: Pinned, keys: Sequence[str], sequence: Sequence[str], least: object) -> None:
        del least  # Spark skips what a query does not ask for; a column of sequences is small beside its start
        self.locate(name, wanted, table, pinned, keys, (*keys, *sequence))

    def gather(self, wanted: pa.Table, table: LakeTable, pinned: Pinned, files: Sequence[DataFile], columns: Sequence[str]) -> pa.Table:
        """The stored rows of wanted keys in some files, with where each lies, brought to the driver."""
        among = framed(self.spark, wanted)
        few = wanted.num_rows <= BROADCAST_ROWS
        only = Wanted(among.hint("broadcast") if few else among, tuple(wanted.column_names))
        return to_arrow(rows_of(self.spark, table, pinned, files, columns, only))

    def _candidates(self, wanted: str, first_key: str, files: Sequence[DataFile]) -> list[DataFile]:
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
        return rewrite(self, table, pinned, upserts, deletes, tag)

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
        self._keep(SAMPLED, rows_of(self.spark, table, pinned, files, columns).sample(share, seed=1), lasting=True)
        return place_on_curve(self, columns, {c.name: c.type.duckdb for c in pinned.columns})

    def sketch(self, table: LakeTable, pinned: Pinned, columns: Sequence[str]) -> Mapping[str, Sketch]:
        rows = rows_of(self.spark, table, pinned, self.files(table, pinned), columns).select(*map(backquote, columns))
        return sketched_on_executors(rows, tuple(c for c in pinned.columns if c.name in columns))

    def found_below(self, table: LakeTable, pinned: Pinned, keys: str, columns: Sequence[str]) -> int:
        del table, pinned, keys, columns
        raise NotSupportedError("proving on Spark that no file has a row any more", hint="erase with the embedded engine")

    def export(self, rows: str, uri: str) -> Sequence[WrittenFile]:
        return exported(self.spark.table(_view(rows)), uri.removesuffix(".parquet"), self._aws)

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
        first_key = keys[0]
        gone = {r[FILE]: r["n"] for r in self.query(f"SELECT {FILE}, COUNT(*) AS n FROM gone GROUP BY {FILE}").to_pylist()}
        files = self.files(table, pinned)
        partitions, arriving = self._incoming(table, pinned, rows)
        staying = {f.uri for f in thinned(files, gone)} if table.design.position_deletes else set()
        arrivals = [Arrival(p, arriving.get(i, 0)) for i, p in enumerate(partitions)]
        slots = slots_of(arrivals, files, set(gone) - staying, first_key, apart=table.design.position_deletes)
        if len(slots) == 1:
            new = {slots[0].number: sum(arriving.values())}
            self.name("assigned", f"SELECT *, {slots[0].number} AS {SLOT} FROM incoming", "VIEW")
        else:
            new = self._assigned(partitions, slots, first_key, next(c for c in pinned.columns if c.name == first_key), lasting=bool(table.partition_by))
        written = [s for s in slots if new.get(s.number) or any(f.uri in gone for f in s.files)]
        counts = {s.number: new.get(s.number, 0) + sum(f.rows - gone.get(f.uri, 0) for f in s.files) for s in written}
        removed = [f for s in written for f in s.files]
        if sum(gone.values()) <= BROADCAST_ROWS:
            self.spark.table("gone").hint("broadcast").createOrReplaceTempView("gone")
        added = self._writer(table, pinned, tag, [first_key]).write(self._outgoing(table, pinned, written), written, counts)
        rewritten = {f.uri for f in removed}
        deletes = self._deletes(table, pinned, [f for f in files if f.uri in staying - rewritten])
        return Change("overwrite" if removed or deletes else "append", added, removed, deletes)

    def _assigned(self, partitions: Sequence[Partition], slots: Sequence[Slot], first_key: str, column: Column, *, lasting: bool) -> dict[int, int]:
        """Name the incoming rows with the slot that each goes to as `assigned`; slot -> rows. A partition's slots share its keys between them.

        `lasting`: the incoming rows are not.
        """
        numbers = {place(partition): i for i, partition in enumerate(partitions)}
        ranges: list[tuple[int, int, str | None, str | None]] = []
        for part, number in numbers.items():
            ranges += [(number, *found) for found in _ranges([s for s in slots if place(s.partition) == part], first_key)]
        frame = self.spark.createDataFrame(ranges, f"part INT, {SLOT} INT, least STRING, next STRING")
        kind, key = column.type.spark, backquote(first_key)
        frame.selectExpr("part", SLOT, f"CAST(least AS {kind}) AS least", f"CAST(next AS {kind}) AS next").createOrReplaceTempView("ranges")
        assigned = self.spark.sql(f"""SELECT /*+ BROADCAST(s) */ i.*, s.{SLOT} FROM incoming i
          JOIN ranges s ON i.{_PART} = s.part
            AND CASE WHEN i.{key} IS NULL THEN s.least IS NULL ELSE (s.least IS NULL OR i.{key} >= s.least) AND (s.next IS NULL OR i.{key} < s.next) END""")
        self._keep("assigned", assigned, lasting=lasting)
        return {r[SLOT]: r["n"] for r in self.query(f"SELECT {SLOT}, COUNT(*) AS n FROM assigned GROUP BY {SLOT}").to_pylist()}

    def _outgoing(self, table: LakeTable, pinned: Pinned, slots: Sequence[Slot]) -> Any:
        """The new rows, and those that stay of files which are replaced, with the slot of each."""
        columns = ", ".join(map(backquote, names(pinned.columns)))
        new = self.spark.sql(f"SELECT {columns}, {SLOT} FROM assigned")
        replaced = [(f.uri, s.number) for s in slots for f in s.files]
        if not replaced:
            return new
        old = self._viewed(rows_of(self.spark, table, pinned, [f for s in slots for f in s.files], names(pinned.columns)))
        self.spark.createDataFrame(replaced, f"{FILE} STRING, {SLOT} INT").createOrReplaceTempView("replaced")
        return new.unionByName(
            self.spark.sql(f"""SELECT /*+ BROADCAST(s) */ {", ".join(f"o.{backquote(c)}" for c in names(pinned.columns))}, s.{SLOT}
          FROM ({old}) o JOIN replaced s ON o.{FILE} = s.{FILE} LEFT ANTI JOIN gone g ON o.{FILE} = g.{FILE} AND o.{ROW} = g.{ROW}""")
        )

    def _deletes(self, table: LakeTable, pinned: Pinned, files: Sequence[DataFile]) -> Sequence[WrittenDeletes]:
        """The positions of the rows of data files that `gone` names, with those that files of their own deleted before."""
        if not files:
            return []
        every = self.spark.table("gone").unionByName(deleted_rows(self.spark, files, own=True))
        numbers = self.spark.createDataFrame([(f.uri, i) for i, f in enumerate(files)], f"{FILE} STRING, {_NUMBER} INT")
        # by number: a path takes ten times what a position takes, and all of them come to the driver
        found = to_arrow(every.join(numbers.hint("broadcast"), FILE).select(_NUMBER, ROW)).sort_by([(_NUMBER, "ascending"), (ROW, "ascending")])
        return table.layout(pinned).pack([(files[number], part[ROW]) for number, part in runs(found, _NUMBER).items()])


def _ranges(slots: Sequence[Slot], first_key: str) -> list[tuple[int, str | None, str | None]]:
    """Slots of one partition with the least key of each, and the first that is not its own, as text; None for no bound. Each key has one of them."""
    lowest, *others = slots
    found = [(s.files[0].lower.get(first_key), s.number) for s in others if len(s.files) == 1]
    known: list[tuple[Any, int]] = sorted(((key, number) for key, number in found if bound(key) is not None), key=lambda one: one[0])
    least = [None, *(bound(key) for key, _ in known)]
    return list(zip([lowest.number, *(number for _, number in known)], least, [*least[1:], None], strict=True))


def _view(relation: str) -> str:
    return backquote(relation)
