"""A Delta table: pinned versions, live files, and commits by compare-and-swap on the log."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as url_quote
from urllib.parse import unquote

from penstock.commits import Outcome
from penstock.config import AwsSettings
from penstock.errors import LedgerError, NotSupportedError
from penstock.ledgers import PROPERTY, dumps, loads
from penstock.schema import Column, Columns, DataType
from penstock.tables import Change, DataFile, FileLayout, PartitionField, Pinned

from .statistics import described

if TYPE_CHECKING:
    from deltalake import DeltaTable as Native

_NAMES = {DataType(n).delta: n for n in ("boolean", "int", "bigint", "float", "double", "string", "binary", "date", "timestamp", "timestamp_ntz")}
_READ = frozenset({"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"})
_HISTORY = 20


class TransactionLedger(Mapping[str, int]):
    """The ledger as the log's `txn` actions have it. A number is looked up in the log's state; names are those of recent commits of ours."""

    def __init__(self, native: Native) -> None:
        self._native = native

    def __getitem__(self, key: str) -> int:
        version: int | None = self._native.transaction_version(key)
        if version is None:
            raise KeyError(key)
        return version

    def __iter__(self) -> Iterator[str]:
        named = next((loads(commit[PROPERTY]) for commit in self._native.history(_HISTORY) if PROPERTY in commit), {})
        return (key for key in named if self._native.transaction_version(key) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def storage_options(location: str, aws: AwsSettings) -> dict[str, str] | None:
    from penstock.connectors.s3.access import deltalake_options

    return deltalake_options(aws) if location.startswith("s3://") else None


class DeltaTable:
    """One table at a location; every `pin` loads its log anew."""

    def __init__(self, name: str, location: str, aws: AwsSettings) -> None:
        self._name, self._location, self._aws = name, location.rstrip("/"), aws
        self._partition_columns: list[str] = self._load(None).metadata().partition_columns

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

    def pin(self, version: int | None = None) -> Pinned:
        from deltalake.exceptions import DeltaError

        try:
            native = self._load(version)
        except DeltaError as error:
            if version is None:
                raise
            raise LedgerError(
                f"version {version} of {self.name} is gone: {error}", hint="it was vacuumed before the batch that reads it was applied"
            ) from error
        protocol = native.protocol()
        if unread := set(protocol.reader_features or ()) - _READ:
            raise NotSupportedError(f"reading {self.name} with its table features {', '.join(sorted(unread))}", hint="have its owner write it without them")
        if native.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
            raise NotSupportedError(f"reading {self.name} with column mapping")
        return Pinned(self.name, native.version(), TransactionLedger(native), columns_of(native.schema()), native)

    def files(self, pinned: Pinned) -> Sequence[DataFile]:
        import pyarrow as pa

        native: Native = pinned.native
        actions = pa.RecordBatchReader.from_stream(native.get_add_actions(flatten=True)).read_all()
        found = []
        for row in actions.to_pylist():
            lower, upper = ({k[4:]: v for k, v in row.items() if k.startswith(prefix) and v is not None} for prefix in ("min.", "max."))
            partition = tuple(row[f"partition.{c}"] for c in self._partition_columns)
            found.append(DataFile(f"{self._location}/{unquote(row['path'])}", row["num_records"], row["size_bytes"], partition, lower, upper, row["path"]))
        return found

    def layout(self, pinned: Pinned) -> FileLayout:
        del pinned
        return FileLayout(None, partition_columns_in_file=False)

    def new_file(self, partition: tuple[object, ...], tag: str) -> str:
        folders = "".join(
            f"{column}={url_quote(_partition_text(value) or '__HIVE_DEFAULT_PARTITION__')}/"
            for column, value in zip(self._partition_columns, partition, strict=True)
        )
        return f"{self._location}/{folders}{tag}-{secrets.token_hex(6)}.parquet"

    def commit(self, pinned: Pinned, change: Change) -> Outcome:
        from deltalake import CommitProperties, PostCommitHookProperties, Transaction
        from deltalake.exceptions import CommitFailedError, DeltaError
        from deltalake.transaction import AddAction, RemoveAction

        native: Native = pinned.native
        now = int(time.time() * 1000)
        adds = [
            AddAction(url_quote(file.uri.removeprefix(f"{self._location}/"), safe="/=-_.~%"), size, self._values(file.partition), now, True, stats)
            for file, size, stats in described(change.add, pinned.columns, self._aws)
        ]
        removes = [RemoveAction(str(f.native), True, now, f.bytes, self._values(f.partition)) for f in change.remove]
        known = {key: max(number, pinned.ledger.get(key, 0)) for key, number in change.ledger.items()}
        properties = CommitProperties(
            custom_metadata={**change.summary, PROPERTY: dumps({key: pinned.ledger[key] for key in pinned.ledger} | known)},
            max_commit_retries=0,
            app_transactions=[Transaction(key, number) for key, number in known.items()],
        )
        hooks = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
        try:
            native.create_write_transaction(
                [*adds, *removes], "append", native.schema(), self._partition_columns or None, commit_properties=properties, post_commithook_properties=hooks
            )
        except CommitFailedError as error:
            return Outcome("failed", cause=str(error))
        except (DeltaError, OSError) as error:
            return Outcome("unknown", cause=f"{type(error).__name__}: {error}")
        return Outcome("done", (pinned.version or 0) + 1)

    def _values(self, partition: tuple[object, ...]) -> dict[str, str | None]:
        return {c: _partition_text(v) for c, v in zip(self._partition_columns, partition, strict=True)}


def _partition_text(value: Any) -> str | None:
    """A partition value as the log spells it."""
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def create(name: str, location: str, columns: Columns, partition_by: Sequence[PartitionField], aws: AwsSettings) -> DeltaTable:
    """Create the table; raises NotSupportedError for a partition that is not a column."""
    from deltalake import DeltaTable as Native
    from deltalake import Field, Schema
    from deltalake.schema import PrimitiveType

    if derived := [p for p in partition_by if p.transform != "identity"]:
        raise NotSupportedError(f"a Delta table partitioned by {derived[0].transform}({derived[0].column})", hint="partition by a column, or use iceberg")
    schema = Schema([Field(c.name, PrimitiveType(c.type.delta), nullable=not c.required) for c in columns])
    partitions = [p.column for p in partition_by] or None
    Native.create(location, schema, mode="error", partition_by=partitions, storage_options=storage_options(location, aws), configuration=_configuration())
    return DeltaTable(name, location, aws)


def _configuration() -> dict[str, str | None]:
    return {"delta.checkpointInterval": "20", "delta.logRetentionDuration": "interval 30 days"}


def columns_of(schema: Any) -> Columns:
    """Raises NotSupportedError for a type that Penstock has no name for."""
    found = []
    for field in schema.fields:
        text = getattr(field.type, "type", "")
        if text not in _NAMES and not str(text).startswith("decimal"):
            raise NotSupportedError(f"column {field.name!r} of type {field.type}")
        found.append(Column(field.name, DataType.parse(_NAMES.get(text, text)), not field.nullable))
    return tuple(found)
