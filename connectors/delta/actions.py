"""A change in the words of Delta's log."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from penstock.ledgers import FORMAT, PROPERTY, dumps
from penstock.tables import COMMIT, Change, DataFile, Operation, WrittenDeletes

from .deletion_vectors import Descriptor
from .ledger import FORMAT_APP
from .log import Action

if TYPE_CHECKING:
    from deltalake import DeltaTable as Native

ENGINE = "penstock"
_OPERATIONS: Mapping[Operation, tuple[str, Mapping[str, str]]] = {
    "append": ("WRITE", {"mode": "Append"}), "overwrite": ("WRITE", {"mode": "Overwrite"}), "replace": ("OPTIMIZE", {}),
}  # fmt: skip
_KEPT = ("path", "partitionValues", "size", "modificationTime", "tags")
_IMPLIED = ("appendOnly", "invariants")
_NOT_ENCODED = "!$&'()+,-./:;=@_~"


def commit_info(change: Change, applied: Mapping[str, int], now: int) -> Action:
    """What the commit says of itself; unlike any other, so that its writer knows it again."""
    operation, parameters = _OPERATIONS[change.operation]
    return {"commitInfo": {
        "timestamp": now, "operation": operation, "operationParameters": parameters, "engineInfo": ENGINE,
        COMMIT: uuid.uuid4().hex, **change.summary, PROPERTY: dumps(applied),
    }}  # fmt: skip


def transactions(change: Change, applied: Mapping[str, int]) -> list[Action]:
    """The ledger's entries, without `lastUpdated`, which would let them be forgotten."""
    return [{"txn": {"appId": key, "version": number}} for key, number in ({FORMAT_APP: FORMAT} | {key: applied[key] for key in change.ledger}).items()]


def added(path: str, size: int, stats: str, values: Mapping[str, str | None], now: int, *, changes_rows: bool) -> Action:
    return {"add": {
        "path": quote(path, safe=_NOT_ENCODED), "partitionValues": values, "size": size, "modificationTime": now,
        "dataChange": changes_rows, "stats": stats,
    }}  # fmt: skip


def removed(file: DataFile, values: Mapping[str, str | None], now: int, *, changes_rows: bool) -> Action:
    """A file is known by its path and its deletion vector."""
    logged = _logged(file)
    vector = {"deletionVector": _vector(logged)} if _vector(logged) else {}
    return {"remove": {
        "path": logged["path"], "deletionTimestamp": now, "dataChange": changes_rows, "extendedFileMetadata": True,
        "partitionValues": logged.get("partitionValues", values), "size": file.bytes, **vector,
    }}  # fmt: skip


def thinned(deletes: WrittenDeletes, values: Mapping[str, str | None], now: int) -> Iterator[Action]:
    """The same file, of which more rows are deleted. Its statistics hold for all its rows, so that they are wide for those that are left."""
    file, vector = deletes.of, deletes.native
    assert isinstance(vector, Descriptor)
    logged = _logged(file)
    stats = json.loads(logged.get("stats") or "{}") | {"numRecords": file.rows + file.deleted, "tightBounds": False}
    kept = {name: logged[name] for name in _KEPT if logged.get(name) is not None}
    yield removed(file, values, now, changes_rows=True)
    yield {"add": {
        "partitionValues": values, "size": file.bytes, "modificationTime": now, **kept, "dataChange": True,
        "stats": json.dumps(stats, separators=(",", ":"), ensure_ascii=False), "deletionVector": vector.logged,
    }}  # fmt: skip


def first_version(schema: str, partition_by: Sequence[str], configuration: Mapping[str, str], features: Sequence[str], now: int) -> list[Action]:
    """A new table. Only features that need it ask for the newer protocol, which not every reader knows, and which lists what the older one implies."""
    legacy: dict[str, Any] = {"minReaderVersion": 1, "minWriterVersion": 2}
    listed: dict[str, Any] = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": list(features), "writerFeatures": [*_IMPLIED, *features]}
    return [
        {"commitInfo": {"timestamp": now, "operation": "CREATE TABLE", "operationParameters": {}, "engineInfo": ENGINE}},
        {"protocol": listed if features else legacy},
        {"metaData": {
            "id": str(uuid.uuid4()), "name": None, "description": None, "format": {"provider": "parquet", "options": {}}, "schemaString": schema,
            "partitionColumns": list(partition_by), "configuration": configuration, "createdTime": now,
        }},
    ]  # fmt: skip


def properties_set(now: int) -> Action:
    """What a commit that changes no file says of itself."""
    return {"commitInfo": {"timestamp": now, "operation": "SET TBLPROPERTIES", "operationParameters": {}, "engineInfo": ENGINE}}


def changed_metadata(native: Native, schema: str, configuration: Mapping[str, str], features: Sequence[str]) -> list[Action]:
    """Other columns or properties of a table. Features that it lacks are listed where its protocol lists them, or is the oldest, which then lists its own."""
    protocol, metadata = native.protocol(), native.metadata()
    actions: list[Action] = []
    readers, writers = (list(part or ()) for part in (protocol.reader_features, protocol.writer_features))
    wanted = [f for f in features if f not in readers]
    if wanted and protocol.min_writer_version in (1, 2, 7):
        listed = {"readerFeatures": [*readers, *wanted], "writerFeatures": [*(writers or _IMPLIED), *wanted]}
        actions.append({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **listed}})
    return [*actions, {"metaData": {
        "id": metadata.id, "name": metadata.name, "description": metadata.description, "format": {"provider": "parquet", "options": {}},
        "schemaString": schema, "partitionColumns": list(metadata.partition_columns), "configuration": {**metadata.configuration, **configuration},
        "createdTime": metadata.created_time,
    }}]  # fmt: skip


def _logged(file: DataFile) -> Mapping[str, Any]:
    assert isinstance(file.native, Mapping)
    return file.native


def _vector(logged: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = logged.get("deletionVector")
    return Descriptor.of(found).logged if found else None
