"""Files below a table's location that no snapshot needs: of killed runs, of lost races, of expired snapshots."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from penstock.connectors.paths import plain
from penstock.connectors.removing import removed
from penstock.errors import NotSupportedError
from penstock.threads import each

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table import Table

_SLASHES = re.compile("(?<!:)/{2,}")


def remove_orphans(load: Callable[[], Table], before: datetime) -> list[tuple[str, int]]:
    """Remove files older than `before` that the table does not need; returns their URIs and bytes.

    The files are listed before the metadata is read, so that what a commit adds meanwhile is either not listed or referred to. Raises NotSupportedError
    where the table names a file in a way that may or may not mean one below it.
    """
    from pyiceberg.io.pyarrow import PyArrowFileIO

    table = load()
    io = table.io
    assert isinstance(io, PyArrowFileIO)
    listed = list(_older(io, table.location(), before))
    if not listed:
        return []
    needed = referenced(load())
    orphans = [(uri, size) for uri, size in listed if _place(uri) not in needed]
    return [(plain(uri), size) for uri, size in removed(orphans, lambda found: io.delete(found[0]))]


def _older(io, location: str, before: datetime) -> Iterator[tuple[str, int]]:  # type: ignore[no-untyped-def]
    import pyarrow.fs as fs

    scheme, netloc, path = io.parse_location(location)
    system = io.fs_by_scheme(scheme, netloc)
    prefix = location.removesuffix(path) if location.endswith(path) else f"{scheme}://"
    for found in system.get_file_info(fs.FileSelector(path, recursive=True)):
        if found.type == fs.FileType.File and found.mtime is not None and found.mtime < before:
            yield f"{prefix}{found.path}", found.size or 0


def referenced(table: Table) -> set[str]:
    """The place of every file that a snapshot, or the metadata itself, names."""
    metadata = table.metadata
    found = {table.metadata_location, *(log.metadata_file for log in metadata.metadata_log)}
    found |= {s.statistics_path for s in metadata.statistics} | {s.statistics_path for s in metadata.partition_statistics}
    manifests: dict[str, ManifestFile] = {}
    for snapshot in metadata.snapshots:
        found.add(snapshot.manifest_list)
        manifests |= {m.manifest_path: m for m in snapshot.manifests(table.io)}
    for entries in each(lambda m: m.fetch_manifest_entry(table.io, discard_deleted=True), manifests.values()):
        found |= {entry.data_file.file_path for entry in entries}
    return {_place(uri) for uri in found | set(manifests)}


def _place(uri: str) -> str:
    """Where a file lies, the same for all spellings; doubled slashes, which clients keep or drop, are one."""
    if not (found := plain(uri)).startswith(("/", "s3://")):
        hint = "have it name its files by s3://, s3a://, s3n:// or a path, or leave the removal of files to its writer"
        raise NotSupportedError(f"removing files of an Iceberg table that names one of them {uri}", hint=hint)
    return _SLASHES.sub("/", found)
