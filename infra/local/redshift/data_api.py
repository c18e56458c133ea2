"""The Redshift Data API on moto's endpoint, executing for real. moto's own keeps every statement STARTED for ever."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import psycopg

from . import clusters
from .executing import Executor, Result, StatementError
from .tokens import tokenize

if TYPE_CHECKING:
    from .server import Redshift

PAGE_ROWS = 1000
_WHERE = ("ClusterIdentifier", "WorkgroupName", "Database", "DbUser", "SecretArn")
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
    executor: Executor | None = None
    cancelled: bool = False
    name: str = ""
    session: str = ""

    def become(self, status: str, error: str | None = None) -> None:
        self.status, self.error, self.updated = status, error, time.time()

    def described(self) -> dict[str, Any]:
        """What DescribeStatement says of it."""
        found = {
            "Id": self.id, "Status": self.status, "QueryString": self.sql, "HasResultSet": bool(self.result and self.result.columns is not None),
            "ResultRows": self.result.count if self.result else -1, "ResultSize": 0, "Duration": int((self.updated - self.created) * 1e9),
            "CreatedAt": self.created, "UpdatedAt": self.updated, "RedshiftPid": 1, "RedshiftQueryId": self.result.query if self.result else 0, **self.where,
        }  # fmt: skip
        found |= {k: v for k, v in {"Error": self.error, "StatementName": self.name, "SessionId": self.session}.items() if v}
        if self.parts:
            found["SubStatements"] = [{k: v for k, v in p.described().items() if k not in self.where} for p in self.parts]
        return found


def with_parameters(sql: str, parameters: Sequence[Mapping[str, str]] | None) -> str:
    """`:name` as texts: the Data API's parameters have no type of their own. Texts, comments and `::` are left alone."""
    values, tokens, found = {p["name"]: p["value"] for p in parameters or ()}, tokenize(sql), sql
    for colon, name in reversed(list(pairwise(tokens))):
        if colon.text == ":" and name.kind == "word" and name.start == colon.end and name.text in values:
            quoted = values[name.text].replace("\\", "\\\\").replace("'", "''")
            found = f"{found[: colon.start]}'{quoted}'{found[name.end :]}"
    return found


@dataclass
class KeptSession:
    """A session that outlives its statement, for temporary tables; `until` is when it ends, in seconds of the clock."""

    executor: Executor
    until: float
    lock: threading.Lock = field(default_factory=threading.Lock)


class DataApi:
    """All statements of one server; each is executed in a thread of its own, a batch as one transaction."""

    def __init__(self, redshift: Redshift) -> None:
        self._redshift = redshift
        self._statements: dict[str, Statement] = {}
        self._tokens: dict[str, str] = {}
        self._sessions: dict[str, KeptSession] = {}
        self._lock = threading.Lock()

    def submit(self, sqls: Sequence[str], request: Mapping[str, Any], *, batch: bool) -> Statement:
        """Begin a statement; one that was submitted under the same token already is that one. Raises KeyError for a session that is not there."""
        with self._lock:
            token, parameters = request.get("ClientToken"), request.get("Parameters")
            if token and token in self._tokens:
                return self._statements[self._tokens[token]]
            identifier = str(uuid.uuid4())
            statement = Statement(
                identifier, sqls[0] if not batch else "", {k: v for k, v in request.items() if k in _WHERE}, name=request.get("StatementName") or ""
            )
            statement.session = self._session(statement, request)
            if batch:
                statement.parts = [Statement(f"{identifier}:{i + 1}", with_parameters(s, parameters), statement.where) for i, s in enumerate(sqls)]
            else:
                statement.sql = with_parameters(sqls[0], parameters)
            for known in (statement, *statement.parts):
                self._statements[known.id] = known
            if token:
                self._tokens[token] = identifier
        threading.Thread(target=self._execute, args=(statement,), daemon=True).start()
        return statement

    def _session(self, statement: Statement, request: Mapping[str, Any]) -> str:
        """The session of a statement: one that is kept, a new one to be kept, or none."""
        for name in [n for n, s in self._sessions.items() if s.until < time.time() and not s.lock.locked()]:
            self._redshift.forget(self._sessions.pop(name).executor)
        name, keep = request.get("SessionId") or "", int(request.get("SessionKeepAliveSeconds") or 0)
        if name:
            found = self._sessions[name]
            found.until = max(found.until, time.time() + keep)
            return str(name)
        if not keep:
            return ""
        name = str(uuid.uuid4())
        self._sessions[name] = KeptSession(self._redshift.connect(_database(statement), autocommit=True), time.time() + keep)
        return name

    def find(self, identifier: str) -> Statement | None:
        return self._statements.get(identifier)

    def listed(self) -> list[dict[str, Any]]:
        """What ListStatements says: of a batch the texts, not its parts."""
        return [s.described() | {"QueryStrings": [p.sql for p in s.parts]} for s in self._statements.values() if ":" not in s.id]

    def query(self, database: str, sql: str) -> Result:
        """The rows of a query of our own: what DescribeTable and its like ask."""
        executor = self._redshift.connect(database, autocommit=True)
        try:
            return executor.execute(sql)
        finally:
            self._redshift.forget(executor)

    def cancel(self, statement: Statement) -> bool:
        """True when it was running, and was told to end."""
        if statement.status in _FINAL:
            return False
        statement.cancelled = True
        if statement.executor:
            statement.executor.connection.cancel()
        return True

    def _execute(self, statement: Statement) -> None:
        kept = self._sessions.get(statement.session)
        if kept:
            with kept.lock:
                self._run(statement, kept.executor)
                kept.until = max(kept.until, time.time() + 1)
            return
        executor = self._redshift.connect(_database(statement), autocommit=not statement.parts)
        try:
            self._run(statement, executor)
        finally:
            self._redshift.forget(executor)

    def _run(self, statement: Statement, executor: Executor) -> None:
        work = statement.parts or [statement]
        current = work[0]
        statement.executor = executor
        try:
            statement.become("STARTED")
            with executor.connection.transaction() if statement.parts and executor.connection.autocommit else nullcontext():
                for current in work:
                    current.become("STARTED")
                    current.result = executor.execute(current.sql)
                    current.become("FINISHED") if statement.parts else None
            if not executor.connection.autocommit:
                executor.connection.commit()
            statement.become("FINISHED")
        except (StatementError, psycopg.Error) as error:
            message = f"ERROR: {str(error).strip() or type(error).__name__}"
            for part in statement.parts:
                part.become("FAILED" if part is current else "ABORTED", message)
            statement.become("ABORTED" if statement.cancelled else "FAILED", message)
        finally:
            statement.executor = None


def _database(statement: Statement) -> str:
    return str(statement.where.get("Database") or "dev")


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


def csv_page(statement: Statement) -> dict[str, Any]:
    """All rows as one text: what GetStatementResultV2 gives of a statement whose ResultFormat is CSV."""
    assert statement.result is not None
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([c.name for c in statement.result.columns or ()])
    writer.writerows([["" if v is None else next(iter(_field(v).values())) for v in row] for row in statement.result.rows])
    return {
        **{k: v for k, v in page(statement, 0).items() if k in ("ColumnMetadata", "TotalNumRows")},
        "Records": [{"CSVRecords": text.getvalue()}],
        "ResultFormat": "csv",
    }


Answer = tuple[int, dict[str, str], str]


def _answer(found: Mapping[str, Any]) -> Answer:
    return 200, {}, json.dumps(found)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _like(request: Any, name: str, column: str) -> str:
    found = request._get_param(name)
    return f" AND {column} LIKE {_text(found)}" if found else ""


def _tables(api: DataApi, request: Any) -> Answer:
    conditions = _like(request, "SchemaPattern", "schema_name") + _like(request, "TablePattern", "table_name")
    rows = api.query(
        request._get_param("Database"), f"SELECT schema_name, table_name, table_type FROM svv_all_tables WHERE TRUE{conditions} ORDER BY 1, 2"
    ).rows
    return _answer({"Tables": [{"schema": s, "name": n, "type": t} for s, n, t in rows]})


def _schemas(api: DataApi, request: Any) -> Answer:
    rows = api.query(
        request._get_param("Database"), f"SELECT schema_name FROM svv_all_schemas WHERE TRUE{_like(request, 'SchemaPattern', 'schema_name')} ORDER BY 1"
    ).rows
    return _answer({"Schemas": [s for (s,) in rows]})


def _table(api: DataApi, request: Any) -> Answer:
    schema, name = request._get_param("Schema") or "public", request._get_param("Table")
    columns = "column_name, data_type, is_nullable, coalesce(character_maximum_length, 0), coalesce(numeric_precision, 0), coalesce(numeric_scale, 0)"
    sql = f"SELECT {columns} FROM svv_columns WHERE table_schema = {_text(schema)} AND table_name = {_text(name)} ORDER BY ordinal_position"
    found = [{"name": n, "label": n, "typeName": t, "nullable": int(null == "YES"), "length": size, "precision": p, "scale": s, "schemaName": schema,
              "tableName": name} for n, t, null, size, p, s in api.query(request._get_param("Database"), sql).rows]  # fmt: skip
    return _answer({"TableName": name, "ColumnList": found})


def _begun(api: DataApi, request: Any, sqls: Sequence[str], *, batch: bool) -> Answer:
    from moto.core.exceptions import JsonRESTError

    if len(sqls) > 40 or any(len(s.encode()) > 100_000 for s in sqls):
        raise JsonRESTError("ValidationException", "At most 40 statements of at most 100 KB each")
    if state := clusters.away(request.current_account, request.region, request._get_param("ClusterIdentifier")):
        raise JsonRESTError("ValidationException", f"Redshift cluster {request._get_param('ClusterIdentifier')} is {state}.")
    names = (*_WHERE, "ClientToken", "Parameters", "StatementName", "SessionId", "SessionKeepAliveSeconds")
    try:
        found = api.submit(sqls, {n: v for n in names if (v := request._get_param(n))}, batch=batch)
    except KeyError:
        raise JsonRESTError("ValidationException", "Session is not available.") from None
    return _answer({"Id": found.id, "CreatedAt": found.created, **found.where, **({"SessionId": found.session} if found.session else {})})


def install(api: DataApi) -> None:
    """Put the API in the place of moto's."""
    from moto.core.exceptions import JsonRESTError
    from moto.redshiftdata.responses import RedshiftDataAPIServiceResponse as Response

    def named(self: Any) -> Statement:
        found = api.find(self._get_param("Id"))
        if found is None:
            raise JsonRESTError("ResourceNotFoundException", "Query does not exist.")
        return found

    def finished(self: Any) -> Statement:
        found = named(self)
        if found.result is None or found.result.columns is None:
            raise JsonRESTError("ResourceNotFoundException", "Query does not have result. Please check query status with DescribeStatement.")
        return found

    def cancel(self: Any) -> Answer:
        found = named(self)
        if not api.cancel(found):
            raise JsonRESTError("ValidationException", f"Could not cancel a query that is already in {found.status} state")
        return _answer({"Status": True})

    methods: dict[str, Callable[[Any], Answer]] = {
        "execute_statement": lambda self: _begun(api, self, [self._get_param("Sql")], batch=False),
        "batch_execute_statement": lambda self: _begun(api, self, self._get_param("Sqls"), batch=True),
        "describe_statement": lambda self: _answer(named(self).described()),
        "get_statement_result": lambda self: _answer(page(finished(self), int(self._get_param("NextToken") or 0))),
        "get_statement_result_v2": lambda self: _answer(csv_page(finished(self))),
        "cancel_statement": cancel,
        "list_statements": lambda _: _answer({"Statements": api.listed()}),
        "list_tables": lambda self: _tables(api, self),
        "list_schemas": lambda self: _schemas(api, self),
        "list_databases": lambda _: _answer(
            {"Databases": [d for (d,) in api.query("dev", "SELECT database_name FROM svv_redshift_databases ORDER BY 1").rows]}
        ),
        "describe_table": lambda self: _table(api, self),
    }
    for name, method in methods.items():
        setattr(Response, name, method)
