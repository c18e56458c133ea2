"""Which of Delta's table features Penstock reads and writes; the others are refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from penstock.errors import NotSupportedError

if TYPE_CHECKING:
    from deltalake import DeltaTable as Native

# delta-rs lists variantType on tables without such a column; a column that has the type is refused by its type.
VECTORS, ENABLES_VECTORS = "deletionVectors", "delta.enableDeletionVectors"
_WRITER_VERSION = 7  # delta-rs refuses newer readers' versions itself
_READ = frozenset({VECTORS, "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "variantType"})
_WRITTEN = _READ | {"appendOnly", "changeDataFeed", "checkConstraints", "generatedColumns", "invariants"}
_OF_COLUMNS = {"delta.invariants": "invariants", "delta.generationExpression": "generated columns", "delta.identity.start": "identity columns"}
_WHEN_REMOVING = {"delta.appendOnly": "append-only tables", "delta.enableChangeDataFeed": "a change data feed"}


def has_vectors(native: Native) -> bool:
    """True where files of the table may have deletion vectors."""
    return VECTORS in (native.protocol().reader_features or ())


def writes_vectors(native: Native) -> bool:
    """True where the table's owner lets writers add deletion vectors."""
    return has_vectors(native) and native.metadata().configuration.get(ENABLES_VECTORS) == "true"


def check_readable(name: str, native: Native) -> None:
    """Raises NotSupportedError for a table whose files do not say the whole truth about its rows."""
    unread = sorted(set(native.protocol().reader_features or ()) - _READ)
    if native.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        unread.append("column mapping")
    if unread:
        raise NotSupportedError(f"reading {name} with {', '.join(unread)}", hint="have its owner write it without")


def check_writable(name: str, native: Native, *, removing: bool) -> None:
    """Raises NotSupportedError where a commit of ours would break a promise that the table makes to others."""
    if asked := sorted({*_asked_always(native), *(_asked_of_removals(native) if removing else ())}):
        raise NotSupportedError(f"writing {name} with {', '.join(asked)}", hint="have its owner take that off the table, or write to a table of your own")


def _asked_always(native: Native) -> Iterator[str]:
    yield from set(native.protocol().writer_features or ()) - _WRITTEN
    if (version := native.protocol().min_writer_version) > _WRITER_VERSION:
        yield f"the writer version {version}"
    if any(key.startswith("delta.constraints.") for key in native.metadata().configuration):
        yield "check constraints"
    for field in native.schema().fields:
        yield from (what for key, what in _OF_COLUMNS.items() if key in field.metadata)


def _asked_of_removals(native: Native) -> Iterator[str]:
    configuration = native.metadata().configuration
    return (what for key, what in _WHEN_REMOVING.items() if configuration.get(key) == "true")
