"""Data files written by Spark, all of a change in one job: a folder for each slot, below one folder that was never used before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.config import AwsSettings
from penstock.engines.slices import files_for
from penstock.engines.slots import Slot
from penstock.errors import NotSupportedError
from penstock.schema import Column, backquote, names
from penstock.tables import FileLayout, LakeTable, Pinned, WrittenFile

from .reading import FILE, PATH, SPELLED

SLOT = "slot"
_UNMARKED = {"mapreduce.fileoutputcommitter.marksuccessfuljobs": "false"}


@dataclass(frozen=True)
class Writer:
    """Writes files of one table. `tag` names the run; the rows of each file lie in the order of the columns `order` of what is written, NULLs first."""

    table: LakeTable
    pinned: Pinned
    tag: str
    aws: AwsSettings
    file_rows: int
    order: Sequence[str] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that lie in the files."""
        left_out = set() if self.table.layout(self.pinned).partition_columns_in_file else {p.column for p in self.table.partition_by}
        return tuple(n for n in names(self.pinned.columns) if n not in left_out)

    def write(self, rows: Any, slots: Sequence[Slot], counts: Mapping[int, int]) -> list[WrittenFile]:
        """Write rows, which have a number SLOT besides the table's columns. Nothing refers to the files until they are committed.

        `counts`: about how many rows each slot has.
        """
        if not sum(counts.values()):
            return []
        folder = self.table.new_file((None,) * len(self.table.partition_by), self.tag).removesuffix(".parquet")
        layout = self.table.layout(self.pinned)
        _check(self.table.name, self.pinned, layout)
        wanted = [c for c in self.pinned.columns if c.name in self.columns]
        typed = [f"CAST({backquote(c.name)} AS {c.type.spark}) AS {backquote(c.name)}" for c in wanted]
        order = (SLOT, *map(backquote, self.order))
        divided = self._divided(rows, counts, order)
        typed_rows = divided.sortWithinPartitions(*order).selectExpr(SLOT, *typed)
        numbered = [_numbered(typed_rows[backquote(c.name)], c, layout) for c in wanted]
        outgoing = typed_rows.select(typed_rows[SLOT], *numbered)
        options = {"compression": layout.compression, "maxRecordsPerFile": 2 * self.file_rows}
        outgoing.write.options(**options, **_UNMARKED).partitionBy(SLOT).parquet(folder)
        partitions = {slot.number: slot.partition for slot in slots}
        return [WrittenFile(uri, partitions[number], size) for number, uri, size in self._written(folder)]

    def _divided(self, rows: Any, counts: Mapping[int, int], order: Sequence[str]) -> Any:
        """Rows of one slot together; in ranges where a slot has so many that they come into several files."""
        parts = sum(-(-n // self.file_rows) for n in counts.values())
        if parts == 1:
            return rows.coalesce(1)
        if max(counts.values()) <= self.file_rows:
            return rows.repartition(parts, SLOT)
        return rows.repartitionByRange(parts, *order) if len(order) > 1 else rows.repartition(parts)

    def _written(self, folder: str) -> list[tuple[int, str, int]]:
        """Slot, URI and bytes of each file in the folder."""
        found = []
        for uri, size in _parquet_files(folder, self.aws).items():
            head, _, _ = uri.removeprefix(f"{folder}/").partition("/")
            if head.startswith(f"{SLOT}="):
                found.append((int(head.removeprefix(f"{SLOT}=")), uri, size))
        return found


def exported(rows: Any, folder: str, aws: AwsSettings, slices: int) -> list[WrittenFile]:
    """A DataFrame as Parquet files in a folder that was never used before, for so many readers at once; none for no rows."""
    if slices == 1:
        return _exported(rows, folder, aws)
    held = rows.persist()
    try:
        return _exported(held.repartition(files_for(held.count(), slices)), folder, aws)
    finally:
        held.unpersist()


def _exported(rows: Any, folder: str, aws: AwsSettings) -> list[WrittenFile]:
    rows.write.options(compression="zstd", **_UNMARKED).parquet(folder)
    counts = rows.sparkSession.read.parquet(folder).selectExpr(SPELLED).selectExpr(f"{PATH} AS {FILE}").groupBy(FILE).count().collect()
    sizes = _parquet_files(folder, aws)
    return [WrittenFile(row[FILE], (), sizes[row[FILE]], row["count"]) for row in counts]


def _parquet_files(folder: str, aws: AwsSettings) -> dict[str, int]:
    """URI and bytes of each."""
    from penstock.connectors.stores import store_at

    return {item.uri: item.size for item in store_at(folder, aws).list() if item.uri.endswith(".parquet")}


def _numbered(value: Any, column: Column, layout: FileLayout) -> Any:
    """A column with its number in the file, where the format has numbers; a whole schema given to a DataFrame would not reach the file."""
    return value if layout.field_ids is None else value.alias(column.name, metadata={"parquet.field.id": layout.field_ids[column.name].number})


def _check(table: str, pinned: Pinned, layout: FileLayout) -> None:
    """Raises NotSupportedError for columns inside which fields have numbers that Spark does not write."""
    inside = [c for c in pinned.columns if c.type.is_nested]
    if layout.field_ids is not None and inside:
        raise NotSupportedError(f"writing {inside[0]} of {table} on Spark", hint="run the step on the embedded engine, or keep the table as delta")
