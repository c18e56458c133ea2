"""What the rules, the engines and the connectors agree on about a lake table: a pinned state, and a change to publish on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol

from penstock.commits import Outcome
from penstock.evolution import Evolution
from penstock.naming import written
from penstock.schema import Columns

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock.sketches import Sketch

Operation = Literal["append", "overwrite", "replace"]
# what a commit says of itself, in its summary; the last like no other
RUN, STEP, BATCH, COMMIT = "penstock.run", "penstock.step", "penstock.batch", "penstock.commit"


_TIMES = frozenset({"timestamp", "timestamp_ntz"})
_EXACT = frozenset({"int", "bigint", "decimal", "string"})
# the types, by name, that each partition transform takes; identity takes all
TRANSFORMED = {
    "years": _TIMES | {"date"}, "months": _TIMES | {"date"}, "days": _TIMES | {"date"}, "hours": _TIMES,
    "bucket": _EXACT | _TIMES | {"date", "binary"}, "truncate": _EXACT,
}  # fmt: skip


@dataclass(frozen=True)
class PartitionField:
    """One partition transform of a column: `identity`, `years`, `months`, `days`, `hours`, `bucket` or `truncate`, the last two by a `width`.

    Values are Python ints for the time transforms, counted from 1970 as Iceberg's spec does, and for buckets, from 0; else of the column's own type.
    """

    transform: str
    column: str
    width: int = 0

    @property
    def name(self) -> str:
        """The name that Spark gives such a field."""
        ending = {"identity": "", "truncate": "_trunc"}.get(self.transform, f"_{self.transform.removesuffix('s')}")
        return f"{self.column}{ending}"

    def __str__(self) -> str:
        """As a pipeline file spells it."""
        column = written(self.column)
        inside = f"{self.width}, {column}" if self.width else column
        return column if self.transform == "identity" else f"{self.transform}({inside})"


@dataclass(frozen=True)
class Design:
    """How a table's files are written: in the order of some columns (ascending, NULLs first), and whether deleted rows may stay in them, by position.

    `keeps`: how long former states can be read, where a format wants to know beforehand. `lists_files`: beside the files lies which of them are live.
    """

    sort_by: tuple[str, ...] = ()
    position_deletes: bool = False
    keeps: timedelta = timedelta(days=7)
    lists_files: bool = False


@dataclass(frozen=True)
class DeleteFile:
    """Positions of deleted rows (from 0), in a Parquet file with the columns `file_path` and `pos`, or in a form that `positions` reads.

    `is_own`: it names rows of one data file alone. No two of a table have one `uri`.
    """

    uri: str
    rows: int
    is_own: bool
    native: object = field(default=None, compare=False, repr=False)
    positions: Callable[[], pa.Array[Any]] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class DataFile:
    """One live file of a table.

    `rows` are those that are not deleted, as far as files of its own say. `lower` and `upper` hold what statistics the format kept, by column;
    `spelled` is the file as the table's own metadata has it; `native` is the connector's own handle. `outside`: columns that the file does not hold, each
    with the value that all its rows have. `by_number`: its writer may spell the names of columns otherwise.
    """

    uri: str
    rows: int
    bytes: int
    partition: tuple[object, ...] = ()
    lower: Mapping[str, object] = field(default_factory=dict)
    upper: Mapping[str, object] = field(default_factory=dict)
    native: object = field(default=None, compare=False, repr=False)
    deletes: tuple[DeleteFile, ...] = ()
    spelled: str = ""
    outside: Mapping[str, object] = field(default_factory=dict, compare=False)
    by_number: bool = field(default=False, compare=False)

    @property
    def deleted(self) -> int:
        """Rows that files of its own delete."""
        return sum(d.rows for d in self.deletes if d.is_own)


@dataclass(frozen=True)
class WrittenDeletes:
    """All deleted positions of one data file, in place of the delete file of its own that it had."""

    of: DataFile
    uri: str
    rows: int
    bytes: int
    native: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class WrittenFile:
    """A Parquet file that an engine wrote for a table and that no reader sees before `commit`.

    `in_order`: its rows lie as the table's design has it. `statistics`: what `FileLayout.measure` found, where it was asked. `native` is a `DataFile`'s,
    of a file that the table had.
    """

    uri: str
    partition: tuple[object, ...] = ()
    bytes: int = 0
    rows: int = 0
    in_order: bool = True
    statistics: object = field(default=None, compare=False, repr=False)
    native: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Pinned:
    """A table as one snapshot (Iceberg) or version (Delta) has it. `version` is None for a table without any snapshot.

    `ledger` maps `<pipeline>/<step>` to the last batch applied. `native` is the connector's loaded table, so that a commit is checked against
    exactly what was read, `schema` its number of the columns. `evolved`: some files may lack columns, or have narrower types of them, or (`is_read_by_number`)
    have them under other names. `former`: names that columns of the table had before, and none has now. `rewritten`: the version for which all files were
    written anew with other columns, 0 for none; files from before have other columns, whatever the table says.
    """

    table: str
    version: int | None
    ledger: Mapping[str, int]
    columns: Columns
    native: object = field(default=None, compare=False, repr=False)
    evolved: bool = False
    is_read_by_number: bool = False
    schema: int = 0
    former: frozenset[str] = frozenset()
    rewritten: int = 0


@dataclass(frozen=True)
class Version:
    """One state that a table had: its snapshot or version, when it was committed, and what Penstock's own commits say of themselves.

    `step`: the `<pipeline>/<step>` whose batch it is; empty in commits of before Penstock said so. `commit` is like that of no other commit, so that its writer
    knows it again. `is_first`: the table had no state before.
    """

    version: int
    at: datetime
    operation: str
    ledger: Mapping[str, int] = field(default_factory=dict)
    run: str = ""
    batch: int | None = None
    commit: str = ""
    is_first: bool = False
    step: str = ""


@dataclass(frozen=True)
class Change:
    """What one commit does: files in, files out, and the ledger entries that say why. All of it becomes visible at once, or nothing.

    `replace` changes files and no row: readers of changes have nothing to read in it.
    """

    operation: Operation
    add: Sequence[WrittenFile] = ()
    remove: Sequence[DataFile] = ()
    deletes: Sequence[WrittenDeletes] = ()
    ledger: Mapping[str, int] = field(default_factory=dict)
    summary: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """True where no row changes."""
        return not (self.add or self.remove or self.deletes)

    @property
    def bytes(self) -> int:
        return sum(f.bytes for f in self.add) + sum(d.bytes for d in self.deletes)


@dataclass(frozen=True)
class FieldId:
    """The number that a column has in every file, and those of what is inside it, by name."""

    number: int
    parts: Mapping[str, FieldId] = field(default_factory=dict)


@dataclass(frozen=True)
class FileLayout:
    """How an engine must write a data file so that the format can take it.

    `pack` writes the deleted positions of data files, all of each and in order, in the form that the format has for them. `measure` gives what the format
    is to know of a written file, by its URI: an engine that has time while it writes others may ask; what it did not ask for, the commit does.
    """

    field_ids: Mapping[str, FieldId] | None
    partition_columns_in_file: bool
    pack: Callable[[Sequence[tuple[DataFile, pa.ChunkedArray[Any]]]], Sequence[WrittenDeletes]]
    measure: Callable[[str], object]
    compression: str = "zstd"
    compression_level: int = 1


Reshape = Callable[["LakeTable", Pinned, Evolution], Change]  # all rows of a table written anew, with the columns that an evolution gives them


class FileTable(Protocol):
    """What of a table it takes to read its files, and to write new ones."""

    @property
    def location(self) -> str: ...
    @property
    def partition_by(self) -> tuple[PartitionField, ...]: ...
    @property
    def design(self) -> Design:
        """As the table itself says it; `Change.deletes` may be given where it has position deletes."""
        ...

    def layout(self, pinned: Pinned) -> FileLayout: ...

    def new_file(self, partition: tuple[object, ...], tag: str) -> str:
        """A URI, never used before, for a file to be written; `tag` names the run."""
        ...


class LakeTable(FileTable, Protocol):
    """A table of a catalog, in one format. Every method may raise ConnectionFailedError."""

    @property
    def name(self) -> str: ...
    @property
    def asks_for_position_deletes(self) -> bool:
        """True where a reader that knows nothing of deleted positions refuses the table, whether a file has any or not."""
        ...

    @property
    def state(self) -> Pinned:
        """The state as it was last loaded: when the table was found, changed its columns or design, or was pinned."""
        ...

    def pin(self, version: int | None = None) -> Pinned:
        """Loaded anew: the newest state, or the state at `version`; raises LedgerError when that version is gone."""
        ...

    def history(self) -> Sequence[Version]:
        """The states that can still be read, the newest first; each ledger is that of its own commit."""
        ...

    def has_kept(self, version: int) -> bool:
        """False where the table had a state, and another tool has brought it back to one from before; True also where nobody knows any more."""
        ...

    def files(self, pinned: Pinned) -> Sequence[DataFile]:
        """The live files; raises NotSupportedError for what only others write (deletion vectors, equality deletes ...)."""
        ...

    def evolve(self, pinned: Pinned, change: Evolution, reshape: Reshape | None = None) -> None:
        """Change columns, in a commit of its own, for which `reshape` writes all rows anew where files cannot stay as they are.

        Raises CommitConflictError when the table moved, NotSupportedError by format, and without `reshape` where it is needed.
        """
        ...

    def redesign(self, pinned: Pinned, design: Design) -> None:
        """Have files written so from now on, as far as the table can, in a commit of its own; what was asked before, and its owners set otherwise, stays.

        Raises CommitConflictError when the table moved.
        """
        ...

    def expire(self, before: datetime, needed: Collection[int]) -> int:
        """Forget states that others took the place of before a time, but those needed; returns how many. Their files go with a later `sweep`."""
        ...

    def purge(self) -> Sequence[tuple[str, int]]:
        """Leave the present state alone, and no file of former ones, whatever their age: for a time when nobody writes or reads. Returns URIs and bytes.

        Raises NotSupportedError where something still names a former state.
        """
        ...

    def sweep(self, before: datetime, kept: datetime, needed: Collection[int]) -> Sequence[tuple[str, int]]:
        """Remove files older than `before` that no state needs: none of those present since `kept`, and none of those needed; returns URIs and bytes."""
        ...

    def compact_metadata(self, most: int, summary: Mapping[str, str]) -> int:
        """Where more than `most` small files say which files are live, write them together; returns how many fewer, 0 also where a writer was quicker."""
        ...

    def analyzed(self, pinned: Pinned, columns: Collection[str]) -> int | None:
        """The newest of the states that led to the newest one of which the table says how many distinct values these columns have."""
        ...

    def describe(self, pinned: Pinned, sketches: Mapping[str, Sketch]) -> bool:
        """Say of a state how many distinct values columns have; no row changes. False where the state is gone, or others committed all the time.

        Raises NotSupportedError by format.
        """
        ...

    def commit(self, pinned: Pinned, change: Change) -> Outcome:
        """Publish by compare-and-swap from `pinned`; never re-based, never retried inside."""
        ...


@dataclass(frozen=True)
class Reader:
    """What a program that reads tables of a format makes of them, and who says so. `needs_lists`: it knows files by lists that lie beside them alone."""

    position_deletes: bool
    source: str
    needs_lists: bool = False


@dataclass(frozen=True)
class FormatCapabilities:
    """What a table format, as Penstock writes it, can do; code asks these, never the format's name.

    `is_ordered_by_store`: of two commits at once the object store lets one pass, no catalog does. `has_required_parts`: its readers know parts of structs,
    arrays and maps that are never NULL.
    `counts_values`: its metadata can say how many distinct values a column has.
    `has_partition_columns_in_files`: without them a table needs a column that it is not partitioned by.
    """

    readers: Mapping[str, Reader]
    partition_transforms: frozenset[str]
    module: str
    deletes: str
    is_ordered_by_store: bool = False
    counts_values: bool = False
    has_required_parts: bool = True
    has_partition_columns_in_files: bool = True

    def without_position_deletes(self, readers: Iterable[str]) -> tuple[str, ...]:
        """Those of some readers, of all that are known without any, that know nothing of deleted positions."""
        return tuple(name for name in (tuple(readers) or self.readers) if not self.readers[name].position_deletes)

    def needs_lists(self, readers: Iterable[str]) -> bool:
        """Whether one of some readers does."""
        return any(self.readers[name].needs_lists for name in readers)


def table_format(name: str) -> FormatCapabilities:
    """A format's capabilities by its name in a pipeline file, from the light `config.py` of its connector."""
    found: FormatCapabilities = import_module(f"penstock.connectors.{name}.config").CAPABILITIES
    return found
