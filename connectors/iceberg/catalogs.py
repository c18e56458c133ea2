"""pyiceberg's catalogs, told that metadata files never change: each is parsed once, and a commit copies no snapshot that it is not about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyiceberg.catalog import Catalog, MetastoreCatalog
from pyiceberg.table import StagedTable, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import AddSnapshotUpdate, SetSnapshotRefUpdate, TableRequirement, TableUpdate
from pyiceberg.typedef import Identifier


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

    def _update_and_stage_table(
        self, current_table: Table | None, table_identifier: Identifier, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> StagedTable:
        """pyiceberg copies every snapshot deeply, which takes as long as the table is old; those that were there before stay what they are."""
        if current_table is None or not _only_adds(updates):
            return super()._update_and_stage_table(current_table, table_identifier, requirements, updates)
        before = current_table.metadata
        young = Table(
            table_identifier, before.model_copy(update={"snapshots": [], "snapshot_log": []}), current_table.metadata_location, current_table.io, self
        )
        staged = super()._update_and_stage_table(young, table_identifier, requirements, updates)
        made = staged.metadata
        staged.metadata = made.model_copy(
            update={"snapshots": [*before.snapshots, *made.snapshots], "snapshot_log": [*before.snapshot_log, *made.snapshot_log]}
        )
        self._parsed[Catalog.identifier_to_tuple(table_identifier)] = (staged.metadata_location, staged.metadata)
        return staged


def _only_adds(updates: tuple[TableUpdate, ...]) -> bool:
    """True where no update is about a snapshot that was there before."""
    added = {u.snapshot.snapshot_id for u in updates if isinstance(u, AddSnapshotUpdate)}
    named = {u.snapshot_id for u in updates if isinstance(u, SetSnapshotRefUpdate)}
    return bool(added) and named <= added and not any(u.action.startswith("remove-snapshot") for u in updates)
