"""A lake table as executors have it: its layout and some of its files, without a catalog."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

from penstock.connectors.paths import new_file
from penstock.engines.slots import Partition, place
from penstock.tables import DataFile, Design, FieldId, FileLayout, LakeTable, PartitionField, Pinned

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Detached:
    """Implements `penstock.tables.FileTable` without a catalog. `uris`: for each partition one that nobody has; each try of a task makes its own of it."""

    location: str
    partition_by: tuple[PartitionField, ...]
    design: Design
    field_ids: Mapping[str, FieldId] | None
    partition_columns_in_file: bool
    compression: str
    compression_level: int
    uris: Mapping[Partition, str] = field(default_factory=dict)

    @classmethod
    def of(cls, table: LakeTable, pinned: Pinned) -> Detached:
        layout = table.layout(pinned)
        inside = layout.partition_columns_in_file
        return cls(table.location, table.partition_by, table.design, layout.field_ids, inside, layout.compression, layout.compression_level)

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


def bare(pinned: Pinned) -> Pinned:
    """A state without what only its table's connector reads."""
    return replace(pinned, native=None, ledger={})


@dataclass(frozen=True)
class _Positions:
    """Positions that were read."""

    found: pa.Array[Any]

    def __call__(self) -> pa.Array[Any]:
        return self.found


def carried(files: Iterable[DataFile]) -> Iterator[DataFile]:
    """Files without what only their table's connector reads, but with the positions that are deleted in them."""
    for file in files:
        deletes = (replace(d, native=None, positions=_Positions(d.positions()) if d.positions else None) for d in file.deletes)
        yield replace(file, native=None, deletes=tuple(deletes))
