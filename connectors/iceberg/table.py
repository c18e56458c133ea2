"""An Iceberg table: pinned states, live files, and commits by compare-and-swap through its catalog."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from penstock.commits import Outcome
from penstock.connectors.designs import asked_anew, record
from penstock.connectors.paths import new_file, plain
from penstock.connectors.reaching import lost_answers, reaching
from penstock.errors import CommitConflictError, DataError, LedgerError, NotSupportedError
from penstock.evolution import Evolution
from penstock.ledgers import PROPERTY, dumps, greatest, loads
from penstock.schema import Columns
from penstock.sketches import Sketch
from penstock.tables import BATCH, COMMIT, RUN, STEP, Change, DataFile, Design, FileLayout, PartitionField, Pinned, Reshape, Version

from .columns import columns_of, field_ids, order_of, partitions_of, schema_of, spec_of
from .features import check_writable, has_files_of_others, is_read_by_number
from .manifests import Files, SnapshotWriter, mergeable
from .metadata_files import FORGETS, forget_metadata
from .orphans import remove_orphans
from .puffin import described_columns, write_sketches
from .statistics import Footers, data_files, described, described_deletes, full

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table, Transaction
    from pyiceberg.table.snapshots import Snapshot
    from pyiceberg.table.update import TableRequirement, TableUpdate

_DELETES, _ON_READ, _ON_WRITE = "write.merge.mode", "merge-on-read", "copy-on-write"
_ATTEMPTS = 3  # of a commit that holds whatever else was committed
_SORTED = "sort-order"  # no property of a table, which has it apart
_PROPERTIES = {
    "format-version": "2",
    FORGETS: "true",
    "write.metadata.previous-versions-max": "20",
    "commit.retry.num-retries": "0",
}


class IcebergTable:
    """One table of a catalog."""

    def __init__(self, catalog: Catalog, identifier: tuple[str, str]) -> None:
        self._catalog, self._identifier = catalog, identifier
        self._loaded = self._load()
        self._seen: Pinned | None = None

    @property
    def name(self) -> str:
        return ".".join(self._identifier)

    @property
    def location(self) -> str:
        return plain(self._loaded.location())

    @property
    def partition_by(self) -> tuple[PartitionField, ...]:
        return partitions_of(self.name, self._loaded.schema(), self._loaded.spec())

    @property
    def design(self) -> Design:
        table = self._loaded
        sorted_by = tuple(table.schema().find_column_name(f.source_id) or "" for f in table.sort_order().fields)
        return Design(sorted_by, table.format_version == 2 and table.properties.get(_DELETES) == _ON_READ)

    @property
    def asks_for_position_deletes(self) -> bool:
        return False  # every reader of format 2 knows them

    def _reaching(self) -> AbstractContextManager[None]:
        return reaching(f"table {self.name} at {self.location}")

    @property
    def state(self) -> Pinned:
        if self._seen is None or self._seen.native is not self._loaded:
            self._seen = self._pinned(None)
        return self._seen

    def pin(self, version: int | None = None) -> Pinned:
        self._load_again()
        return self.state if version is None else self._pinned(version)

    def _pinned(self, version: int | None) -> Pinned:
        table = self._loaded
        if version is None:
            snapshot, schema = table.current_snapshot(), table.schema()
            ledgers: list[Mapping[str, int]] = [loads(table.properties.get(PROPERTY))]
        else:
            snapshot = table.snapshot_by_id(version)
            if snapshot is None:
                hint = "it was expired before the batch that reads it was applied; `penstock batch skip` it"
                raise LedgerError(f"snapshot {version} of {self.name} is gone", hint=hint)
            schema, ledgers = table.schemas()[snapshot.schema_id or 0], []
        ledgers.append(_committed(_State(table.metadata_location, version, table)))
        held = snapshot.snapshot_id if snapshot else None
        evolved, renamed = len(table.schemas()) > 1 or has_files_of_others(table), is_read_by_number(table)
        return Pinned(self.name, held, greatest(ledgers), columns_of(schema), table, evolved, renamed, schema.schema_id, _former(table))

    def _load(self) -> Table:
        try:
            return self._catalog.load_table(self._identifier)
        except FileNotFoundError as error:
            hint = "bring its files back, or make it anew with `penstock run --full-refresh`"
            raise DataError(f"table {self.name} is in its catalog, but its metadata is not there: {error}", hint=hint) from error

    def _load_again(self) -> Table:
        from pyiceberg.exceptions import NoSuchTableError

        try:
            with self._reaching():
                self._loaded = self._load()
                return self._loaded
        except NoSuchTableError as error:
            raise DataError(f"table {self.name} is gone from its catalog", hint="it was dropped while it was in use; run again to see what to do") from error

    def history(self) -> Sequence[Version]:
        table = self._load_again()
        return [_version(s) for s in _ancestry(table, table.current_snapshot())]

    def has_kept(self, version: int) -> bool:
        table = self._loaded
        return table.snapshot_by_id(version) is None or version in {s.snapshot_id for s in _ancestry(table, table.current_snapshot())}

    def files(self, pinned: Pinned) -> Sequence[DataFile]:
        table: Table = pinned.native  # type: ignore[assignment]
        snapshot = table.snapshot_by_id(pinned.version) if pinned.version is not None else None
        if snapshot is None:
            return []
        with self._reaching():
            return data_files(table, snapshot, table.schemas()[pinned.schema])

    def layout(self, pinned: Pinned) -> FileLayout:
        table: Table = pinned.native  # type: ignore[assignment]
        from .deletes import packed

        pack = partial(packed, table.io, lambda file: self.new_file(file.partition, "deletes"))
        return FileLayout(field_ids(table.schemas()[pinned.schema].fields), partition_columns_in_file=True, pack=pack, measure=Footers(table).measure)

    def new_file(self, partition: tuple[object, ...], tag: str) -> str:
        named = zip((field.name for field in self.partition_by), partition, strict=True)
        return new_file(f"{self.location}/data", named, tag)

    def evolve(self, pinned: Pinned, change: Evolution, reshape: Reshape | None = None) -> None:
        del reshape  # files know columns by numbers
        from pyiceberg.exceptions import CommitFailedException

        table: Table = pinned.native  # type: ignore[assignment]
        check_writable(table)
        if needed := sorted({p.column for p in self.partition_by} & set(change.drop)):
            raise DataError(f"table {self.name} is partitioned by {needed[0]}, which is to be dropped", hint="declare the column again, or make the table anew")
        wanted = {f.name: f.field_type for f in schema_of((*change.append, *change.widen)).fields}
        try:
            with self._reaching(), table.transaction() as both:
                self._sort(both, tuple(c for c in self.design.sort_by if c not in change.drop))
                with both.update_schema(allow_incompatible_changes=bool(change.drop)) as update:
                    for old, new in change.rename:
                        update.rename_column(old, new)
                    for name in change.drop:
                        update.delete_column(name)
                    for column in change.append:
                        update.add_column(column.name, wanted[column.name])
                    for column in change.widen:
                        update.update_column(change.former_names.get(column.name, column.name), wanted[column.name])
        except CommitFailedException as error:
            raise CommitConflictError(f"the columns of {self.name} were not changed: {error}") from error
        self._load_again()

    def redesign(self, pinned: Pinned, design: Design) -> None:
        from pyiceberg.exceptions import CommitFailedException

        table: Table = pinned.native  # type: ignore[assignment]
        anew = asked_anew(_asked(replace(design, position_deletes=design.position_deletes and table.format_version == 2)), table.properties)
        if not anew:
            return
        check_writable(table)
        try:
            with self._reaching(), table.transaction() as change:
                change.set_properties({name: value for name, value in anew.items() if name != _SORTED})
                if _SORTED in anew:
                    self._sort(change, design.sort_by)
        except CommitFailedException as error:
            raise CommitConflictError(f"the design of {self.name} was not changed: {error}") from error
        self._load_again()

    def _sort(self, change: Transaction, columns: Sequence[str]) -> None:
        from pyiceberg.table.sorting import NullOrder
        from pyiceberg.transforms import IdentityTransform

        if columns != self.design.sort_by:
            with change.update_sort_order() as order:
                for column in columns:
                    order.asc(column, IdentityTransform(), NullOrder.NULLS_FIRST)

    def expire(self, before: datetime, needed: Collection[int]) -> int:
        from pyiceberg.exceptions import CommitFailedException
        from pyiceberg.table.update import AssertTableUUID, RemoveSnapshotsUpdate

        table = self._load_again()
        kept = {ref.snapshot_id for ref in table.metadata.refs.values()} | set(needed)
        until = _replaced(table.metadata.snapshots)
        old = [i for i, milliseconds in until.items() if milliseconds < before.timestamp() * 1000 and i not in kept]
        if not old:
            return 0
        try:
            with self._reaching():  # pyiceberg's own expiry copies all of the metadata for each snapshot
                gone = RemoveSnapshotsUpdate.model_validate({"snapshot-ids": old})
                response = self._catalog.commit_table(table, (AssertTableUUID(uuid=table.metadata.table_uuid),), (gone,))
        except (CommitFailedException, ValueError):
            return 0  # a writer was quicker, or another expired some of them; the next maintenance finds what is left
        forget_metadata(table.io, table.metadata, response.metadata)
        return len(old)

    def purge(self) -> Sequence[tuple[str, int]]:
        table = self._load_again()
        if others := sorted(set(table.metadata.refs) - {"main"}):
            raise NotSupportedError(f"removing the former states of {self.name}, which {', '.join(others)} name,", hint="drop those branches and tags first")
        pinned = self.pin()
        present: Table = pinned.native  # type: ignore[assignment]
        if pinned.version is not None:
            writer = SnapshotWriter(present, present.current_snapshot(), forgets=True)
            if self._commit(pinned, Change("replace"), writer).state != "done":
                raise CommitConflictError(f"{self.name} was written meanwhile")
        now = datetime.now(UTC) + timedelta(minutes=1)
        self.expire(now, ())
        return self.sweep(now, now, ())

    def sweep(self, before: datetime, kept: datetime, needed: Collection[int]) -> Sequence[tuple[str, int]]:
        del kept, needed  # the metadata has every snapshot that was not expired
        with self._reaching():
            return remove_orphans(self._load_again, before)

    def compact_metadata(self, most: int, summary: Mapping[str, str]) -> int:
        pinned = self.pin()
        table: Table = pinned.native  # type: ignore[assignment]
        snapshot = table.current_snapshot()
        if snapshot is None or not (parts := mergeable(snapshot.manifests(table.io), most)):
            return 0
        outcome = self._commit(pinned, Change("replace", summary=summary), SnapshotWriter(table, snapshot, most))
        return sum(map(len, parts)) - len(parts) if outcome.state == "done" else 0

    def analyzed(self, pinned: Pinned, columns: Collection[str]) -> int | None:
        table: Table = pinned.native  # type: ignore[assignment]
        numbers, told = field_ids(table.schemas()[pinned.schema].fields), described_columns(table)
        wanted = {numbers[c].number for c in columns}
        return next((s.snapshot_id for s in _ancestry(table, table.current_snapshot()) if wanted <= told.get(s.snapshot_id, frozenset())), None)

    def describe(self, pinned: Pinned, sketches: Mapping[str, Sketch]) -> bool:
        from pyiceberg.exceptions import CommitFailedException
        from pyiceberg.table.update import AssertTableUUID, SetStatisticsUpdate

        numbers = field_ids(pinned.native.schemas()[pinned.schema].fields)  # type: ignore[attr-defined]
        for _ in range(_ATTEMPTS):
            table = self._load_again()
            check_writable(table)
            if (snapshot := table.snapshot_by_id(pinned.version or 0)) is None:
                return False
            with self._reaching():
                told = SetStatisticsUpdate(statistics=write_sketches(table, snapshot, {numbers[name].number: sketch for name, sketch in sketches.items()}))
                try:
                    response = self._catalog.commit_table(table, (AssertTableUUID(uuid=table.metadata.table_uuid),), (told,))
                except CommitFailedException:
                    continue
            forget_metadata(table.io, table.metadata, response.metadata)
            return True
        return False

    def commit(self, pinned: Pinned, change: Change) -> Outcome:
        table: Table = pinned.native  # type: ignore[assignment]
        parent = table.snapshot_by_id(pinned.version) if pinned.version is not None else None
        return self._commit(pinned, change, SnapshotWriter(table, parent))

    def _commit(self, pinned: Pinned, change: Change, writer: SnapshotWriter) -> Outcome:
        from pyiceberg.exceptions import CommitFailedException

        table: Table = pinned.native  # type: ignore[assignment]
        check_writable(table)
        with self._reaching():
            try:
                snapshot = self._snapshot(pinned, change, writer)
            except FileNotFoundError as error:
                return Outcome("failed", cause=f"a file that was written for it is gone: {error}")
        try:
            response = self._catalog.commit_table(table, *_published(pinned, change, snapshot))
        except CommitFailedException as error:
            return self._after_refusal(snapshot.snapshot_id, str(error))
        except lost_answers() as error:
            return Outcome("unknown", cause=f"{type(error).__name__}: {error}")
        forget_metadata(table.io, table.metadata, response.metadata)
        return Outcome("done", snapshot.snapshot_id)

    @staticmethod
    def _snapshot(pinned: Pinned, change: Change, writer: SnapshotWriter) -> Snapshot:
        table: Table = pinned.native  # type: ignore[assignment]
        operation = "overwrite" if change.operation == "append" and (change.remove or change.deletes) else change.operation
        summary = {**change.summary, PROPERTY: dumps(greatest([pinned.ledger, change.ledger]))}
        deletes = described_deletes(table, change.deletes)
        files = Files(described(table, change.add), deletes, change.remove, [d.of for d in change.deletes])
        return writer.write(files, summary, operation)

    def _after_refusal(self, snapshot_id: int, cause: str) -> Outcome:
        """A client that retried by itself is refused by its own first try: what the table holds decides."""
        try:
            now = self._catalog.load_table(self._identifier)
        except lost_answers() as error:
            return Outcome("unknown", cause=f"{cause}; then {type(error).__name__}: {error}")
        return Outcome("done", snapshot_id) if now.snapshot_by_id(snapshot_id) else Outcome("failed", cause=cause)


@dataclass(frozen=True)
class _State:
    """A table's metadata file, and a snapshot of it (None: the present one)."""

    location: str
    version: int | None
    table: Table = field(compare=False)


def _ancestry(table: Table, snapshot: Snapshot | None) -> list[Snapshot]:
    by_id = {s.snapshot_id: s for s in table.metadata.snapshots}
    found = []
    while snapshot:
        found.append(snapshot)
        snapshot = by_id.get(snapshot.parent_snapshot_id or -1)
    return found


def _replaced(snapshots: Sequence[Snapshot]) -> Mapping[int, int]:
    """When another snapshot took the place of each, in milliseconds since 1970; when it was committed, where none did."""
    until = {s.snapshot_id: s.timestamp_ms for s in snapshots}
    for s in snapshots:
        if s.parent_snapshot_id in until:
            until[s.parent_snapshot_id] = max(until[s.parent_snapshot_id], s.timestamp_ms)
    return until


@lru_cache(maxsize=8)
def _committed(state: _State) -> Mapping[str, int]:
    """The ledger that a state's snapshots say; one batch asks for it several times, of metadata that may list a thousand."""
    table, version = state.table, state.version
    snapshot = table.current_snapshot() if version is None else table.snapshot_by_id(version)
    return greatest([loads(s.summary.additional_properties.get(PROPERTY)) for s in _ancestry(table, snapshot) if s.summary is not None])


def _former(table: Table) -> frozenset[str]:
    return frozenset({f.name for s in table.schemas().values() for f in s.fields} - {f.name for f in table.schema().fields})


def _version(snapshot: Snapshot) -> Version:
    summary = snapshot.summary
    said = summary.additional_properties if summary else {}
    return Version(
        snapshot.snapshot_id,
        datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC),
        summary.operation.value if summary else "",
        loads(said.get(PROPERTY)),
        said.get(RUN, ""),
        int(said[BATCH]) if BATCH in said else None,
        said.get(COMMIT, ""),
        snapshot.sequence_number == 1,  # a snapshot whose parents were expired may name none
        said.get(STEP, ""),
    )


def _published(pinned: Pinned, change: Change, snapshot: Snapshot) -> tuple[tuple[TableRequirement, ...], tuple[TableUpdate, ...]]:
    """What makes a snapshot the table, all in one call; `main` must still be what was pinned."""
    from pyiceberg.table.update import AddSnapshotUpdate, AssertRefSnapshotId, AssertTableUUID, SetPropertiesUpdate, SetSnapshotRefUpdate

    table: Table = pinned.native  # type: ignore[assignment]
    main = SetSnapshotRefUpdate.model_validate({"ref-name": "main", "type": "branch", "snapshot-id": snapshot.snapshot_id})
    ledger = SetPropertiesUpdate(updates={PROPERTY: dumps(greatest([pinned.ledger, change.ledger]))})
    requirements = (AssertTableUUID(uuid=table.metadata.table_uuid), AssertRefSnapshotId(ref="main", snapshot_id=pinned.version))
    return requirements, (AddSnapshotUpdate(snapshot=snapshot), main, ledger)


def create(
    catalog: Catalog, identifier: tuple[str, str], location: str, columns: Columns, partition_by: Sequence[PartitionField], design: Design
) -> IcebergTable:
    """Create the table, format 2, in a folder that no dropped table had: `location` and a number of its own."""
    schema, asked = schema_of(columns), _asked(design)
    catalog.create_table(
        identifier,
        schema,
        location=f"{full(location)}-{secrets.token_hex(4)}",
        partition_spec=spec_of(schema, partition_by),
        sort_order=order_of(schema, design.sort_by),
        properties=_PROPERTIES | {_DELETES: asked[_DELETES]} | record(asked),
    )
    return IcebergTable(catalog, identifier)


def _asked(design: Design) -> dict[str, str]:
    return {_DELETES: _ON_READ if design.position_deletes else _ON_WRITE, _SORTED: json.dumps(design.sort_by)}
