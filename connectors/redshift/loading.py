"""The first half of a load: files into a stage that the batch owns, counted; rows that COPY rejected go beside the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from penstock.errors import ConnectionFailedError, DataError, WarehouseBusyError, WarehouseError
from penstock.locations import QUARANTINE
from penstock.schema import Columns

from . import publishing, sql
from .statements import Client, Statements

T = TypeVar("T")
Lines = Callable[[str, Sequence[int]], Mapping[int, str]]
_TOLD_WITHIN = 20.0
_ROWS_A_STATEMENT, _STATEMENTS_A_TRANSACTION = 40, 35
_PARQUET = "FORMAT AS PARQUET"


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
    clauses: str = _PARQUET
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
        rows = self._filled()
        told = self._told(rows) if any(f.rows is None for f in self._load.files) else None
        rejected = self._rejected(told) if told and self._load.lines else []
        if self._load.lines:
            self._put_aside(rejected)
        return Loaded(rows, len(rejected))

    def _ensure(self) -> None:
        """Make the table where it is missing, add declared columns that it has not, widen texts.

        Raises DataError when it is there with other columns: a cast on the way could round.
        """
        target = self._load.target
        *_, found, _ = self._api.run(sql.ensure(target, self._step, self._batch)).parts
        rows = self._api.rows(found.id).to_pylist()
        held, declared = ({str(r["name"]): r for r in rows if r["declared"] is own} for own in (False, True))
        added = [c for c in target.columns if c.name.lower() not in held and not c.required]
        longer = [c for c in target.columns if _is_longer(held.get(c.name.lower()), declared.get(c.name.lower()))]
        known = {c.name.lower() for c in added + longer}
        kept, wanted = ({n: _shape(r) for n, r in of.items() if n not in known} for of in (held, declared))
        if kept != wanted:
            shown = (", ".join(_shape(r) for r in of.values()) for of in (held, declared))
            raise DataError("{} has the columns {} but {} are declared".format(target.name, *shown), hint="declare what is there, or drop the table")
        for statement in [*(sql.add_column(target, c) for c in added), *(sql.widen_column(target, c) for c in longer)]:
            self._api.run([statement])

    def _filled(self) -> int:
        """COPY into a new stage, and count what it holds, in one transaction: nobody ever sees a stage that is not whole."""
        load, target = self._load, self._load.target
        columns = publishing.stage_columns(load.filled, load.write)
        made = sql.stage(self.stage, columns, load.manifest_url if load.files else None, self._role, load.clauses)
        keys = target.keys if load.write in publishing.BY_KEY else ()
        try:
            *_, counted = self._statements.run(self._step, "stage", [*made, sql.counted(self.stage, keys)]).parts
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
        return int(found["loaded"])

    def _told(self, rows: int) -> Mapping[str, Any]:
        """What Redshift's own record says of the load: all files, and the rows that the stage holds. It may come a little later."""
        files, until, told = len({f.url for f in self._load.files}), time.monotonic() + _TOLD_WITHIN, {}
        while True:
            for told in self._api.query(sql.load_history(self.stage)).to_pylist():
                if (told["rows"], told["files"]) == (rows, files):
                    return dict(told)
            if time.monotonic() > until:
                said = f"{told['rows']} rows of {told['files']} files" if told else "nothing"
                raise DataError(f"{self.stage} holds {rows} rows of {files} files, where sys_load_history tells of {said}; nothing was published")
            time.sleep(0.5)

    def _rejected(self, told: Mapping[str, Any]) -> list[Rejected]:
        """Raises DataError where Redshift does not tell of each: it keeps no more than so many for each slice."""
        if not told["errors"]:
            return []
        found = [Rejected(r["file"], int(r["line"]), r["reason"]) for r in self._api.query(sql.rejected(told["query"])).to_pylist()]
        if len(found) != told["errors"]:
            hint = "lower maxerror and correct the files, or bring them into a lake table, where every bad row is kept"
            raise DataError(f"COPY rejected {told['errors']} rows, and Redshift tells of {len(found)} of them; nothing was published", hint=hint)
        return found

    def _put_aside(self, rejected: Sequence[Rejected]) -> None:
        """The batch's rows in `<table>__quarantine`, in place of what an attempt before left there."""
        assert self._load.lines
        table = replace(self._load.target, table=self._load.target.table + QUARANTINE)
        by_file: dict[str, list[int]] = {}
        for row in rejected:
            by_file.setdefault(row.url, []).append(row.line)
        texts = {url: self._load.lines(url, numbers) for url, numbers in by_file.items()}
        rows = [(f"{r.url}#{r.line}", r.reason, texts[r.url].get(r.line)) for r in rejected]
        inserts = [sql.quarantine(table.name, self._step, self._batch, part) for part in _parts(rows, _ROWS_A_STATEMENT)]
        self._api.run(sql.quarantine_table(table.schema, table.name))
        for statements in _parts([sql.released(table.name, [self._step], self._batch), *inserts], _STATEMENTS_A_TRANSACTION):
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


def _parts(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    return (items[i : i + most] for i in range(0, len(items), most))


def _is_longer(held: Mapping[str, Any] | None, declared: Mapping[str, Any] | None) -> bool:
    """Whether a text is declared longer than the table has it."""
    return bool(held and declared and held["type"] == declared["type"] and (held["length"] or 0) < (declared["length"] or 0))


def _shape(column: Mapping[str, Any]) -> str:
    digits = f"({column['digits']},{column['scale']})" if column["digits"] is not None else ""
    return f"{column['name']} {column['type']}{digits}"
