"""pyiceberg's catalogs, told that metadata files never change: each is parsed once, and a commit copies no snapshot that it is not about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyiceberg.catalog import Catalog, MetastoreCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io import FileIO
from pyiceberg.table import StagedTable, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import AddSnapshotUpdate, SetSnapshotRefUpdate, SetStatisticsUpdate, TableRequirement, TableUpdate
from pyiceberg.typedef import Identifier

from .metadata_files import forget_metadata


class ParsedOnce(MetastoreCatalog):
    """The newest metadata of each table that this catalog has loaded or made, by where it lies."""

    def __init__(self, *arguments: Any, **properties: Any) -> None:
        super().__init__(*arguments, **properties)
        self._parsed: dict[Identifier, tuple[str, TableMetadata]] = {}

    def once(self, identifier: Identifier, location: str | None, load: Callable[[], Table]) -> Table:
        known, metadata = self._parsed.get(identifier, ("", None))
        if metadata is None or known != location:
            table = load()
            self._parsed[identifier] = (table.metadata_location, table.metadata)
            return table
        return Table(identifier, metadata, known, self._load_file_io(metadata.properties, known), self)

    def load_table(self, identifier: str | Identifier) -> Table:
        """Whoever is slow finds the metadata file gone where others commit often, and remove old ones; then the catalog names a newer one."""
        gone = ""
        while True:
            try:
                return super().load_table(identifier)  # type: ignore[safe-super]  # that of the catalog beside this class
            except FileNotFoundError as error:
                if str(error) == gone:
                    raise
                gone = str(error)

    @staticmethod
    def _delete_old_metadata(io: FileIO, base: TableMetadata, metadata: TableMetadata) -> None:
        forget_metadata(io, base, metadata)  # pyiceberg's own warns of every file that another writer removed before

    def _update_and_stage_table(
        self, current_table: Table | None, table_identifier: Identifier, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> StagedTable:
        if current_table is None:
            return super()._update_and_stage_table(current_table, table_identifier, requirements, updates)
        _check_told_of(current_table.metadata, updates)
        newest, only_adds = _newest(current_table.metadata), _only_adds(updates)
        stage = self._stage_added if only_adds else super()._update_and_stage_table
        staged = stage(current_table, table_identifier, requirements, tuple(_not_before(newest, u) for u in updates))
        staged.metadata = staged.metadata.model_copy(update={"last_updated_ms": max(newest, staged.metadata.last_updated_ms)})
        if only_adds:
            self._parsed[Catalog.identifier_to_tuple(table_identifier)] = (staged.metadata_location, staged.metadata)
        return staged

    def _stage_added(self, current: Table, identifier: Identifier, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]) -> StagedTable:
        """pyiceberg copies every snapshot deeply, which takes as long as the table is old; those that were there before stay what they are."""
        before = current.metadata
        young = Table(identifier, before.model_copy(update={"snapshots": [], "snapshot_log": []}), current.metadata_location, current.io, self)
        staged = super()._update_and_stage_table(young, identifier, requirements, updates)
        made = staged.metadata
        staged.metadata = made.model_copy(
            update={"snapshots": [*before.snapshots, *made.snapshots], "snapshot_log": [*before.snapshot_log, *made.snapshot_log]}
        )
        return staged


def _check_told_of(metadata: TableMetadata, updates: tuple[TableUpdate, ...]) -> None:
    """Statistics of a snapshot that was expired meanwhile would never go again. Raises CommitFailedException."""
    told = {u.statistics.snapshot_id for u in updates if isinstance(u, SetStatisticsUpdate)}
    if gone := told - {s.snapshot_id for s in metadata.snapshots}:
        raise CommitFailedException(f"snapshot {gone.pop()} was expired meanwhile")


def _newest(metadata: TableMetadata) -> int:
    """The latest time that a table's metadata says, in milliseconds since 1970, by whichever writer's clock."""
    logged = [*(e.timestamp_ms for e in metadata.snapshot_log[-1:]), *(e.timestamp_ms for e in metadata.metadata_log[-1:])]
    return max([metadata.last_updated_ms, *logged])


def _not_before(time: int, update: TableUpdate) -> TableUpdate:
    """Iceberg's own library refuses to read a table whose log of snapshots goes back by more than a minute, as after a writer whose clock was ahead."""
    if not isinstance(update, AddSnapshotUpdate) or update.snapshot.timestamp_ms >= time:
        return update
    return update.model_copy(update={"snapshot": update.snapshot.model_copy(update={"timestamp_ms": time})})


def _only_adds(updates: tuple[TableUpdate, ...]) -> bool:
    """True where no update is about a snapshot that was there before."""
    added = {u.snapshot.snapshot_id for u in updates if isinstance(u, AddSnapshotUpdate)}
    named = {u.snapshot_id for u in updates if isinstance(u, SetSnapshotRefUpdate)}
    return bool(added) and named <= added and not any(u.action.startswith("remove-snapshot") for u in updates)
