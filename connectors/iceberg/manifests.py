"""A snapshot of ours: manifests and manifest list written here, so that a commit is one call to the catalog and nothing is re-based."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.errors import NotSupportedError
from penstock.tables import DataFile

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile as IcebergFile
    from pyiceberg.manifest import ManifestEntry, ManifestFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

_THREADS = 8


@dataclass(frozen=True)
class Live:
    """A live file and the manifest that lists it."""

    manifest: str
    entry: ManifestEntry


def live_entries(table: Table, snapshot: Snapshot) -> list[tuple[ManifestFile, list[ManifestEntry]]]:
    """Each manifest with its live entries. Raises NotSupportedError for delete files, which Penstock does not read."""
    from pyiceberg.manifest import ManifestContent

    manifests = snapshot.manifests(table.io)
    if any(m.content == ManifestContent.DELETES and (m.existing_files_count or m.added_files_count) for m in manifests):
        raise NotSupportedError(f"reading the delete files of {'.'.join(table.name())}", hint="have their writer compact the table (rewrite_data_files) first")
    data = [m for m in manifests if m.content == ManifestContent.DATA]
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(zip(data, pool.map(lambda m: m.fetch_manifest_entry(table.io, discard_deleted=True), data), strict=True))


class SnapshotWriter:
    """Writes the metadata of one new snapshot on top of `parent`."""

    def __init__(self, table: Table, parent: Snapshot | None) -> None:
        self._table, self._parent = table, parent
        self.snapshot_id: int = table.metadata.new_snapshot_id()
        self._tag, self._count = uuid.uuid4(), itertools.count()

    def write(self, add: Sequence[IcebergFile], remove: Sequence[DataFile], summary: Mapping[str, str], operation: str) -> Snapshot:
        """Write manifests and manifest list; returns the snapshot, which no reader sees before the catalog points to it."""
        from pyiceberg.manifest import write_manifest_list
        from pyiceberg.table.snapshots import Snapshot

        metadata = self._table.metadata
        manifests = [*self._added(add), *self._kept(remove)]
        sequence = metadata.next_sequence_number()
        parent = self._parent.snapshot_id if self._parent else None
        path = self._path(f"snap-{self.snapshot_id}-0-{self._tag}.avro")
        with write_manifest_list(metadata.format_version, self._table.io.new_output(path), self.snapshot_id, parent, sequence, "deflate") as writer:
            writer.add_manifests(manifests)
        return Snapshot(
            snapshot_id=self.snapshot_id,
            parent_snapshot_id=parent,
            manifest_list=path,
            sequence_number=sequence,
            summary=self._summary(add, remove, summary, operation),
            schema_id=metadata.current_schema_id,
        )

    def _path(self, name: str) -> str:
        return self._table.location_provider().new_metadata_location(name)

    def _manifest(self, spec_id: int, entries: Sequence[tuple[str, ManifestEntry]]) -> ManifestFile:
        """One manifest; each entry goes in by the writer's method of that name (add, existing, delete)."""
        from pyiceberg.manifest import write_manifest

        metadata = self._table.metadata
        output = self._table.io.new_output(self._path(f"{self._tag}-m{next(self._count)}.avro"))
        with write_manifest(metadata.format_version, metadata.specs()[spec_id], metadata.schema(), output, self.snapshot_id, "deflate") as writer:
            for method, entry in entries:
                getattr(writer, method)(entry)
        return writer.to_manifest_file()

    def _added(self, files: Sequence[IcebergFile]) -> list[ManifestFile]:
        from pyiceberg.manifest import ManifestEntry, ManifestEntryStatus

        def entry(file: IcebergFile) -> ManifestEntry:
            return ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED, snapshot_id=self.snapshot_id, sequence_number=None, file_sequence_number=None, data_file=file
            )

        return [self._manifest(self._table.metadata.default_spec_id, [("add", entry(f)) for f in files])] if files else []

    def _kept(self, remove: Sequence[DataFile]) -> list[ManifestFile]:
        """The parent's manifests; those that list a removed file are written again without it."""
        if self._parent is None:
            return []
        gone = {f.native.entry.data_file.file_path for f in remove if isinstance(f.native, Live)}
        touched = {f.native.manifest for f in remove if isinstance(f.native, Live)}
        kept = []
        for manifest in self._parent.manifests(self._table.io):
            if manifest.manifest_path not in touched:
                kept.append(manifest)
                continue
            entries = manifest.fetch_manifest_entry(self._table.io, discard_deleted=True)
            kept.append(self._manifest(manifest.partition_spec_id, [("delete" if e.data_file.file_path in gone else "existing", e) for e in entries]))
        return kept

    def _summary(self, add: Sequence[IcebergFile], remove: Sequence[DataFile], extra: Mapping[str, str], operation: str):  # type: ignore[no-untyped-def]
        from pyiceberg.table.snapshots import Operation, SnapshotSummaryCollector, Summary, update_snapshot_summaries

        metadata = self._table.metadata
        collected = SnapshotSummaryCollector()
        for file in add:
            collected.add_file(file, metadata.schema(), metadata.spec())
        for removed in remove:
            assert isinstance(removed.native, Live)
            collected.remove_file(removed.native.entry.data_file, metadata.schema(), metadata.specs()[removed.native.entry.data_file.spec_id])
        summary = Summary(operation=Operation(operation), **collected.build(), **extra)
        return update_snapshot_summaries(summary=summary, previous_summary=self._parent.summary if self._parent else None)
