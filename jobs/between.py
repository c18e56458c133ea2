"""What a copy takes of a lake table: a whole snapshot, or what lies between the one that was copied last and the one that is pinned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock.batches import Batch
from penstock.connectors.redshift.files import fit
from penstock.connectors.redshift.publishing import DELETE, MARKER, OP, UPSERT
from penstock.connectors.redshift.sql import Target
from penstock.engines.base import Input, Session
from penstock.errors import DataError, LedgerError
from penstock.pipeline import CopyStep
from penstock.schema import Columns, quote
from penstock.tables import DataFile, LakeTable, Pinned

from .context import Context
from .pins import pinned, scan_pinned

# writes whose stage says nothing of a row but the row, once something was copied: of what came since (False), of all there is (True)
_WITHOUT_MARKS = {False: ("append", "insert_missing"), True: ("insert_missing", "merge", "overwrite", "scd2")}


@dataclass(frozen=True)
class Taken:
    """A relation of the session with the columns of the stage, and how its rows are published."""

    relation: str
    write: str


@dataclass(frozen=True)
class Lying:
    """Files of the lake that hold just the rows to be loaded, and how their rows are published."""

    files: Sequence[DataFile]
    write: str


def as_they_lie(context: Context, step: CopyStep, batch: Batch, columns: Columns, copied: int | None) -> Lying | None:
    """What a copy takes as files of the lake itself: COPY goes by place and sees no deletes, so they must hold these columns and nothing more."""
    write, (found, then) = step.copy_.write, _states(context, step, batch, copied)
    assert found.table
    assert found.pinned
    if write == "overwrite_partitions" or found.read_as or found.pinned.evolved or found.pinned.is_read_by_number:
        return None
    gone, files = differing(found.table.files(then) if then else (), found.table.files(found.pinned))
    if gone or (copied is not None and write not in _WITHOUT_MARKS[then is None]):
        return None
    is_plain = all(f.uri.startswith("s3://") and not f.deletes and not f.outside for f in files)
    return Lying(files, "history" if write == "scd2" else write) if is_plain and fit([f.uri for f in files], columns, context.aws) else None


@dataclass(frozen=True)
class Taking:
    """One batch of a copy into Redshift. `copied` is the version of the source that the target was last made of."""

    context: Context
    session: Session
    step: CopyStep
    batch: Batch
    target: Target
    copied: int | None

    def taken(self) -> Taken:
        """Name the rows to be loaded.

        Raises DataError for an append where rows were changed or deleted since, or where nobody can tell any more.
        """
        write, source = self.step.copy_.write, self.step.copy_.from_
        found, then = _states(self.context, self.step, self.batch, self.copied)
        if then is not None and found.table and found.pinned:
            self._scan_differing(found.table, then, found.pinned)
            ways = {"append": self._appended, "merge": self._changed, "overwrite_partitions": self._of_partitions, "scd2": self._versions}
            return ways.get(write, lambda: Taken("fresh", write))()
        if write == "append" and self.copied is not None:
            raise DataError(
                f"{source} no longer has the state {self.copied}, up to which {self.step.copy_.into} was appended to, or has other columns since",
                hint="keep states for longer than the time between two runs (maintain: keep), or write: merge",
            )
        scan_pinned(self.context, self.session, self.batch, source, "source")
        said = self._said(UPSERT) if write == "overwrite_partitions" else ""
        return self._outgoing(f"SELECT {self._typed}{said} FROM source", "history" if write == "scd2" else write)

    def _outgoing(self, sql: str, write: str) -> Taken:
        self.session.execute(f"CREATE OR REPLACE TEMP VIEW outgoing AS {sql}")
        return Taken("outgoing", write)

    @property
    def _typed(self) -> str:
        return ", ".join(f"CAST({quote(c.name)} AS {c.type.duckdb}) AS {quote(c.name)}" for c in self.target.columns)

    @staticmethod
    def _said(op: str) -> str:
        return f", '{op}' AS {quote(OP.name)}"

    def _scan_differing(self, table: LakeTable, then: Pinned, now: Pinned) -> None:
        """`fresh`: rows that are new or differ. `lost`: rows that were so before. `come`: all rows of the files that are new."""
        for name, state, files in zip(("gone", "come"), (then, now), differing(table.files(then), table.files(now)), strict=True):
            self.session.scan(f"{name}_rows", table, state, files)
            self.session.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT {self._typed} FROM {name}_rows")
        self.session.execute("CREATE OR REPLACE TEMP VIEW fresh AS SELECT * FROM come EXCEPT ALL SELECT * FROM gone")
        self.session.execute("CREATE OR REPLACE TEMP VIEW lost AS SELECT * FROM gone EXCEPT ALL SELECT * FROM come")

    def _appended(self) -> Taken:
        (changed,) = self.session.query("SELECT COUNT(*) AS n FROM lost")["n"].to_pylist()
        if changed:
            raise DataError(
                f"{changed} rows of {self.step.copy_.from_} were changed or deleted since they were copied; an append takes only what is appended",
                hint="write: merge (keys) or overwrite, on the copy",
            )
        return Taken("fresh", "append")

    def _changed(self) -> Taken:
        """New and changed rows, and of each key that is gone a row that says so."""
        same = " AND ".join(f"c.{quote(k)} = l.{quote(k)}" for k in self.target.keys)
        shown = ", ".join(f"l.{quote(c.name)}" for c in self.target.columns)
        lost = f"SELECT {shown}{self._said(DELETE)} FROM lost l WHERE NOT EXISTS (SELECT 1 FROM come c WHERE {same})"
        return self._outgoing(f"SELECT *{self._said(UPSERT)} FROM fresh UNION ALL {lost}", "changes")

    def _versions(self) -> Taken:
        return replace(self._changed(), write="history_of_changes")

    def _of_partitions(self) -> Taken:
        """All rows of the partitions in which any differs, and of each partition a row that says so: one may be empty now."""
        columns = self.target.partition_by
        by = ", ".join(quote(p) for p in columns)
        scan_pinned(self.context, self.session, self.batch, self.step.copy_.from_, "source")
        self.session.execute(f"CREATE OR REPLACE TEMP VIEW touched AS SELECT {by} FROM fresh UNION SELECT {by} FROM lost")
        same = " AND ".join(f"s.{quote(p)} IS NOT DISTINCT FROM t.{quote(p)}" for p in columns)
        rows = f"SELECT *{self._said(UPSERT)} FROM (SELECT {self._typed} FROM source) s WHERE EXISTS (SELECT 1 FROM touched t WHERE {same})"
        marker = ", ".join(quote(c.name) if c.name in columns else f"CAST(NULL AS {c.type.duckdb}) AS {quote(c.name)}" for c in self.target.columns)
        return self._outgoing(f"{rows} UNION ALL SELECT {marker}{self._said(MARKER)} FROM touched", "overwrite_partitions")


def _states(context: Context, step: CopyStep, batch: Batch, copied: int | None) -> tuple[Input, Pinned | None]:
    """The pinned table, and its state that was copied last, where what differs from that is taken."""
    found = pinned(context, batch, step.copy_.from_)
    if step.copy_.write == "overwrite" or found.read_as or copied is None or not (found.table and found.pinned):
        return found, None
    return found, _former(found.table, copied, found.pinned)


def _former(table: LakeTable, version: int, now: Pinned) -> Pinned | None:
    """The state that was copied last, where it can still be read, with the same columns."""
    try:
        then = table.pin(version)
    except LedgerError:
        return None
    return then if then.columns == now.columns else None


def _mark(file: DataFile) -> tuple[object, ...]:
    return (file.uri, *sorted((d.uri, d.rows) for d in file.deletes))


def differing(then: Sequence[DataFile], now: Sequence[DataFile]) -> tuple[list[DataFile], list[DataFile]]:
    """(files of the former state, files of the present one) that the other has not, or not with the same deleted rows."""
    before, after = {_mark(f) for f in then}, {_mark(f) for f in now}
    return [f for f in then if _mark(f) not in after], [f for f in now if _mark(f) not in before]
