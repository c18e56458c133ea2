"""Files of a change written by executors as one machine writes them: a task has some slots, and brings along what is new in them and what goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from penstock.config import AwsSettings
from penstock.engines.embedded.duck import attached, reach_s3
from penstock.engines.embedded.files import Writer
from penstock.engines.embedded.positions import Positions
from penstock.engines.embedded.routing import FilledSlot, slot_output
from penstock.engines.slots import Partition, place
from penstock.errors import TooHeavyError
from penstock.maintenance import packed as in_groups
from penstock.tables import LakeTable, Pinned, WrittenFile

from .arrow import runs
from .detached import Detached, bare, carried
from .executing import database, on_each
from .packing import name_rows

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_TASK_BYTES = 64_000_000  # a second's work; to begin a task takes up to as long


@dataclass(frozen=True)
class SlotTask:
    """Slots to be written: the rows that come to them, and the places of those that go, as Arrow streams; for each partition a URI that nobody has."""

    filled: tuple[FilledSlot, ...]
    uris: Mapping[Partition, str]
    new: bytes
    gone: bytes


@dataclass(frozen=True)
class SlotWriting:
    """What all tasks of one change share."""

    table: Detached
    pinned: Pinned
    keys: tuple[str, ...]
    aws: AwsSettings

    @classmethod
    def of(cls, table: LakeTable, pinned: Pinned, keys: Sequence[str], aws: AwsSettings) -> SlotWriting:
        return cls(Detached.of(table, pinned), bare(pinned), tuple(keys), aws)

    def written(self, task: SlotTask) -> list[WrittenFile]:
        """Raises TooHeavyError where the memory does not suffice."""
        with attached(database()) as connection:
            for name, rows in (("assigned", task.new), ("gone", task.gone)):
                name_rows(connection, name, _received(rows))
            return self.write(connection, task.filled, task.uris)

    def write(self, connection: duckdb.DuckDBPyConnection, filled: Sequence[FilledSlot], uris: Mapping[Partition, str]) -> list[WrittenFile]:
        """Write slots, whose new rows the relation `assigned` has, and `gone` the places of those that go. Raises as `written`."""
        import duckdb

        table = replace(self.table, uris=uris)
        if table.location.startswith("s3://"):
            reach_s3(connection, self.aws)
        writer = Writer(connection, Positions(connection), table, self.pinned, "")
        try:
            return writer.write([slot_output(writer, table, self.pinned, one, self.keys) for one in filled])
        except duckdb.OutOfMemoryException as error:
            raise TooHeavyError(f"rows of {table.location} are more than the memory of an executor's task holds") from error


def groups_of(filled: Sequence[FilledSlot], new_bytes: Mapping[int, int]) -> list[list[FilledSlot]]:
    """Slots that one task writes. `new_bytes`: slot -> about how much comes to it."""
    return in_groups(filled, _TASK_BYTES, lambda one: sum(f.bytes for f in one.slot.files) + new_bytes.get(one.slot.number, 0))


def plan_of(table: LakeTable, group: Sequence[FilledSlot], tag: str) -> tuple[tuple[FilledSlot, ...], dict[Partition, str]]:
    """Slots as executors have them; for each partition a URI that nobody has."""
    slots = (replace(one, slot=replace(one.slot, files=tuple(carried(one.slot.files)))) for one in group)
    return tuple(slots), {place(p): table.new_file(p, tag) for p in {place(one.slot.partition): one.slot.partition for one in group}.values()}


def slot_tasks(table: LakeTable, filled: Sequence[FilledSlot], new: pa.Table, gone: pa.Table, tag: str) -> Iterator[SlotTask]:
    """`new`: rows with the number of their slot, `__slot`, in its order; `gone`: `__file` and `__row`, in that order."""
    rows, places = runs(new, "__slot"), runs(gone, "__file")
    for group in groups_of(filled, {number: found.nbytes for number, found in rows.items()}):
        slots = [one.slot for one in group]
        coming = [rows[s.number] for s in slots if s.number in rows] or [new.slice(0, 0)]
        going = [places[f.uri] for s in slots for f in s.files if f.uri in places] or [gone.slice(0, 0)]
        yield SlotTask(*plan_of(table, group, tag), _sent(coming), _sent(going))


def written_by_executors(spark: Any, writing: SlotWriting, tasks: Iterator[SlotTask]) -> list[WrittenFile]:
    """Nothing refers to the files until they are committed. Raises TooHeavyError for a task that is too large to be sent, or for an executor."""
    return [file for files in on_each(spark, writing.written, list(tasks)) for file in files]


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
