"""A Delta table: pinned versions, live files, and commits by compare-and-swap on the log."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as url_quote
from urllib.parse import unquote

from penstock.commits import Outcome
from penstock.config import AwsSettings
from penstock.connectors.paths import new_file
from penstock.connectors.reaching import lost_answers, reaching
from penstock.errors import CommitConflictError, DataError, LedgerError, NotSupportedError
from penstock.evolution import Evolution
from penstock.ledgers import FORMAT, PROPERTY, dumps, greatest, loads
from penstock.schema import Column, Columns, DataType, names
from penstock.tables import BATCH, RUN, Change, DataFile, FileLayout, PartitionField, Pinned, Version

from .config import CAPABILITIES
from .features import check_readable, check_writable
from .ledger import FORMAT_APP, TransactionLedger
from .statistics import bounds, described, filesystem

if TYPE_CHECKING:
    from deltalake import CommitProperties, Schema
    from deltalake import DeltaTable as Native
    from deltalake.transaction import AddAction, RemoveAction

_NAMES = {DataType(n).delta: n for n in ("boolean", "int", "bigint", "float", "double", "string", "binary", "date", "timestamp", "timestamp_ntz")}
_NONCE, _EVOLVED = "penstock.commit", "penstock.evolved"
_NOT_ENCODED = "!$&'()+,-./:;=@_~"


def storage_options(location: str, aws: AwsSettings) -> dict[str, str] | None:
    from penstock.connectors.s3.access import deltalake_options

    return deltalake_options(aws) if location.startswith("s3://") else None


class DeltaTable:
    """One table at a location; every `pin` loads its log anew."""

    def __init__(self, name: str, location: str, aws: AwsSettings) -> None:
        self._name, self._location, self._aws = name, location.rstrip("/"), aws
        with self._reaching():
            self._partition_columns: list[str] = self._load(None).metadata().partition_columns

    def _reaching(self) -> AbstractContextManager[None]:
        return reaching(f"table {self._name} at {self._location}")

    def _load(self, version: int | None) -> Native:
        from deltalake import DeltaTable as Native

        return Native(self._location, version=version, storage_options=storage_options(self._location, self._aws))

    @property
    def name(self) -> str:
        return self._name

    @property
    def location(self) -> str:
        return self._location

    @property
    def partition_by(self) -> tuple[PartitionField, ...]:
        return tuple(PartitionField("identity", c) for c in self._partition_columns)

    @property
    def takes_position_deletes(self) -> bool:
        return False

    def pin(self, version: int | None = None) -> Pinned:
        with self._reaching():
            native = self._load_pinned(version)
            check_readable(self.name, native)
            return Pinned(
                self.name, native.version(), TransactionLedger(native), columns_of(native.schema()), native, _EVOLVED in native.metadata().configuration
            )

    def _load_pinned(self, version: int | None) -> Native:
        from deltalake.exceptions import DeltaError, TableNotFoundError

        try:
            return self._load(version)
        except TableNotFoundError as error:
            raise DataError(f"table {self.name} is in its catalog, but there is no Delta log at {self.location}", hint="drop it from the catalog") from error
        except DeltaError as error:
            if version is None:
                raise
            hint = "it was vacuumed before the batch that reads it was applied; `penstock batch skip` it"
            raise LedgerError(f"version {version} of {self.name} is gone: {error}", hint=hint) from error

    def history(self) -> Sequence[Version]:
        with self._reaching():
            entries = self._load(None).history()
        return [
            Version(
                entry["version"], datetime.fromtimestamp(entry["timestamp"] / 1000, UTC), str(entry.get("operation", "")).lower(),
                loads(entry.get(PROPERTY)), entry.get(RUN, ""), int(entry[BATCH]) if BATCH in entry else None,
            ) for entry in entries if "timestamp" in entry
        ]  # fmt: skip

    def files(self, pinned: Pinned) -> Sequence[DataFile]:
        import pyarrow as pa

        native: Native = pinned.native
        actions = pa.RecordBatchReader.from_stream(native.get_add_actions(flatten=True)).read_all()
        return [self._data_file(row) for row in actions.to_pylist()]

    def _data_file(self, row: Mapping[str, Any]) -> DataFile:
        path, rows = row["path"], row["num_records"]
        if rows is None:
            raise NotSupportedError(f"reading {self.name}, whose log does not say how many rows {path} has,", hint="have its writer keep statistics")
        partition = {c: row[f"partition.{c}"] for c in self._partition_columns}
        lower, upper = bounds(row, partition)
        return DataFile(f"{self._location}/{unquote(path)}", rows, row["size_bytes"], tuple(partition.values()), lower, upper, path)

    def layout(self, pinned: Pinned) -> FileLayout:
        del pinned
        return FileLayout(None, partition_columns_in_file=False)

    def new_file(self, partition: tuple[object, ...], tag: str) -> str:
        return new_file(self._location, self._values(partition).items(), tag)

    def evolve(self, pinned: Pinned, change: Evolution) -> None:
        from deltalake.exceptions import CommitFailedError

        not_here = {"widening": names(change.widen), "renaming": [old for old, _ in change.rename], "dropping": change.drop}
        for what, columns in not_here.items():
            if columns:
                hint = "use iceberg, or make the table anew with `penstock run --full-refresh`"
                raise NotSupportedError(f"{what} {columns[0]} of the Delta table {self.name}", hint=hint)
        native: Native = pinned.native
        check_writable(self.name, native, removing=False)
        try:
            with self._reaching():
                if not pinned.evolved:
                    native.alter.set_table_properties({_EVOLVED: "true"}, raise_if_not_exists=False)
                native.alter.add_columns(schema_of(change.append).fields)
        except CommitFailedError as error:
            raise CommitConflictError(f"the columns of {self.name} were not changed: {error}") from error

    def expire(self, before: datetime, needed: Collection[int]) -> int:
        """Former versions end when their files are vacuumed, and their log when its retention ends: nothing is done here."""
        del before, needed
        return 0

    def sweep(self, before: datetime) -> Sequence[tuple[str, int]]:
        hours = max(0, math.ceil((datetime.now(UTC) - before) / timedelta(hours=1)))
        with self._reaching():
            native = self._load(None)
            system, root = filesystem(self._location, self._aws)
            found = native.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True)
            sizes = [info.size or 0 for info in system.get_file_info([f"{root}/{unquote(path)}" for path in found])] if found else []
            if found:
                native.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True)
        return list(zip(found, sizes, strict=True))

    def commit(self, pinned: Pinned, change: Change) -> Outcome:
        from deltalake import PostCommitHookProperties
        from deltalake.exceptions import CommitFailedError

        native: Native = pinned.native
        check_writable(self.name, native, removing=bool(change.remove))
        with self._reaching():
            actions = self._actions(pinned, change)
        nonce, version = secrets.token_hex(8), native.version() + 1
        try:
            native.create_write_transaction(
                actions,
                "append",
                native.schema(),
                self._partition_columns or None,
                commit_properties=_properties(pinned, change, nonce),
                post_commithook_properties=PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False),
            )
        except CommitFailedError as error:
            return self._after_refusal(version, nonce, str(error))
        except lost_answers() as error:
            return Outcome("unknown", cause=f"{type(error).__name__}: {error}")
        return Outcome("done", version)

    def _after_refusal(self, version: int, nonce: str, cause: str) -> Outcome:
        """A client that put twice is refused by its own first put: whether the log since `version` holds our entry decides."""
        try:
            now = self._load(None)
            ours = any(entry.get(_NONCE) == nonce for entry in now.history(max(now.version() - version + 1, 1)))
        except lost_answers() as error:
            return Outcome("unknown", cause=f"{cause}; then {type(error).__name__}: {error}")
        return Outcome("done", version) if ours else Outcome("failed", cause=cause)

    def _actions(self, pinned: Pinned, change: Change) -> list[AddAction | RemoveAction]:
        from deltalake.transaction import AddAction, RemoveAction

        now, changes_rows = int(time.time() * 1000), change.operation != "replace"
        adds = [
            AddAction(file.uri.removeprefix(f"{self._location}/"), size, self._values(file.partition), now, changes_rows, stats)
            for file, size, stats in described(change.add, pinned.columns, self._aws)
        ]
        return [*adds, *(RemoveAction(_decoded(str(f.native)), changes_rows, now, f.bytes, self._values(f.partition)) for f in change.remove)]

    def _values(self, partition: tuple[object, ...]) -> dict[str, str | None]:
        return {c: _partition_text(v) for c, v in zip(self._partition_columns, partition, strict=True)}


def _decoded(path: str) -> str:
    """A path of the log as delta-rs wants it for an action; raises NotSupportedError where it would write it back otherwise, which removes nothing."""
    decoded = unquote(path)
    if url_quote(decoded, safe=_NOT_ENCODED) != path:
        raise NotSupportedError(
            f"removing the file {path}, whose path another writer encoded in a way of its own,", hint="have that writer compact the table first"
        )
    return decoded


def _properties(pinned: Pinned, change: Change, nonce: str) -> CommitProperties:
    """No retries: the next version is the pinned one's successor, or there is no commit."""
    from deltalake import CommitProperties, Transaction

    applied = greatest([pinned.ledger, change.ledger])
    transactions = {FORMAT_APP: FORMAT} | {key: applied[key] for key in change.ledger}
    return CommitProperties(
        custom_metadata={**change.summary, PROPERTY: dumps(applied), _NONCE: nonce},
        max_commit_retries=0,
        app_transactions=[Transaction(key, number) for key, number in transactions.items()],
    )


def _partition_text(value: Any) -> str | None:
    """A partition value as the log spells it; raises NotSupportedError for what Delta would read back as NULL."""
    match value:
        case None:
            return None
        case "":
            raise NotSupportedError("an empty text as a partition value of a Delta table", hint="partition by another column, or use iceberg")
        case bool():
            return str(value).lower()
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}" if value.tzinfo else f"{value:%Y-%m-%d %H:%M:%S.%f}"
    return str(value)


def create(name: str, location: str, columns: Columns, partition_by: Sequence[PartitionField], aws: AwsSettings) -> DeltaTable:
    """Create the table; raises NotSupportedError for a partition that is not a column."""
    from deltalake import DeltaTable as Native

    if derived := [p for p in partition_by if p.transform not in CAPABILITIES.partition_transforms]:
        raise NotSupportedError(f"a Delta table partitioned by {derived[0]}", hint="partition by a column, or use iceberg")
    if binary := [c.name for c in columns if c.type.name == "binary" and c.name in {p.column for p in partition_by}]:
        raise NotSupportedError(f"a Delta table partitioned by the binary column {binary[0]}", hint="partition by another column, or use iceberg")
    schema = schema_of(columns)
    partitions = [p.column for p in partition_by] or None
    Native.create(location, schema, mode="error", partition_by=partitions, storage_options=storage_options(location, aws), configuration=_configuration())
    return DeltaTable(name, location, aws)


def _configuration() -> dict[str, str | None]:
    return {"delta.checkpointInterval": "20", "delta.logRetentionDuration": "interval 30 days"}


def schema_of(columns: Columns) -> Schema:
    from deltalake import Field, Schema
    from deltalake.schema import PrimitiveType

    return Schema([Field(c.name, PrimitiveType(c.type.delta), nullable=not c.required) for c in columns])


def columns_of(schema: Any) -> Columns:
    """Raises NotSupportedError for a type that Penstock has no name for."""
    found = []
    for field in schema.fields:
        text = getattr(field.type, "type", "")
        if text not in _NAMES and not str(text).startswith("decimal"):
            raise NotSupportedError(f"column {field.name!r} of type {field.type}")
        found.append(Column(field.name, DataType.parse(_NAMES.get(text, text)), not field.nullable))
    return tuple(found)
