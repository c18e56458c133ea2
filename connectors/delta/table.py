"""A Delta table: pinned versions, live files, and commits by compare-and-swap on the log."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from penstock.commits import Outcome
from penstock.config import AwsSettings
from penstock.connectors.designs import asked_anew, record
from penstock.connectors.paths import new_file
from penstock.connectors.reaching import lost_answers, reaching
from penstock.connectors.stores import filesystem, store_at
from penstock.errors import CommitConflictError, DataError, LedgerError, NotSupportedError
from penstock.evolution import Evolution
from penstock.killpoints import reach
from penstock.ledgers import PROPERTY, greatest, loads
from penstock.schema import Columns, names
from penstock.sketches import Sketch
from penstock.tables import BATCH, COMMIT, RUN, STEP, Change, DataFile, DeleteFile, Design, FileLayout, PartitionField, Pinned, Reshape, Version

from .actions import added, changed_metadata, commit_info, first_version, properties_set, removed, thinned, transactions
from .columns import columns_of, schema_of
from .config import CAPABILITIES
from .deletion_vectors import Descriptor, Vectors
from .features import ENABLES_VECTORS, VECTORS, check_readable, check_writable, has_vectors, writes_vectors
from .ledger import TransactionLedger
from .log import Action, Log
from .retention import forget_log, old_entries, since_checkpoint, vacuum
from .statistics import Footers, bounds
from .symlinks import ENABLES as ENABLES_LISTS
from .symlinks import lists, publish

if TYPE_CHECKING:
    from deltalake import DeltaTable as Native

_COLUMNS, _NESTED, _EVOLVED, _SORTED = "penstock.columns", "penstock.nested", "penstock.evolved", "penstock.sort_by"
_REWRITTEN = "penstock.rewritten"
_CHECKPOINT_INTERVAL, _MOST_COMMITS = "delta.checkpointInterval", 100
_LOG_KEEPS, _TOMBSTONES_KEEP = "delta.logRetentionDuration", "delta.deletedFileRetentionDuration"
_LEAST_LOG, _LEAST_TOMBSTONES = timedelta(days=30), timedelta(days=7)  # a run at work may read what was removed meanwhile
_NO_LOG = "bring its files back, or make it anew with `penstock run --full-refresh`"


def storage_options(location: str, aws: AwsSettings) -> dict[str, str] | None:
    from penstock.connectors.s3.access import deltalake_options

    return deltalake_options(aws) | {"max_retries": str(aws.attempts - 1)} if location.startswith("s3://") else None


class DeltaTable:
    """One table at a location."""

    def __init__(self, name: str, location: str, aws: AwsSettings) -> None:
        self._name, self._location, self._aws = name, location.rstrip("/"), aws
        self._store = store_at(self._location, aws)
        self._log, self._vectors = Log(self._store), Vectors(self._location, self._store, aws)
        self._becoming: Design | None = None  # while all files are written anew
        self._seen: Pinned | None = None
        with self._reaching():
            self._native = self._load_pinned(None)
        self._partition_columns: list[str] = self._native.metadata().partition_columns

    @property
    def _what(self) -> str:
        return f"table {self._name} at {self._location}"

    def _reaching(self) -> AbstractContextManager[None]:
        return reaching(self._what)

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
    def design(self) -> Design:
        return self._becoming or _designed(self._native)

    @property
    def asks_for_position_deletes(self) -> bool:
        return has_vectors(self._native)

    @property
    def state(self) -> Pinned:
        if self._seen is None or self._seen.native is not self._native:
            self._seen = self._pinned(self._native)
        return self._seen

    def pin(self, version: int | None = None) -> Pinned:
        with self._reaching():
            native = self._load_pinned(version)
        if version is not None:
            return self._pinned(native)
        self._native = native
        return self.state

    def _pinned(self, native: Native) -> Pinned:
        check_readable(self.name, native)
        columns, recorded, said = columns_of(native.schema()), _recorded(native), native.metadata().configuration
        former = frozenset(recorded) - set(names(columns))
        evolved = set(recorded) != set(names(columns)) or said.get(_EVOLVED) == "true" or _recorded_nested(native) != _nested(columns)
        return Pinned(
            self.name, native.version(), TransactionLedger(native, self._what), columns, native, evolved, former=former, rewritten=int(said.get(_REWRITTEN, 0))
        )

    def _load_pinned(self, version: int | None) -> Native:
        from deltalake.exceptions import DeltaError, TableNotFoundError

        try:
            return self._load(version)
        except DeltaError as error:
            if version is not None:
                hint = "its log or its files were removed before the batch that reads it was applied; `penstock batch skip` it"
                raise LedgerError(f"version {version} of {self.name} is gone: {error}", hint=hint) from error
            if isinstance(error, TableNotFoundError):
                raise DataError(f"table {self.name} is in its catalog, but there is no Delta log at {self.location}", hint=_NO_LOG) from error
            raise

    def history(self) -> Sequence[Version]:
        with self._reaching():
            entries = self._load(None).history()
        return [
            Version(
                entry["version"], datetime.fromtimestamp(entry["timestamp"] / 1000, UTC), str(entry.get("operation", "")).lower(),
                loads(entry.get(PROPERTY)), entry.get(RUN, ""), int(entry[BATCH]) if BATCH in entry else None, entry.get(COMMIT, ""),
                entry["version"] == 0, entry.get(STEP, ""),
            ) for entry in entries if "timestamp" in entry
        ]  # fmt: skip

    def has_kept(self, version: int) -> bool:
        later = self._native.version() - version
        with self._reaching():
            return later <= 0 or not any(entry.get("operation") == "RESTORE" for entry in self._native.history(later))

    def files(self, pinned: Pinned) -> Sequence[DataFile]:
        import pyarrow as pa

        native: Native = pinned.native
        actions = pa.RecordBatchReader.from_stream(native.get_add_actions(flatten=False)).read_all()
        with self._reaching():
            logged = self._log.replayed(native.version()).adds if has_vectors(native) else {}
        return [self._data_file(row, logged.get(row["path"], {"path": row["path"]})) for row in actions.to_pylist()]

    def _data_file(self, row: Mapping[str, Any], logged: Action) -> DataFile:
        path, rows = row["path"], row["num_records"]
        if "://" in path or path.startswith("/"):
            raise NotSupportedError(f"reading {self.name}, a shallow clone with the file {path} of another table,", hint="copy that table instead")
        if rows is None:
            raise NotSupportedError(f"reading {self.name}, whose log does not say how many rows {path} has,", hint="have its writer keep statistics")
        partition = {c: row["partition"][c] for c in self._partition_columns}
        lower, upper = bounds(row, partition)
        deletes = tuple(self._delete_file(Descriptor.of(v)) for v in [logged.get("deletionVector")] if v)
        rows -= sum(d.rows for d in deletes)
        return DataFile(f"{self._location}/{unquote(path)}", rows, row["size_bytes"], tuple(partition.values()), lower, upper, logged, deletes, path, partition)

    def _delete_file(self, vector: Descriptor) -> DeleteFile:
        uri = f"{vector.file(self._location) or vector.place}@{vector.offset}"
        return DeleteFile(uri, vector.cardinality, is_own=True, native=vector, positions=partial(self._vectors.positions, vector))

    def layout(self, pinned: Pinned) -> FileLayout:
        footers = Footers(self._location, pinned.columns, self._aws)
        return FileLayout(None, partition_columns_in_file=False, pack=self._vectors.pack, measure=footers.measure)

    def new_file(self, partition: tuple[object, ...], tag: str) -> str:
        return new_file(self._location, self._values(partition).items(), tag)

    def evolve(self, pinned: Pinned, change: Evolution, reshape: Reshape | None = None) -> None:
        again = sorted(pinned.former & set(names(change.append)))
        if not (change.widen or change.rename or change.drop or again):
            native: Native = pinned.native
            self._publish_metadata(pinned, _record(change.append, native) | {_EVOLVED: "true"}, change.of(pinned.columns))
            return
        if fixed := sorted({*change.drop, *change.former_names.values()} & set(self._partition_columns)):
            hint = "keep its name, or make the table anew with `penstock run --full-refresh`"
            raise NotSupportedError(f"dropping or renaming {fixed[0]}, by which the Delta table {self.name} is partitioned,", hint=hint)
        if reshape is None:
            raise NotSupportedError(f"changing columns of the Delta table {self.name} other than by new ones", hint="have a step that writes it do that")
        self._reshape(pinned, change, reshape)

    def _reshape(self, pinned: Pinned, change: Evolution, reshape: Reshape) -> None:
        """Files know columns by their names: all of them are written anew, and the columns change with them, in one commit."""
        native: Native = pinned.native
        check_writable(self.name, native, removing=True)
        columns, renamed = change.of(pinned.columns), dict(change.rename)
        self._becoming = replace(self.design, sort_by=tuple(renamed.get(c, c) for c in self.design.sort_by if c not in change.drop))
        try:
            files = reshape(self, pinned, change)
            recorded = {_NESTED: "{}"} | _record(columns) | _sorted_by(self.design) | {_EVOLVED: "false", _REWRITTEN: str(native.version() + 1)}
            self._publish_metadata(pinned, recorded, columns, files)
        finally:
            self._becoming = None

    def redesign(self, pinned: Pinned, design: Design) -> None:
        native: Native = pinned.native
        can = has_vectors(native) or native.protocol().min_writer_version in (1, 2, 7)
        asked = _asked(replace(design, position_deletes=design.position_deletes and can))
        left_off = {ENABLES_LISTS: "false"} if lists_files(native) and not design.lists_files else {}
        if anew := asked_anew(asked, native.metadata().configuration) | left_off:
            self._publish_metadata(pinned, anew)
        if lists_files(self._native):
            self._list_files()  # an earlier run may have ended between its commit and this

    def _publish_metadata(self, pinned: Pinned, configuration: Mapping[str, str], columns: Columns = (), files: Change | None = None) -> None:
        """Properties, columns where there are any, and files with them, in a version of their own; raises CommitConflictError when the table moved."""
        native: Native = pinned.native
        check_writable(self.name, native, removing=files is not None)
        schema, now = schema_of(columns).to_json() if columns else native.schema().to_json(), int(time.time() * 1000)
        features = _features(columns, vectors=configuration.get(ENABLES_VECTORS) == "true")
        with self._reaching():
            first = self._actions(replace(pinned, columns=columns), files) if files else [properties_set(now)]
            outcome = self._log.commit(native.version() + 1, [*first, *changed_metadata(native, schema, configuration, features)])
        if outcome.state != "done":
            raise CommitConflictError(f"the columns or properties of {self.name} were not changed: {outcome.cause}")
        with self._reaching():
            self._native = self._load_pinned(None)
        if files and lists_files(native):
            self._list_files()

    def expire(self, before: datetime, needed: Collection[int]) -> int:
        """Old log entries go as the log's own retention says, and none while a former version is needed; their files go when they are vacuumed."""
        del before
        with self._reaching():
            pinned = self.pin()
            where, native = filesystem(self._location, self._aws), self._load(None)
            if any(version < native.version() for version in needed) or not (old := old_entries(native, *where)):
                return 0
            if self.commit(pinned, Change("replace")).state != "done":  # names of the ledger lie in a commit of ours, which must not be among the old
                return 0
            native = self._load(None)
            native.cleanup_metadata()
            return old - old_entries(native, *where)

    def analyzed(self, pinned: Pinned, columns: Collection[str]) -> int | None:
        del pinned, columns
        return None

    def describe(self, pinned: Pinned, sketches: Mapping[str, Sketch]) -> bool:
        del pinned
        raise NotSupportedError(f"counting the values of {', '.join(sketches)} for {self.name}, which is a Delta table,", hint="leave `analyze` out")

    def purge(self) -> Sequence[tuple[str, int]]:
        if self.commit(self.pin(), Change("replace")).state != "done":  # names of the ledger lie in a commit of ours, which must not be among the old
            raise CommitConflictError(f"{self.name} was written meanwhile")
        with self._reaching():
            native, now = self._load(None), datetime.now(UTC) + timedelta(minutes=1)
            native.create_checkpoint()
            forgotten = forget_log(native, *filesystem(self._location, self._aws))
        self._log = Log(self._store)  # what it knew may begin with an entry that is gone
        return [*forgotten, *self.sweep(now, now, ())]

    def sweep(self, before: datetime, kept: datetime, needed: Collection[int]) -> Sequence[tuple[str, int]]:
        since = min(before, kept)
        with self._reaching():
            native = self._load(None)
            there = [v for v in needed if v <= native.version() and self._is_there(v)]
            vectors = {path for version in (native.version(), *there) for path in self._files_of_vectors(native, version, since)}
            return vacuum(native, *filesystem(self._location, self._aws), since, there, vectors)

    def _is_there(self, version: int) -> bool:
        """False for a version whose log is gone; what pinned it finds that out when it reads."""
        try:
            self._load_pinned(version)
        except LedgerError:
            return False
        return True

    def compact_metadata(self, most: int, summary: Mapping[str, str]) -> int:
        del summary  # a checkpoint is no commit
        with self._reaching():
            native = self._load(None)
            read = since_checkpoint(native, *filesystem(self._location, self._aws))
            if read <= most:
                return 0
            native.create_checkpoint()
            return read

    def _files_of_vectors(self, native: Native, version: int, since: datetime) -> Iterator[str]:
        """The files, by their paths below the table, of vectors that are live at a version, or were so after a time."""
        if not has_vectors(native):
            return
        state, least = self._log.replayed(version), since.timestamp() * 1000
        for action in (*state.adds.values(), *(r for r in state.removes if (r.get("deletionTimestamp") or least) >= least)):
            if (vector := action.get("deletionVector")) and (file := Descriptor.of(vector).file(self._location)):
                yield file.removeprefix(f"{self._location}/")

    def commit(self, pinned: Pinned, change: Change) -> Outcome:
        from deltalake.exceptions import DeltaError

        native: Native = pinned.native
        check_writable(self.name, native, removing=bool(change.remove or change.deletes))
        with self._reaching():
            try:
                actions = self._actions(pinned, change)
            except FileNotFoundError as error:
                return Outcome("failed", cause=f"a file that was written for it is gone: {error}")
            except (DeltaError, LedgerError) as error:
                return Outcome("failed", cause=f"the state that it was planned on is gone: {error}")
        outcome = self._log.commit(native.version() + 1, actions)
        if outcome.version is not None:
            self._checkpoint(native, outcome.version)
            if lists_files(native):
                self._list_files()
        return outcome

    def _list_files(self) -> None:
        """The commit stands, whatever becomes of the lists: the next run makes them again. Of two writers the later one lists what both wrote."""
        reach("before_lists")
        try:
            version = -1
            while (native := self._load(None)).version() != version:
                version = native.version()
                files = [(self._values(f.partition), f.uri) for f in self.files(self._pinned(native))]
                publish(self._store, lists(files, has_partitions=bool(self._partition_columns)))
        except lost_answers() as error:
            logging.getLogger(__name__).warning("the files of %s at version %s are not listed for their readers: %s", self.name, version, error)

    def _checkpoint(self, native: Native, version: int) -> None:
        """The commit stands, whatever becomes of the checkpoint."""
        if version % int(native.metadata().configuration.get(_CHECKPOINT_INTERVAL) or _MOST_COMMITS):
            return
        try:
            self._load(version).create_checkpoint()
        except lost_answers() as error:
            logging.getLogger(__name__).warning("no checkpoint of %s was made at version %s: %s", self.name, version, error)

    def _actions(self, pinned: Pinned, change: Change) -> list[Action]:
        now, changes_rows = int(time.time() * 1000), change.operation != "replace"
        applied = greatest([pinned.ledger, change.ledger])
        return [
            commit_info(change, applied, now),
            *transactions(change, applied),
            *(removed(f, self._values(f.partition), now, changes_rows=changes_rows) for f in change.remove),
            *(action for d in change.deletes for action in thinned(d, self._values(d.of.partition), now)),
            *(
                added(file.uri.removeprefix(f"{self._location}/"), size, stats, self._values(file.partition), now, changes_rows=changes_rows)
                for file, size, stats in Footers(self._location, pinned.columns, self._aws).described(change.add)
            ),
        ]

    def _values(self, partition: tuple[object, ...]) -> dict[str, str | None]:
        return {c: _partition_text(v) for c, v in zip(self._partition_columns, partition, strict=True)}


def _recorded(native: Native) -> list[str]:
    """The columns that Penstock gave the table: the log itself forgets those that another writer drops."""
    return list(json.loads(native.metadata().configuration.get(_COLUMNS, "[]")))


def _recorded_nested(native: Native) -> dict[str, str]:
    """The types of nested columns as Penstock made them: others may put fields into them, which older files lack."""
    return dict(json.loads(native.metadata().configuration.get(_NESTED, "{}")))


def _nested(columns: Columns) -> dict[str, str]:
    return {c.name: str(c.type) for c in columns if c.type.is_nested}


def _record(columns: Columns, native: Native | None = None) -> dict[str, str]:
    before, nested = (_recorded(native), _recorded_nested(native)) if native else ([], {})
    named = {_COLUMNS: json.dumps(list(dict.fromkeys([*before, *names(columns)])))}
    return named | ({_NESTED: json.dumps(nested)} if (nested := nested | _nested(columns)) else {})


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


def create(name: str, location: str, columns: Columns, partition_by: Sequence[PartitionField], aws: AwsSettings, design: Design) -> DeltaTable:
    """Create the table; with position deletes its readers must know deletion vectors. Raises NotSupportedError for a partition that is not a column."""
    if derived := [p for p in partition_by if p.transform not in CAPABILITIES.partition_transforms]:
        raise NotSupportedError(f"a Delta table partitioned by {derived[0]}", hint="partition by a column, or use iceberg")
    if binary := [c.name for c in columns if c.type.name == "binary" and c.name in {p.column for p in partition_by}]:
        raise NotSupportedError(f"a Delta table partitioned by the binary column {binary[0]}", hint="partition by another column, or use iceberg")
    features = _features(columns, vectors=design.position_deletes)
    asked = {name: value for name, value in _asked(design).items() if name != ENABLES_VECTORS or design.position_deletes}
    configuration = {_CHECKPOINT_INTERVAL: "20"} | _record(columns) | asked | record(_asked(design))
    actions = first_version(schema_of(columns).to_json(), [p.column for p in partition_by], configuration, features, int(time.time() * 1000))
    if not Log(store_at(location, aws)).create(actions):
        raise DataError(f"there is a Delta table at {location}", hint="give the table another name, or drop the files that are left of a former one")
    return DeltaTable(name, location, aws)


def _features(columns: Columns, *, vectors: bool) -> list[str]:
    """What readers of a table must know."""
    has_ntz = any(t.name == "timestamp_ntz" for c in columns for t in c.type.parts())
    return [*([VECTORS] if vectors else []), *(["timestampNtz"] if has_ntz else [])]


def _designed(native: Native) -> Design:
    return Design(tuple(json.loads(native.metadata().configuration.get(_SORTED, "[]"))), writes_vectors(native), lists_files=lists_files(native))


def lists_files(native: Native) -> bool:
    """Whether the table's property says so, by which Spark lists them too."""
    return str(native.metadata().configuration.get(ENABLES_LISTS)) == "true"


def _asked(design: Design) -> dict[str, str]:
    """A design in the table's properties. Checkpoints leave out what went longer ago than the tombstones are kept, and its files are strays then."""
    kept = {_TOMBSTONES_KEEP: _interval(max(design.keeps, _LEAST_TOMBSTONES)), _LOG_KEEPS: _interval(max(design.keeps, _LEAST_LOG))}
    listing = {ENABLES_LISTS: "true"} if design.lists_files else {}
    return {**_sorted_by(design), ENABLES_VECTORS: str(design.position_deletes).lower(), **kept, **listing}


def _interval(time: timedelta) -> str:
    return f"interval {time // timedelta(hours=1)} hours"


def _sorted_by(design: Design) -> dict[str, str]:
    return {_SORTED: json.dumps(design.sort_by)}
