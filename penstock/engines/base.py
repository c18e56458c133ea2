"""How jobs ask an engine for its work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from penstock.changes.counts import Counts
from penstock.evolution import UNCHANGED, Evolution
from penstock.schema import Column
from penstock.sketches import Sketch
from penstock.tables import Change, DataFile, LakeTable, Pinned, WrittenFile

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock.changes.facts import MergeSpec
    from penstock.connectors.readers import Files
    from penstock.maintenance import Clustering, Group


@dataclass(frozen=True)
class Settled:
    """A batch against a table: what became of its events, and the session's relations that say what to write.

    `upserts`: keys, data and sequence columns of rows that are new or differ. `deletes`: keys of stored rows that go.
    `remember`: rows of the companion that are new or differ; `forget`: keys whose remembered delete the table itself now says.
    """

    counts: Counts
    upserts: str = "upserts"
    deletes: str = "deletes"
    remember: str = "remember"
    forget: str = "forget"


@dataclass(frozen=True)
class Arrived:
    """What was read besides the rows that a session has: the rejected ones, with the columns `__position, __reason, __payload`, and counts.

    `read` is counted by whoever read, alone: it is the rows, the rejected and the filtered ones, or something was lost.
    """

    rejected: pa.Table
    read: int
    filtered: int = 0


class Session(Protocol):
    """One batch's work: relations by name, in the dialect of DuckDB. Nothing a session does is visible to a reader before a table's `commit`."""

    def load(self, name: str, rows: pa.Table) -> None:
        """Name an Arrow table."""
        ...

    def read(self, name: str, files: Files) -> Arrived:
        """Name the rows of files. Raises SourceError as the connector's `read_rows` does."""
        ...

    def query(self, sql: str) -> pa.Table:
        """Run SQL over the session's relations."""
        ...

    def frame(self, sql: str) -> Any:
        """A query's rows where they are, for a library that works there: an Arrow table, or a DataFrame of Spark."""
        ...

    def columns(self, name: str) -> Sequence[str]:
        """The names of a relation's columns."""
        ...

    def execute(self, sql: str) -> None:
        """Create or drop a relation of the session."""
        ...

    def scan(self, name: str, table: LakeTable, pinned: Pinned, files: Sequence[DataFile] | None = None) -> None:
        """Name a lake table's rows, hidden columns included, at a pinned state: all of them, or those of some of its files."""
        ...

    def settle(self, spec: MergeSpec, table: LakeTable, pinned: Pinned, memory: LakeTable, remembered: Pinned) -> Settled:
        """Settle the relation `batch` (canonical events) against the stored rows and the remembered deletes it touches."""
        ...

    def unknown(self, table: LakeTable, pinned: Pinned, rows: str, sequence: Sequence[str]) -> str:
        """Name the rows, each once, that a table without keys does not hold at the same sequence with the same values."""
        ...

    def rewrite(self, table: LakeTable, pinned: Pinned, upserts: str, deletes: str, tag: str) -> Change:
        """Copy-on-write by key: files that hold a touched row are written again. `upserts` and `deletes` name relations."""
        ...

    def append(self, table: LakeTable, pinned: Pinned, rows: str, tag: str) -> Change: ...

    def overwrite(self, table: LakeTable, pinned: Pinned, rows: str, tag: str, replaces: Callable[[tuple[object, ...]], bool] | None = None) -> Change:
        """Replace all rows, or those of the partitions that `rows` has, and of others that it `replaces`."""
        ...

    def amend(self, table: LakeTable, pinned: Pinned, where: str, values: Mapping[str, str], tag: str) -> Change:
        """Delete the rows for which a condition is true, or with `values` (column -> expression over the row) change them."""
        ...

    def compact(self, table: LakeTable, pinned: Pinned, group: Group, order: Clustering, tag: str, evolution: Evolution = UNCHANGED) -> Change:
        """The rows of a group of files in fewer files, cut about where `order` says, with the columns that `evolution` gives them."""
        ...

    def sketch(self, table: LakeTable, pinned: Pinned, columns: Sequence[str]) -> Mapping[str, Sketch]:
        """About how many distinct values some flat columns of a table have."""
        ...

    def found_below(self, table: LakeTable, pinned: Pinned, keys: str, columns: Sequence[str]) -> int:
        """How many rows of any Parquet file below a table's location, live or not, have one of the keys (columns of a relation)."""
        ...

    def export(self, rows: str, uri: str, slices: int = 1) -> Sequence[WrittenFile]:
        """Write a relation as Parquet files that belong to no table, as many as `slices` want that read them at once; none for no rows."""
        ...


@dataclass(frozen=True)
class Work:
    """What a session is asked for: about how many bytes come to a table as it is pinned; `whole` where all of the table is to be read besides."""

    arriving: Callable[[], int]
    table: LakeTable
    pinned: Pinned
    whole: bool = False

    @property
    def state(self) -> tuple[str, int | None]:
        return self.table.location, self.pinned.version

    @property
    def bytes(self) -> int:
        """What comes, and all files of the table where it is read whole."""
        return self.arriving() + (sum(f.bytes for f in self.table.files(self.pinned)) if self.whole else 0)


@dataclass(frozen=True)
class Input:
    """What user code reads under `name`: a pinned lake table, or rows.

    `read_as`: the columns that it is read with, where the pinned state has others, and the name there of each; None for one that it lacks.
    """

    name: str
    table: LakeTable | None = None
    pinned: Pinned | None = None
    rows: pa.Table | None = None
    read_as: tuple[tuple[Column, str | None], ...] = ()


@dataclass(frozen=True)
class Code:
    """A user's code: Spark SQL, or a file's `build(spark, inputs)`; what it reads, and the values of its parameters."""

    inputs: tuple[Input, ...]
    parameters: Mapping[str, object]
    sql: str | None = None
    python: Path | None = None


@dataclass(frozen=True)
class Fitting:
    """How a result becomes rows of a table: their schema, what makes any part of it so, and how positions of rows begin. `fit` raises DataError."""

    schema: pa.Schema
    fit: Callable[[pa.Table], pa.Table]
    source: str


class Engine(Protocol):
    def session(self, sharing: int = 1, work: Work | None = None) -> AbstractContextManager[Session]:
        """A session of its own; `sharing` of them at work at once share the memory.

        What is known of the `work` tells an engine of many machines what one of them may do alone.
        """
        ...

    def transform(self, session: Session, name: str, code: Code, fitting: Fitting) -> int:
        """Run user code, and name the rows that it gives, made to fit, in a session of this engine; returns how many they are.

        Raises TransformError for what goes wrong in it, DataError for what does not fit.
        """
        ...
