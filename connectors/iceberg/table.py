"""An Iceberg table: pinned states, live files, and commits by compare-and-swap through its catalog."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import IO, TYPE_CHECKING, Any, cast

from penstock.commits import Outcome
from penstock.errors import LedgerError, NotSupportedError
from penstock.ledgers import PROPERTY, dumps, greatest, loads
from penstock.schema import Column, Columns, DataType
from penstock.tables import Change, DataFile, FileLayout, PartitionField, Pinned, WrittenFile

from .manifests import Live, SnapshotWriter, live_entries

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile as IcebergFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

_TRANSFORMS = {"identity": "identity", "year": "years", "month": "months", "day": "days", "hour": "hours"}
_NAMES = {DataType(n).iceberg: n for n in ("boolean", "int", "bigint", "float", "double", "string", "binary", "date", "timestamp", "timestamp_ntz")}
_PROPERTIES = {
    "format-version": "2",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "commit.retry.num-retries": "0",
}


def plain(uri: str) -> str:
    """A local file's URI as a path, others as they are."""
    return uri.removeprefix("file://")


def full(uri: str) -> str:
    return f"file://{uri}" if uri.startswith("/") else uri


class IcebergTable:
    """One table of a catalog; every `pin` loads its metadata anew."""

    def __init__(self, catalog: Catalog, identifier: tuple[str, str]) -> None:
        self._catalog, self._identifier = catalog, identifier
        self._loaded = catalog.load_table(identifier)

    @property
    def name(self) -> str:
        return ".".join(self._identifier)

    @property
    def location(self) -> str:
        return plain(self._loaded.location())

    @property
    def partition_by(self) -> tuple[PartitionField, ...]:
        schema = self._loaded.schema()
        fields = self._loaded.spec().fields
        if unknown := [str(f.transform) for f in fields if str(f.transform) not in _TRANSFORMS]:
            raise NotSupportedError(f"writing {self.name}, partitioned by {unknown[0]},")
        return tuple(PartitionField(_TRANSFORMS[str(f.transform)], schema.find_column_name(f.source_id) or "") for f in fields)

    def pin(self, version: int | None = None) -> Pinned:
        self._loaded = table = self._catalog.load_table(self._identifier)
        snapshot = table.current_snapshot() if version is None else table.snapshot_by_id(version)
        if version is not None and snapshot is None:
            raise LedgerError(
                f"snapshot {version} of {self.name} is gone", hint="it was expired before the batch that reads it was applied; `penstock batch skip` it"
            )
        ledger = greatest([loads(table.properties.get(PROPERTY)), *(loads(s.summary.get(PROPERTY)) for s in self._ancestry(table, snapshot) if s.summary)])
        return Pinned(self.name, snapshot.snapshot_id if snapshot else None, ledger, columns_of(table.schema()), table)

    @staticmethod
    def _ancestry(table: Table, snapshot: Snapshot | None) -> list[Snapshot]:
        by_id = {s.snapshot_id: s for s in table.metadata.snapshots}
        found = []
        while snapshot:
            found.append(snapshot)
            snapshot = by_id.get(snapshot.parent_snapshot_id or -1)
        return found

    def files(self, pinned: Pinned) -> Sequence[DataFile]:
        table: Table = pinned.native  # type: ignore[assignment]
        snapshot = table.snapshot_by_id(pinned.version) if pinned.version is not None else None
        if snapshot is None:
            return []
        fields = {f.field_id: (f.name, f.field_type) for f in table.schema().fields if f.field_type.is_primitive}
        partition = [f.transform.result_type(table.schema().find_type(f.source_id)) for f in table.spec().fields]
        return [_data_file(m.manifest_path, e, fields, partition) for m, entries in live_entries(table, snapshot) for e in entries]

    def layout(self, pinned: Pinned) -> FileLayout:
        table: Table = pinned.native  # type: ignore[assignment]
        return FileLayout({f.name: f.field_id for f in table.schema().fields}, partition_columns_in_file=True)

    def new_file(self, partition: tuple[object, ...], tag: str) -> str:
        folders = "".join(f"{field.name}={value}/" for field, value in zip(self.partition_by, partition, strict=True))
        return f"{self.location}/data/{folders}{tag}-{secrets.token_hex(6)}.parquet"

    def commit(self, pinned: Pinned, change: Change) -> Outcome:
        from pyiceberg.exceptions import CommitFailedException
        from pyiceberg.table.update import AddSnapshotUpdate, AssertRefSnapshotId, AssertTableUUID, SetPropertiesUpdate, SetSnapshotRefUpdate

        table: Table = pinned.native  # type: ignore[assignment]
        parent = table.snapshot_by_id(pinned.version) if pinned.version is not None else None
        writer = SnapshotWriter(table, parent)
        operation = "append" if change.operation == "append" and not change.remove else "overwrite"
        summary = {**change.summary, PROPERTY: dumps(change.ledger)}
        snapshot = writer.write(_described(table, change.add), change.remove, summary, operation)
        main = SetSnapshotRefUpdate.model_validate({"ref-name": "main", "type": "branch", "snapshot-id": snapshot.snapshot_id})
        updates = (
            AddSnapshotUpdate(snapshot=snapshot),
            main,
            SetPropertiesUpdate(updates={PROPERTY: dumps(greatest([pinned.ledger, change.ledger]))}),
        )
        requirements = (AssertTableUUID(uuid=table.metadata.table_uuid), AssertRefSnapshotId(ref="main", snapshot_id=pinned.version))
        try:
            self._catalog.commit_table(table, requirements, updates)
        except CommitFailedException as error:
            return self._after_refusal(snapshot.snapshot_id, str(error))
        except _lost_answers() as error:
            return Outcome("unknown", cause=f"{type(error).__name__}: {error}")
        return Outcome("done", snapshot.snapshot_id)

    def _after_refusal(self, snapshot_id: int, cause: str) -> Outcome:
        """A client that retried by itself is refused by its own first try: what the table holds decides."""
        try:
            now = self._catalog.load_table(self._identifier)
        except _lost_answers() as error:
            return Outcome("unknown", cause=f"{cause}; then {type(error).__name__}: {error}")
        return Outcome("done", snapshot_id) if now.snapshot_by_id(snapshot_id) else Outcome("failed", cause=cause)


def create(catalog: Catalog, identifier: tuple[str, str], location: str, columns: Columns, partition_by: Sequence[PartitionField]) -> IcebergTable:
    """Create the table, format 2, in a folder that no dropped table had: `location` and a number of its own."""
    from pyiceberg.partitioning import PartitionField as SpecField
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.transforms import parse_transform

    schema = schema_of(columns)
    words = {plural: word for word, plural in _TRANSFORMS.items()}
    spec = PartitionSpec(
        *(
            SpecField(source_id=schema.find_field(p.column).field_id, field_id=1000 + i, transform=parse_transform(words[p.transform]), name=p.name)
            for i, p in enumerate(partition_by)
        )
    )
    catalog.create_table(identifier, schema, location=f"{full(location)}-{secrets.token_hex(4)}", partition_spec=spec, properties=_PROPERTIES)
    return IcebergTable(catalog, identifier)


def schema_of(columns: Columns) -> Schema:
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField

    return Schema(*(NestedField(i + 1, c.name, c.type.iceberg, required=c.required) for i, c in enumerate(columns)))


def columns_of(schema: Schema) -> Columns:
    """Raises NotSupportedError for a type that Penstock has no name for."""
    found = []
    for field in schema.fields:
        text = str(field.field_type)
        if text not in _NAMES and not text.startswith("decimal("):
            raise NotSupportedError(f"column {field.name!r} of type {text}")
        found.append(Column(field.name, DataType.parse(_NAMES.get(text, text)), field.required))
    return tuple(found)


def _data_file(manifest: str, entry: Any, fields: Mapping[int, tuple[str, Any]], partition: Sequence[Any]) -> DataFile:
    from pyiceberg.conversions import from_bytes

    def bounds(raw: Mapping[int, bytes] | None) -> dict[str, object]:
        return {fields[i][0]: _python(fields[i][1], from_bytes(fields[i][1], value)) for i, value in (raw or {}).items() if i in fields}

    file = entry.data_file
    return DataFile(
        plain(file.file_path),
        file.record_count,
        file.file_size_in_bytes,
        tuple(_python(kind, value) for kind, value in zip(partition, file.partition, strict=True)),
        bounds(file.lower_bounds),
        bounds(file.upper_bounds),
        Live(manifest, entry),
    )


def _python(kind: Any, value: Any) -> Any:
    """A value as Python has it: Iceberg counts dates in days and instants in microseconds."""
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


def _described(table: Table, files: Sequence[WrittenFile]) -> list[IcebergFile]:
    """Manifest entries from the footers of files just written."""
    import pyarrow.parquet as pq
    from pyiceberg.io.pyarrow import compute_statistics_plan, data_file_statistics_from_parquet_metadata, parquet_path_to_id_mapping
    from pyiceberg.manifest import DataFile as IcebergFile
    from pyiceberg.manifest import DataFileContent, FileFormat
    from pyiceberg.typedef import Record

    metadata, schema = table.metadata, table.schema()
    plan, mapping = compute_statistics_plan(schema, metadata.properties), parquet_path_to_id_mapping(schema)

    def describe(file: WrittenFile) -> IcebergFile:
        source = table.io.new_input(full(file.uri))
        with source.open() as stream:
            statistics = data_file_statistics_from_parquet_metadata(pq.read_metadata(cast("IO[bytes]", stream)), plan, mapping)
        return IcebergFile.from_args(
            content=DataFileContent.DATA,
            file_path=full(file.uri),
            file_format=FileFormat.PARQUET,
            partition=Record(*map(_stored, file.partition)),
            file_size_in_bytes=len(source),
            sort_order_id=None,
            spec_id=metadata.default_spec_id,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(describe, files))


def _lost_answers() -> tuple[type[BaseException], ...]:
    """What a catalog or a store raises when nobody can say whether the request was carried out."""
    from botocore.exceptions import BotoCoreError, ClientError
    from pyiceberg.exceptions import CommitStateUnknownException, ServerError
    from sqlalchemy.exc import SQLAlchemyError

    return (OSError, BotoCoreError, ClientError, CommitStateUnknownException, ServerError, SQLAlchemyError)
