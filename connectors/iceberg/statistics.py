"""Files and their statistics: from footers to manifest entries, and from entries to Python values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, cast

from penstock.connectors.paths import is_own, plain
from penstock.errors import NotSupportedError
from penstock.tables import DataFile, DeleteFile, WrittenDeletes, WrittenFile
from penstock.threads import each

from .features import has_odd_names
from .manifests import Live, live_entries

if TYPE_CHECKING:
    from pyiceberg.io.pyarrow import DataFileStatistics, StatisticsCollector
    from pyiceberg.manifest import DataFile as IcebergFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot
    from pyiceberg.types import NestedField


def full(uri: str) -> str:
    return f"file://{uri}" if uri.startswith("/") else uri


def data_files(table: Table, snapshot: Snapshot, schema: Schema) -> list[DataFile]:
    """The live files of a snapshot, their bounds by the names in `schema`. Raises NotSupportedError for what Penstock does not read."""
    fields = {f.name: (f.field_id, f.field_type) for f in schema.fields if f.field_type.is_primitive}
    # a day is counted from 1970, as months and hours are, though the specification lets it look like a date
    partition = ["day" if str(f.transform) == "day" else f.transform.result_type(table.schema().find_type(f.source_id)) for f in table.spec().fields]
    from .deletes import Deletes, is_delete

    entries = list(live_entries(table, snapshot))
    paths = {entry.data_file.file_path for _, entry in entries if not is_delete(entry)}
    deletes = Deletes((found for found in entries if is_delete(found[1])), paths)
    identical = {i: schema.find_field(f.source_id) for i, f in enumerate(table.spec().fields) if str(f.transform) == "identity"}
    found = [_data_file(manifest, entry, fields, partition, deletes.of(entry)) for manifest, entry in entries if not is_delete(entry)]
    if has_odd_names(table):
        found = [file if is_own(file.uri) else replace(file, by_number=True) for file in found]
    return [replace(file, outside=_outside(file, identical)) for file in found] if identical else found


def _outside(file: DataFile, identical: Mapping[int, NestedField]) -> Mapping[str, object]:
    """The partition's columns of which a file counts no byte: taken over from Hive, it lacks them. Its partition says what they are for any file."""
    known = cast("Live", file.native).entry.data_file
    counted = {*(known.column_sizes or ()), *(known.value_counts or ())}
    lacking = {field.name: file.partition[i] for i, field in identical.items() if field.field_id not in counted}
    if binary := [name for name, value in lacking.items() if isinstance(value, bytes)]:
        raise NotSupportedError(f"reading {file.uri}, which lacks the binary column {binary[0]} of its partition,", hint="have it rewritten with all columns")
    return lacking


class _Bounds(Mapping[str, object]):
    """One bound of each column, read when it is asked for: of a thousand files with a hundred columns mostly one column's is."""

    def __init__(self, raw: Mapping[int, bytes] | None, fields: Mapping[str, tuple[int, Any]]) -> None:
        self._raw, self._fields = raw or {}, fields

    def __getitem__(self, name: str) -> object:
        number, kind = self._fields[name]
        return _python(kind, _bound(kind, self._raw[number]))

    def __contains__(self, name: object) -> bool:
        return name in self._fields and self._fields[str(name)][0] in self._raw

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._fields if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _data_file(manifest: str, entry: Any, fields: Mapping[str, tuple[int, Any]], partition: Sequence[Any], deletes: tuple[DeleteFile, ...]) -> DataFile:
    file = entry.data_file
    return DataFile(
        plain(file.file_path),
        file.record_count - sum(d.rows for d in deletes if d.is_own),
        file.file_size_in_bytes,
        tuple(_python(kind, value) for kind, value in zip(partition, file.partition, strict=True)),
        _Bounds(file.lower_bounds, fields),
        _Bounds(file.upper_bounds, fields),
        Live(manifest, entry),
        deletes,
        file.file_path,
    )


def _bound(kind: Any, raw: bytes) -> Any:
    """A bound as its file wrote it, perhaps before the column had the wider type that it has now."""
    from pyiceberg.conversions import from_bytes
    from pyiceberg.types import FloatType, IntegerType

    narrower = {"long": IntegerType(), "double": FloatType()} if len(raw) == 4 else {}
    return from_bytes(narrower.get(str(kind), kind), raw)


def _python(kind: Any, value: Any) -> Any:
    """A value as Python has it: Iceberg counts dates in days and instants in microseconds."""
    if kind == "day":
        return _stored(value)
    if value is None or isinstance(value, date):
        return value
    if str(kind) == "date":
        return date(1970, 1, 1) + timedelta(days=value)
    if str(kind) in ("timestamp", "timestamptz"):
        return datetime(1970, 1, 1, tzinfo=UTC if str(kind) == "timestamptz" else None) + timedelta(microseconds=value)
    return value


def _stored(value: Any) -> Any:
    """The reverse of `_python`."""
    if isinstance(value, datetime):
        return round((value.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    return (value - date(1970, 1, 1)).days if isinstance(value, date) else value


def described_deletes(table: Table, deletes: Sequence[WrittenDeletes]) -> list[IcebergFile]:
    """Manifest entries of delete files; both bounds of each name its one data file, which tells readers whose it is."""
    from pyiceberg.manifest import DataFile as IcebergFile
    from pyiceberg.manifest import DataFileContent, FileFormat

    from .deletes import FILE_PATH

    def describe(written: WrittenDeletes) -> IcebergFile:
        path = written.of.spelled.encode()
        return IcebergFile.from_args(
            content=DataFileContent.POSITION_DELETES,
            file_path=full(written.uri),
            file_format=FileFormat.PARQUET,
            partition=written.of.native.entry.data_file.partition,  # type: ignore[attr-defined]
            record_count=written.rows,
            file_size_in_bytes=len(table.io.new_input(full(written.uri))),
            lower_bounds={FILE_PATH: path},
            upper_bounds={FILE_PATH: path},
            sort_order_id=None,
            spec_id=table.metadata.default_spec_id,
            equality_ids=None,
            key_metadata=None,
        )

    return each(describe, deletes)


@dataclass(frozen=True)
class Footers:
    """What the manifests of one table say of its files, by their footers; what is to be looked for there is found out for the first that is asked for."""

    table: Table

    @cached_property
    def _plan(self) -> tuple[dict[int, StatisticsCollector], dict[str, int]]:
        from pyiceberg.io.pyarrow import compute_statistics_plan, parquet_path_to_id_mapping

        schema = self.table.schema()
        return compute_statistics_plan(schema, self.table.metadata.properties), parquet_path_to_id_mapping(schema)

    def measure(self, uri: str) -> DataFileStatistics:
        """A file's statistics."""
        import pyarrow.parquet as pq
        from pyiceberg.io.pyarrow import data_file_statistics_from_parquet_metadata

        with self.table.io.new_input(full(uri)).open() as stream:
            return data_file_statistics_from_parquet_metadata(pq.read_metadata(cast("IO[bytes]", stream)), *self._plan)


def described(table: Table, files: Sequence[WrittenFile]) -> list[IcebergFile]:
    """Manifest entries: from the footers of files just written, and those that files had which the table has again, whose columns may have had other names.

    Raises FileNotFoundError for a file that is gone.
    """
    from pyiceberg.io.pyarrow import DataFileStatistics
    from pyiceberg.manifest import DataFile as IcebergFile
    from pyiceberg.manifest import DataFileContent, FileFormat
    from pyiceberg.typedef import Record

    metadata, footers = table.metadata, Footers(table)

    def describe(file: WrittenFile) -> IcebergFile:
        size = len(table.io.new_input(full(file.uri)))
        if isinstance(file.native, Live):
            return file.native.entry.data_file
        statistics = file.statistics if isinstance(file.statistics, DataFileStatistics) else footers.measure(file.uri)
        return IcebergFile.from_args(
            content=DataFileContent.DATA,
            file_path=full(file.uri),
            file_format=FileFormat.PARQUET,
            partition=Record(*map(_stored, file.partition)),
            file_size_in_bytes=size,
            sort_order_id=(metadata.default_sort_order_id or None) if file.in_order else None,
            spec_id=metadata.default_spec_id,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )

    return each(describe, files)
