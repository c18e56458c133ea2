"""One Redshift statement, executed on a connection of this process's own: what the Data API does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import pq

from penstock.infra.local.errors import NotLocalError, SqlError

from .catalog import Registry, SessionCatalog
from .errors_told import told
from .expressions import Settings
from .logs import now
from .rewrite import Rewriter, Rewritten
from .service import Service, Session

ASKED = "RSASK"
_OIDS = {16: "bool", 20: "int8", 21: "int2", 23: "int4", 25: "varchar", 700: "float4", 701: "float8", 1042: "bpchar", 1043: "varchar", 1082: "date",
         1083: "time", 1114: "timestamp", 1184: "timestamptz", 1700: "numeric", 3802: "super", 17: "varbyte"}  # fmt: skip


class StatementError(Exception):
    """A statement that failed, in Redshift's words."""


@dataclass(frozen=True)
class Described:
    """A column of a result, in Redshift's type names."""

    name: str
    type: str
    precision: int = 0
    scale: int = 0
    length: int = 0


@dataclass(frozen=True)
class Result:
    """`columns` is None for a statement that gives no rows."""

    columns: tuple[Described, ...] | None
    rows: Sequence[tuple[Any, ...]]
    count: int
    query: int = 0


class Executor:
    """A session of the Data API's on one connection."""

    def __init__(self, connection: psycopg.Connection[Any], service: Service, registry: Registry, foreign: frozenset[str], database: str) -> None:
        self.connection, self._service, self._database = connection, service, database
        self._session = Session(registry, Settings(foreign=foreign), pid=connection.info.backend_pid)
        self._catalog = SessionCatalog(lambda sql: connection.execute(sql).fetchall(), registry)
        self._last = -1
        connection.add_notice_handler(self._asked)

    def _asked(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.sqlstate == ASKED:
            self._service.answer(self._session, notice.message_primary or "", notice.message_detail or "")

    def execute(self, sql: str) -> Result:
        """Raises StatementError; the transaction is the caller's."""
        number, start = self._service.logs.number(), now()
        idle = self.connection.autocommit and self.connection.info.transaction_status == pq.TransactionStatus.IDLE
        self._session.settings = replace(self._session.settings, last_query=self._last, in_block=not idle)
        self._last = number
        self._session.in_block = not idle
        try:
            found = self._run(Rewriter(self._catalog, self._session.settings, self._service.externals).statement(sql), number)
        except psycopg.Error as error:
            _, words = told(error.sqlstate or "", error.diag.message_primary or str(error).strip())
            detail = f"\n  Detail: {error.diag.message_detail}" if error.diag.message_detail else ""
            self._log(number, start, sql, "failed", words)
            raise StatementError(f"{words}{detail}") from error
        except (NotLocalError, SqlError) as error:
            self._log(number, start, sql, "failed", str(error))
            raise StatementError(str(error)) from error
        self._log(number, start, sql, "success", "")
        return found

    def _run(self, rewritten: Rewritten, number: int) -> Result:
        cursor = self.connection.execute(rewritten.sql)
        columns = None
        rows: Sequence[tuple[Any, ...]] = ()
        if cursor.description is not None and not rewritten.tag:
            columns = tuple(_described(d) for d in cursor.description)
            rows = cursor.fetchall()
        if self._session.caught:
            (_, message), self._session.caught = self._session.caught, None
            raise SqlError("P0001", message)
        if rewritten.changes_registry:
            self._session.registry.changed()
        for after in rewritten.after if not self.connection.autocommit else ():
            self.connection.execute(after)
        return Result(columns, rows, len(rows) if columns is not None else cursor.rowcount, number)

    def _log(self, number: int, start: str, sql: str, status: str, error: str) -> None:
        kind = sql.split(None, 1)[0].upper() if sql.split() else ""
        self._service.logs.add("statements", query_id=number, transaction_id=number, session_id=self._session.pid, database_name=self._database,
                               query_type=kind, start_time=start, end_time=now(), query_text=sql[:4000], status=status, error_message=error)  # fmt: skip


def _described(column: psycopg.Column) -> Described:
    return Described(column.name, _OIDS.get(column.type_code, "varchar"), column.precision or 0, column.scale or 0, column.display_size or 0)
