"""The first half of a load: files into a stage that the batch owns, counted; rows that COPY rejected go beside the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from penstock.errors import ConnectionFailedError, DataError, WarehouseBusyError, WarehouseError
from penstock.locations import QUARANTINE
from penstock.maintenance import packed
from penstock.schema import Columns

from . import evolving, publishing, sql
from .statements import Client, Statements

Lines = Callable[[str, Sequence[int]], Mapping[int, str]]
_TOLD_WITHIN = 20.0
_BYTES_A_STATEMENT, _STATEMENTS_A_TRANSACTION = 60_000, 35  # the Data API takes 100 KB, and 40 statements


@dataclass(frozen=True)
class Load:
    """What a batch loads: files that a manifest on S3, `manifest_url`, names, and how they come into the target.

    `write` is one of `publishing`'s; `version` that of the source that was copied. `columns` are those that the files hold, in their order, by default
    the target's; `clauses` are COPY's own. With `lines`, which finds lines of a file, rows may be rejected, as the clauses say.
    `check` raises where the files are no longer what the batch means.
    """

    target: sql.Target
    files: Sequence[sql.StagedFile]
    write: str
    manifest_url: str = ""
    version: int | None = None
    columns: Columns = ()
    clauses: str = sql.PARQUET
    lines: Lines | None = None
    check: Callable[[], None] = lambda: None

    @property
    def filled(self) -> sql.Target:
        """The target with the columns that are loaded."""
        return replace(self.target, columns=self.columns or self.target.columns)


@dataclass(frozen=True)
class Rejected:
    """A row that COPY did not take: its file and line, and why."""

    url: str
    line: int
    reason: str


@dataclass(frozen=True)
class Loaded:
    """What became of a batch's rows."""

    rows: int
    rejected: int = 0


class Loading:
    """One batch of a step."""

    def __init__(self, api: Client, statements: Statements, role: str, step: str, batch: int, load: Load) -> None:
        self._api, self._statements, self._role, self._load = api, statements, role, load
        self._step, self._batch, self.stage = step, batch, sql.stage_of(step, batch)

    def run(self) -> Loaded:
        """Make the table where it is missing, fill the stage, count it, and put the rows aside that COPY rejected.

        Raises DataError when the stage holds other rows than the files, or a key twice, WarehouseError for files that cannot be loaded.
        """
        self._ensure()
        rows, query = self._filled()
        rejected = self._told(query, rows) if any(f.rows is None for f in self._load.files) else []
        if self._load.lines:
            self._put_aside(rejected)
        return Loaded(rows, len(rejected))

    def _ensure(self) -> None:
        """Make the table where it is missing, and what is there as declared. Raises DataError when it is there with other columns."""
        for statement in compared(self._api, self._load.target, sql.create_table(self._load.target), self._step, self._batch):
            self._api.run([statement])

    def _filled(self) -> tuple[int, int]:
        """(rows, the number of the COPY): into a new stage, counted in one transaction, so that nobody ever sees a stage that is not whole."""
        load, target = self._load, self._load.target
        columns = publishing.stage_columns(load.filled, load.write)
        made = sql.stage(self.stage, columns, load.manifest_url if load.files else None, self._role, load.clauses)
        keys = target.keys if load.write in publishing.BY_KEY else ()
        try:
            *_, copied, counted = self._statements.run(self._step, "stage", [*made, sql.LAST_COPY, sql.counted(self.stage, keys)]).parts
        except WarehouseError as error:
            raise self._explained(error) from error
        (found,) = self._api.rows(counted.id).to_pylist()
        expected = [f.rows for f in load.files if f.rows is not None]
        if len(expected) == len(load.files) and found["loaded"] != sum(expected):
            raise DataError(f"COPY loaded {found['loaded']} rows into {self.stage} where the files hold {sum(expected)}; nothing was published")
        if found["doubled"]:
            raise DataError(
                f"{found['doubled']} keys of {target.name} ({', '.join(target.keys)}) stand more than once in the rows to be loaded; nothing was published"
            )
        return int(found["loaded"]), int(self._api.rows(copied.id)["query"][0].as_py() or 0)

    def _told(self, query: int, rows: int) -> list[Rejected]:
        """The rows that COPY rejected. Redshift's own record, which may come a little later, has to tell of all files, and of the rows that the stage holds.

        Raises DataError where it tells of others, or not of each rejected row: it keeps no more than so many for each slice.
        """
        files, until = len({f.url for f in self._load.files}), time.monotonic() + _TOLD_WITHIN
        while True:
            told = next(iter(self._api.query(sql.load_history(query)).to_pylist()), {"rows": 0, "files": 0, "errors": 0})
            rows_told = self._api.query(sql.rejected(query)).to_pylist() if told["errors"] else []
            found = [Rejected(self._named(r["file"]), int(r["line"]), r["reason"]) for r in rows_told]
            if (told["rows"], told["files"], told["errors"]) == (rows, files, len(found)):
                return found
            if time.monotonic() > until:
                said = f"{told['rows']} rows of {told['files']} files and {told['errors']} rejected ones, sys_load_error_detail of {len(found)} of these"
                hint = "lower maxerror and correct the files, or bring them into a lake table, where every bad row is kept" if told["errors"] else None
                raise DataError(f"{self.stage} holds {rows} rows of {files} files, where sys_load_history tells of {said}; nothing was published", hint=hint)
            time.sleep(0.5)

    def _named(self, told: str) -> str:
        """The file that a system view names: it keeps the first 256 characters."""
        return next((f.url for f in self._load.files if f.url.startswith(told)), told)

    def _put_aside(self, rejected: Sequence[Rejected]) -> None:
        """The batch's rows in `<table>__quarantine`, in place of what an attempt before left there."""
        assert self._load.lines
        table = replace(self._load.target, table=self._load.target.table + QUARANTINE)
        by_file: dict[str, list[int]] = {}
        for row in rejected:
            by_file.setdefault(row.url, []).append(row.line)
        texts = {url: self._load.lines(url, numbers) for url, numbers in by_file.items()}
        rows = [(f"{r.url}#{r.line}", r.reason, texts[r.url].get(r.line)) for r in rejected]
        inserts = [sql.quarantine(table.name, self._step, self._batch, part) for part in packed(rows, _BYTES_A_STATEMENT, _most_bytes)]
        self._api.run(sql.quarantine_table(table.schema, table.name))
        for statements in packed([sql.released(table.name, [self._step], self._batch), *inserts], _STATEMENTS_A_TRANSACTION, lambda _: 1):
            self._api.run(statements)

    def _explained(self, error: WarehouseError) -> WarehouseError:
        """A failed COPY with what the system views say of its files."""
        if isinstance(error, WarehouseBusyError | ConnectionFailedError) or not self._load.files:
            return error
        try:
            rows = self._api.query(sql.load_errors([f.url for f in self._load.files])).to_pylist()
        except WarehouseError:
            return error
        told = "".join(f"\n  {r['file']}, line {r['line']}, column {r['column']}: {r['reason']} ({r['code']})" for r in rows)
        return WarehouseError(f"{error.message}{told}", hint=error.hint)


def compared(api: Client, target: sql.Target, before: Sequence[str], step: str, batch: int) -> list[str]:
    """The statements that make a table the declared one, once those of `before` have run. Raises DataError as `evolving.statements` does."""
    *_, found, _ = api.run([*before, *sql.compared(target, step, batch)]).parts
    encodings = api.query(sql.encodings(target)).to_pylist() if evolving.has_encodings(target) else []
    return evolving.statements(target, api.rows(found.id).to_pylist(), encodings)


def _most_bytes(row: tuple[str | None, ...]) -> int:
    """What a row may take as literals, each character of which may be doubled."""
    return 2 * sum(len((text or "").encode()) for text in row) + 600
