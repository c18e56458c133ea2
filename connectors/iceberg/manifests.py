"""A snapshot of ours: manifests and manifest list written here, so that a commit is one call to the catalog and nothing is re-based."""

from __future__ import annotations

import itertools
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.errors import DataError
from penstock.maintenance import packed
from penstock.tables import DataFile
from penstock.threads import each

from .features import check_file, check_readable, spelled_otherwise

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile as IcebergFile
    from pyiceberg.manifest import ManifestEntry, ManifestFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

_MOST = 99
_SMALL = 8 * 1024 * 1024


@dataclass(frozen=True)
class Live:
    """A live file and the manifest that lists it."""

    manifest: str
    entry: ManifestEntry


def has_live_files(manifest: ManifestFile) -> bool:
    return manifest.has_added_files() or manifest.has_existing_files()


@dataclass(frozen=True)
class Files:
    """What a snapshot changes: new data files, new delete files, data files that go, and data files whose own delete file goes."""

    add: Sequence[IcebergFile] = ()
    deletes: Sequence[IcebergFile] = ()
    remove: Sequence[DataFile] = ()
    replaced: Sequence[DataFile] = ()

    @property
    def gone(self) -> list[Live]:
        """The entries that are live no longer."""
        own = [d.native for f in (*self.remove, *self.replaced) for d in f.deletes if d.is_own]
        return [n for n in (*(f.native for f in self.remove), *own) if isinstance(n, Live)]


def live_entries(table: Table, snapshot: Snapshot) -> Iterator[tuple[str, ManifestEntry]]:
    """Each live entry, of data and of delete files, with the path of its manifest. Raises NotSupportedError for what Penstock does not read."""
    manifests = [m for m in snapshot.manifests(table.io) if has_live_files(m)]
    check_readable(table, manifests)
    found, spelled = each(lambda m: m.fetch_manifest_entry(table.io, discard_deleted=True), manifests), spelled_otherwise(table)
    for manifest, entries in zip(manifests, found, strict=True):
        for entry in entries:
            check_file(table, entry, spelled)
            yield manifest.manifest_path, entry


def mergeable(manifests: Sequence[ManifestFile], more_than: int) -> list[list[ManifestFile]]:
    """Small manifests to be written as one each, of one partitioning and of data or delete files, where there are more than so many of them."""
    alike: dict[tuple[int, int], list[ManifestFile]] = defaultdict(list)
    for manifest in manifests:
        if has_live_files(manifest) and manifest.manifest_length < _SMALL:
            alike[manifest.partition_spec_id, manifest.content].append(manifest)
    many = [packed(small, _SMALL, lambda m: m.manifest_length) for small in alike.values() if len(small) > more_than]
    return [part for parts in many for part in parts if len(part) > 1]


def _bare(entry: ManifestEntry) -> ManifestEntry:
    """Without statistics, which nobody asks of a file that went, and which take most of the time of writing an entry."""
    from pyiceberg.manifest import DataFile as IcebergFile
    from pyiceberg.manifest import ManifestEntry

    file = entry.data_file
    kept = {name: getattr(file, name) for name in ("content", "file_path", "file_format", "partition", "record_count", "file_size_in_bytes", "spec_id")}
    return ManifestEntry.from_args(
        status=entry.status,
        snapshot_id=entry.snapshot_id,
        sequence_number=entry.sequence_number,
        file_sequence_number=entry.file_sequence_number,
        data_file=IcebergFile.from_args(**kept),
    )


class SnapshotWriter:
    """Writes the metadata of one new snapshot on top of `parent`; more small manifests of a kind than `most_manifests` become one.

    With `forgets` no manifest says any more which files were deleted, and what lay in them.
    """

    def __init__(self, table: Table, parent: Snapshot | None, most_manifests: int = _MOST, *, forgets: bool = False) -> None:
        self._table, self._parent, self._most, self._forgets = table, parent, most_manifests, forgets
        self.snapshot_id: int = table.metadata.new_snapshot_id()
        self._tag, self._count = uuid.uuid4(), itertools.count()

    def write(self, files: Files, summary: Mapping[str, str], operation: str) -> Snapshot:
        """Write manifests and manifest list; returns the snapshot, which no reader sees before the catalog points to it."""
        from pyiceberg.manifest import write_manifest_list
        from pyiceberg.table.snapshots import Snapshot

        metadata = self._table.metadata
        manifests = [*self._added(files.add), *self._added(files.deletes), *self._kept(files.gone)]
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
            summary=self._summary(files, summary, operation),
            schema_id=metadata.current_schema_id,
        )

    def _path(self, name: str) -> str:
        return self._table.location_provider().new_metadata_location(name)

    def _manifest(self, spec_id: int, entries: Sequence[tuple[str, ManifestEntry]]) -> ManifestFile:
        """One manifest; each entry goes in by the writer's method of that name (add, existing, delete)."""
        from pyiceberg.manifest import DataFileContent, write_manifest

        from .deletes import DeleteManifestWriter

        metadata = self._table.metadata
        output = self._table.io.new_output(self._path(f"{self._tag}-m{next(self._count)}.avro"))
        spec, schema = metadata.specs()[spec_id], metadata.schema()
        holds_data = entries[0][1].data_file.content == DataFileContent.DATA
        made = (
            write_manifest(metadata.format_version, spec, schema, output, self.snapshot_id, "deflate")
            if holds_data
            else DeleteManifestWriter(spec, schema, output, self.snapshot_id, "deflate")
        )
        with made as writer:
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

    def _kept(self, live: Sequence[Live]) -> list[ManifestFile]:
        """The parent's manifests that list a live file; those that list one that goes are written again without it.

        Raises DataError when a file that goes is not live in the parent: it was read from another state than the one that is committed to.
        """
        parents = self._parent.manifests(self._table.io) if self._parent else []
        gone, touched = {f.entry.data_file.file_path for f in live}, {f.manifest for f in live}
        kept = [m for m in parents if m.manifest_path not in touched and has_live_files(m)]
        rewritten = each(lambda m: self._rewritten([m], gone), (m for m in parents if m.manifest_path in touched))
        if sum(m.deleted_files_count or 0 for m in rewritten) != len(live):
            raise DataError(f"not all of the {len(live)} files to remove are live in snapshot {self._parent and self._parent.snapshot_id}")
        if self._forgets:
            kept = [self._rewritten([m]) if m.deleted_files_count else m for m in kept]
        return [*self._merged(kept), *rewritten]

    def _rewritten(self, manifests: Sequence[ManifestFile], gone: Collection[str] = ()) -> ManifestFile:
        """One manifest in place of some of one partitioning; entries of files in `gone` say that they were deleted."""
        read = each(lambda m: m.fetch_manifest_entry(self._table.io, discard_deleted=True), manifests)
        entries = [("delete", _bare(e)) if e.data_file.file_path in gone else ("existing", e) for found in read for e in found]
        return self._manifest(manifests[0].partition_spec_id, entries)

    def _merged(self, manifests: Sequence[ManifestFile]) -> list[ManifestFile]:
        """Small manifests become one when there are many, so that reading a table costs by its files, not by its commits."""
        parts = mergeable(manifests, self._most)
        together = {m.manifest_path for part in parts for m in part}
        return [*(m for m in manifests if m.manifest_path not in together), *map(self._rewritten, parts)]

    def _summary(self, files: Files, extra: Mapping[str, str], operation: str):  # type: ignore[no-untyped-def]
        from pyiceberg.table.snapshots import Operation, SnapshotSummaryCollector, Summary, update_snapshot_summaries

        metadata = self._table.metadata
        collected = SnapshotSummaryCollector()
        for file in (*files.add, *files.deletes):
            collected.add_file(file, metadata.schema(), metadata.spec())
        for live in files.gone:
            collected.remove_file(live.entry.data_file, metadata.schema(), metadata.specs()[live.entry.data_file.spec_id])
        # pyiceberg sums up no replacing snapshot; its totals are those of an overwriting one
        counted = Operation.OVERWRITE if operation == Operation.REPLACE.value else Operation(operation)
        summary = Summary(operation=counted, **collected.build(), **extra)
        found = update_snapshot_summaries(summary=summary, previous_summary=self._parent.summary if self._parent else None)
        return Summary(operation=Operation(operation), **found.additional_properties)
