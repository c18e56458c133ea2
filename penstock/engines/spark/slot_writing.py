"""Files of a change written by executors as one machine writes them: a task has some slots, and brings along what is new in them and what goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from penstock.config import AwsSettings
from penstock.connectors.paths import new_file
from penstock.engines.embedded.duck import attached, opened, reach_s3
from penstock.engines.embedded.files import Writer
from penstock.engines.embedded.positions import Positions
from penstock.engines.embedded.routing import FilledSlot, slot_output
from penstock.engines.slots import Partition, place
from penstock.errors import TooHeavyError
from penstock.maintenance import packed
from penstock.tables import Design, FieldId, FileLayout, LakeTable, PartitionField, Pinned, WrittenFile

from .arrow import runs
from .executing import on_each

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb
    import pyarrow as pa

_TASK_MEMORY = "512MB"  # beside the heap of an executor, for each of its cores; what does not fit spills
_TASK_BYTES = 64_000_000  # a second's work; to begin a task takes up to as long


@dataclass(frozen=True)
class SlotTask:
    """Slots to be written: the rows that come to them, and the places of those that go, as Arrow streams; for each partition a URI that nobody has."""

    filled: tuple[FilledSlot, ...]
    uris: Mapping[Partition, str]
    new: bytes
    gone: bytes


@dataclass(frozen=True)
class _Detached:
    """Implements `penstock.tables.FileTable` without a catalog; each try of a task writes files of its own."""

    location: str
    partition_by: tuple[PartitionField, ...]
    design: Design
    field_ids: Mapping[str, FieldId] | None
    partition_columns_in_file: bool
    compression: str
    compression_level: int
    uris: Mapping[Partition, str] = field(default_factory=dict)

    def layout(self, pinned: Pinned) -> FileLayout:
        del pinned
        inside = self.partition_columns_in_file
        return FileLayout(self.field_ids, inside, _unpacked, lambda _: None, self.compression, self.compression_level)

    def new_file(self, partition: tuple[object, ...], tag: str) -> str:
        del tag
        folder, _, name = self.uris[place(partition)].removesuffix(".parquet").rpartition("/")
        return new_file(folder, (), name)


def _unpacked(_: object) -> NoReturn:
    raise AssertionError("positions are written by the driver")


@dataclass(frozen=True)
class SlotWriting:
    """What all tasks of one change share."""

    table: _Detached
    pinned: Pinned
    keys: tuple[str, ...]
    aws: AwsSettings

    @classmethod
    def of(cls, table: LakeTable, pinned: Pinned, keys: Sequence[str], aws: AwsSettings) -> SlotWriting:
        layout = table.layout(pinned)
        inside = layout.partition_columns_in_file
        detached = _Detached(table.location, table.partition_by, table.design, layout.field_ids, inside, layout.compression, layout.compression_level)
        return cls(detached, replace(pinned, native=None, ledger={}), tuple(keys), aws)

    def written(self, task: SlotTask) -> list[WrittenFile]:
        """Raises TooHeavyError where the memory does not suffice."""
        import duckdb

        table = replace(self.table, uris=task.uris)
        with attached(_database()) as connection:
            if table.location.startswith("s3://"):
                reach_s3(connection, self.aws)
            for name, rows in (("assigned", task.new), ("gone", task.gone)):
                connection.register("__sent", _received(rows))
                connection.execute(f"CREATE TABLE {name} AS FROM __sent")
                connection.unregister("__sent")
            writer = Writer(connection, Positions(connection), table, self.pinned, "")
            try:
                return writer.write([slot_output(writer, table, self.pinned, one, self.keys) for one in task.filled])
            except duckdb.OutOfMemoryException as error:
                raise TooHeavyError(f"rows of {table.location} are more than the memory of an executor's task holds") from error


def slot_tasks(table: LakeTable, filled: Sequence[FilledSlot], new: pa.Table, gone: pa.Table, tag: str) -> Iterator[SlotTask]:
    """`new`: rows with the number of their slot, `__slot`, in its order; `gone`: `__file` and `__row`, in that order."""
    rows, places = runs(new, "__slot"), runs(gone, "__file")

    def weight(one: FilledSlot) -> int:
        return sum(f.bytes for f in one.slot.files) + (rows[one.slot.number].nbytes if one.slot.number in rows else 0)

    for group in packed(filled, _TASK_BYTES, weight):
        slots = [one.slot for one in group]
        coming = [rows[s.number] for s in slots if s.number in rows] or [new.slice(0, 0)]
        going = [places[f.uri] for s in slots for f in s.files if f.uri in places] or [gone.slice(0, 0)]
        uris = {place(p): table.new_file(p, tag) for p in {place(s.partition): s.partition for s in slots}.values()}
        yield SlotTask(tuple(map(_bare, group)), uris, _sent(coming), _sent(going))


def _bare(one: FilledSlot) -> FilledSlot:
    """Without what only the table's connector reads, and without deletes, which a task brings along."""
    return replace(one, slot=replace(one.slot, files=tuple(replace(f, native=None, deletes=()) for f in one.slot.files)))


def written_by_executors(spark: Any, writing: SlotWriting, tasks: Iterator[SlotTask]) -> list[WrittenFile]:
    """Nothing refers to the files until they are committed. Raises TooHeavyError for a task that is too large to be sent, or for an executor."""
    return [file for files in on_each(spark, writing.written, list(tasks)) for file in files]


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return opened(memory=_TASK_MEMORY)


def _sent(parts: Sequence[pa.Table]) -> bytes:
    import pyarrow as pa

    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, parts[0].schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        for part in parts:
            stream.write_table(part)
    return out.getvalue().to_pybytes()


def _received(rows: bytes) -> pa.Table:
    import pyarrow as pa

    return pa.ipc.open_stream(rows).read_all()
