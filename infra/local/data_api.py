"""The Redshift Data API on moto's endpoint, executing for real. moto's own keeps every statement STARTED for ever."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import psycopg

from .errors import LoadError, NotLocalError
from .statements import Result, execute

PAGE_ROWS = 1000
_FINAL = ("FINISHED", "FAILED", "ABORTED")


@dataclass
class Statement:
    """One statement, or a batch of them (`parts`), and what became of it."""

    id: str
    sql: str
    where: Mapping[str, Any]
    parts: list[Statement] = field(default_factory=list)
    status: str = "SUBMITTED"
    error: str | None = None
    result: Result | None = None
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    connection: psycopg.Connection[Any] | None = None
    cancelled: bool = False

    def become(self, status: str, error: str | None = None) -> None:
        self.status, self.error, self.updated = status, error, time.time()

    def described(self) -> dict[str, Any]:
        """What DescribeStatement says of it."""
        found = {
            "Id": self.id, "Status": self.status, "QueryString": self.sql, "HasResultSet": bool(self.result and self.result.columns is not None),
            "ResultRows": self.result.count if self.result else -1, "ResultSize": 0, "Duration": int((self.updated - self.created) * 1e9),
            "CreatedAt": self.created, "UpdatedAt": self.updated, "RedshiftPid": 1, "RedshiftQueryId": 1, **self.where,
        }  # fmt: skip
        if self.error:
            found["Error"] = self.error
        if self.parts:
            found["SubStatements"] = [{k: v for k, v in p.described().items() if k not in self.where} for p in self.parts]
        return found


def with_parameters(sql: str, parameters: Sequence[Mapping[str, str]] | None) -> str:
    """`:name` as texts: the Data API's parameters have no type of their own."""
    values = {p["name"]: p["value"] for p in parameters or ()}
    return re.sub(r"(?<!:):([A-Za-z_]\w*)", lambda m: "'" + values[m[1]].replace("'", "''") + "'" if m[1] in values else m[0], sql)


class DataApi:
    """All statements of one server; each is executed in a thread of its own, as one transaction."""

    def __init__(self, connect: Callable[[str], psycopg.Connection[Any]], s3: Callable[[], Any]) -> None:
        self._connect, self._s3 = connect, s3
        self._statements: dict[str, Statement] = {}
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()

    def submit(
        self, sqls: Sequence[str], where: Mapping[str, Any], token: str | None, parameters: Sequence[Mapping[str, str]] | None, *, batch: bool
    ) -> Statement:
        """Begin a statement; one that was submitted under the same token already is that one."""
        with self._lock:
            if token and token in self._tokens:
                return self._statements[self._tokens[token]]
            identifier = str(uuid.uuid4())
            statement = Statement(identifier, sqls[0] if not batch else "", where)
            if batch:
                statement.parts = [Statement(f"{identifier}:{i + 1}", with_parameters(s, parameters), where) for i, s in enumerate(sqls)]
            else:
                statement.sql = with_parameters(sqls[0], parameters)
            for known in (statement, *statement.parts):
                self._statements[known.id] = known
            if token:
                self._tokens[token] = identifier
        threading.Thread(target=self._execute, args=(statement,), daemon=True).start()
        return statement

    def find(self, identifier: str) -> Statement | None:
        return self._statements.get(identifier)

    def listed(self) -> list[dict[str, Any]]:
        """What ListStatements says: of a batch the texts, not its parts."""
        return [s.described() | {"QueryStrings": [p.sql for p in s.parts]} for s in self._statements.values() if ":" not in s.id]

    def cancel(self, statement: Statement) -> bool:
        """True when it was running, and was told to end."""
        if statement.status in _FINAL:
            return False
        statement.cancelled = True
        if statement.connection:
            statement.connection.cancel()
        return True

    def _execute(self, statement: Statement) -> None:
        work = statement.parts or [statement]
        current = work[0]
        try:
            with self._connect(str(statement.where.get("Database") or "dev")) as connection:
                statement.connection = connection
                statement.become("STARTED")
                for current in work:
                    current.become("STARTED")
                    current.result = execute(connection, self._s3(), current.sql)
                    current.become("FINISHED") if statement.parts else None
            statement.become("FINISHED")
        except (psycopg.Error, LoadError, NotLocalError, ValueError, KeyError, StopIteration) as error:
            message = f"ERROR: {str(error).strip() or type(error).__name__}"
            for part in statement.parts:
                part.become("FAILED" if part is current else "ABORTED", message)
            statement.become("ABORTED" if statement.cancelled else "FAILED", message)
        finally:
            statement.connection = None


def _field(value: Any) -> dict[str, Any]:
    """A value as GetStatementResult types it."""
    if value is None:
        return {"isNull": True}
    if isinstance(value, bool):
        return {"booleanValue": value}
    if isinstance(value, int):
        return {"longValue": value}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, datetime):
        return {"stringValue": value.isoformat(sep=" ")}
    if isinstance(value, date):
        return {"stringValue": value.isoformat()}
    return {"stringValue": json.dumps(value) if isinstance(value, dict | list) else value.hex() if isinstance(value, bytes) else str(value)}


def page(statement: Statement, start: int) -> dict[str, Any]:
    """One page of a finished statement's rows."""
    assert statement.result is not None
    described = [
        {"name": c.name, "label": c.name, "typeName": c.type, "precision": c.precision, "scale": c.scale, "nullable": 1} for c in statement.result.columns or ()
    ]
    rows = statement.result.rows[start : start + PAGE_ROWS]
    found = {"ColumnMetadata": described, "Records": [[_field(v) for v in row] for row in rows], "TotalNumRows": len(statement.result.rows)}
    if start + PAGE_ROWS < len(statement.result.rows):
        found["NextToken"] = str(start + PAGE_ROWS)
    return found


Answer = tuple[int, dict[str, str], str]


def _answer(found: Mapping[str, Any]) -> Answer:
    return 200, {}, json.dumps(found)


def _where(request: Any) -> dict[str, Any]:
    names = ("ClusterIdentifier", "WorkgroupName", "Database", "DbUser", "SecretArn")
    return {n: v for n in names if (v := request._get_param(n))}


def install(api: DataApi) -> None:
    """Put the API in the place of moto's."""
    from moto.core.exceptions import JsonRESTError
    from moto.redshiftdata.responses import RedshiftDataAPIServiceResponse as Response

    def begun(self: Any, sqls: Sequence[str], *, batch: bool) -> Answer:
        if len(sqls) > 40 or any(len(s.encode()) > 100_000 for s in sqls):
            raise JsonRESTError("ValidationException", "At most 40 statements of at most 100 KB each")
        found = api.submit(sqls, _where(self), self._get_param("ClientToken"), self._get_param("Parameters"), batch=batch)
        return _answer({"Id": found.id, "CreatedAt": found.created, **found.where})

    def named(self: Any) -> Statement:
        found = api.find(self._get_param("Id"))
        if found is None:
            raise JsonRESTError("ResourceNotFoundException", "Query does not exist.")
        return found

    def result(self: Any) -> Answer:
        found = named(self)
        if found.result is None or found.result.columns is None:
            raise JsonRESTError("ResourceNotFoundException", "Query does not have result. Please check query status with DescribeStatement.")
        return _answer(page(found, int(self._get_param("NextToken") or 0)))

    def cancel(self: Any) -> Answer:
        found = named(self)
        if not api.cancel(found):
            raise JsonRESTError("ValidationException", f"Could not cancel a query that is already in {found.status} state")
        return _answer({"Status": True})

    methods: dict[str, Callable[[Any], Answer]] = {
        "execute_statement": lambda self: begun(self, [self._get_param("Sql")], batch=False),
        "batch_execute_statement": lambda self: begun(self, self._get_param("Sqls"), batch=True),
        "describe_statement": lambda self: _answer(named(self).described()),
        "get_statement_result": result,
        "cancel_statement": cancel,
        "list_statements": lambda _: _answer({"Statements": api.listed()}),
    }
    for name, method in methods.items():
        setattr(Response, name, method)
