"""Redshift by its Data API: statements as one transaction, polled, cancelled when this process is interrupted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from secrets import SystemRandom
from typing import TYPE_CHECKING, Any

from penstock.config import AwsSettings
from penstock.connections import RedshiftConnection
from penstock.errors import ArgumentError, ConnectionFailedError, WarehouseBusyError, WarehouseError

from .cluster import Cluster

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_STATEMENTS = 40
_FINAL = frozenset({"FINISHED", "FAILED", "ABORTED"})
CONFLICT = re.compile(
    r"^(ERROR:\s*)?1023\b|serializable isolation violation|concurrent transaction|could not serialize access|deadlock detected", re.IGNORECASE
)
_THROTTLED = frozenset(
    {"ThrottlingException", "ActiveStatementsExceededException", "ActiveSessionsExceededException", "ActiveWaitingRequestsExceededException"}
)
_TRIES, _LONGEST_PAUSE = 7, 8.0


@dataclass(frozen=True)
class Part:
    """One statement of a transaction: what it took, the rows that it gave or touched (-1: not known), and whether there are rows to fetch by its id."""

    id: str
    seconds: float
    rows: int
    gives_rows: bool


@dataclass(frozen=True)
class Done:
    """A finished transaction and its statements, in order."""

    id: str
    seconds: float
    parts: tuple[Part, ...]


class DataApi:
    """One database of a workgroup or cluster."""

    def __init__(self, connection: RedshiftConnection, aws: AwsSettings) -> None:
        from penstock.connectors.s3.access import client

        self._client, self._cluster = client("redshift-data", aws.at(connection.region)), Cluster(connection, aws)
        self._where = {"Database": connection.database}
        if connection.workgroup:
            self._where["WorkgroupName"] = connection.workgroup
        else:
            self._where["ClusterIdentifier"] = str(connection.cluster)
        if connection.secret:
            self._where["SecretArn"] = connection.secret

    @property
    def where(self) -> tuple[str, ...]:
        """What tells this database from others."""
        return tuple(f"{name}={value}" for name, value in sorted(self._where.items()))

    def run(self, statements: Sequence[str], token: str | None = None, on_submitted: Callable[[str], None] | None = None) -> Done:
        """Run statements as one transaction and wait for its end.

        The same `token` (64 characters at most) twice is one execution. `on_submitted` is given the statement's id before it is waited for.
        Raises WarehouseError with the server's message and the statement, WarehouseBusyError where the same call may succeed later, and
        ConnectionFailedError where the answer was lost: what became of the statements is then unknown.
        """
        if len(statements) > _MOST_STATEMENTS:
            raise ArgumentError(f"{len(statements)} statements in one transaction; the Data API takes {_MOST_STATEMENTS}")
        extra = {"ClientToken": token} if token else {}
        if len(statements) == 1:
            found = self._sent(self._client.execute_statement, Sql=statements[0], **self._where, **extra)
        else:
            found = self._sent(self._client.batch_execute_statement, Sqls=list(statements), **self._where, **extra)
        if on_submitted:
            on_submitted(found["Id"])
        return self.attach(found["Id"])

    def attach(self, statement: str) -> Done:
        """Wait for the end of a statement that was sent before; cancels it when this process is interrupted. Raises as `run` does."""
        try:
            found = self.wait(statement)
        except (KeyboardInterrupt, SystemExit):
            self.cancel(statement)
            raise
        if found["Status"] != "FINISHED":
            raise _failure(found, self._cluster.status())
        inner = found.get("SubStatements") or [found | {"Id": statement}]
        parts = tuple(Part(p["Id"], p.get("Duration", 0) / 1e9, int(p.get("ResultRows", -1)), bool(p.get("HasResultSet"))) for p in inner)
        return Done(statement, found.get("Duration", 0) / 1e9, parts)

    def wait(self, statement: str) -> Any:
        """The description of a statement that has ended, well or not."""
        pause = 0.02
        while (found := self._asked(self._client.describe_statement, Id=statement))["Status"] not in _FINAL:
            time.sleep(pause)
            pause = min(pause * 1.5, 2.0)
        return found

    def has_ended(self, statement: str) -> bool:
        """True also for a statement that the API has forgotten, as it does after a day."""
        try:
            return self._asked(self._client.describe_statement, Id=statement)["Status"] in _FINAL
        except WarehouseError as error:
            if _code(error.__cause__) == "ResourceNotFoundException":
                return True
            raise

    def cancel(self, statement: str) -> None:
        """Ask for a statement's end. One that ended first, or cannot be reached, is left: what it did is read from the ledger."""
        with suppress(WarehouseError, ConnectionFailedError):
            self._asked(self._client.cancel_statement, Id=statement)

    def query(self, sql: str) -> pa.Table:
        """The rows of one query."""
        return self.rows(self.run([sql]).parts[0].id)

    def rows(self, statement: str) -> pa.Table:
        """The rows of a finished statement, or of one part of it."""
        import pyarrow as pa

        pages = list(self._pages(statement))
        names = [c["name"] for c in pages[0]["ColumnMetadata"]]
        records = [record for page in pages for record in page["Records"]]
        columns = [_column(c, [record[i] for record in records]) for i, c in enumerate(pages[0]["ColumnMetadata"])]
        return pa.table(columns, names=names)

    def _pages(self, statement: str) -> Iterator[Any]:
        page = self._asked(self._client.get_statement_result, Id=statement)
        yield page
        while page.get("NextToken"):
            page = self._asked(self._client.get_statement_result, Id=statement, NextToken=page["NextToken"])
            yield page

    def _sent(self, call: Callable[..., Any], **request: Any) -> Any:
        """A statement's acceptance; refused by a cluster that is away, it waits for the cluster."""
        while True:
            try:
                return self._asked(call, **request)
            except WarehouseError as error:
                if isinstance(error, WarehouseBusyError) or not self._cluster.is_back():
                    raise

    @staticmethod
    def _asked(call: Callable[..., Any], **request: Any) -> Any:
        """One call; refused for want of capacity, it is repeated with growing, random pauses."""
        from botocore.exceptions import BotoCoreError, ClientError

        attempt = 0
        while True:
            try:
                return call(**request)
            except ClientError as error:
                attempt += 1
                if _code(error) not in _THROTTLED or attempt == _TRIES:
                    raise _refusal(error) from error
            except BotoCoreError as error:
                hint = "check the endpoint, the region and the network, then run again"
                raise ConnectionFailedError(f"Redshift's Data API cannot be reached: {error}", hint=hint) from error
            time.sleep(SystemRandom().uniform(0, min(_LONGEST_PAUSE, 0.2 * 2**attempt)))


def _code(error: BaseException | None) -> str:
    """The Data API's name for an error of boto3's."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def _refusal(error: Any) -> WarehouseError | ConnectionFailedError:
    if _code(error) in _THROTTLED:
        return WarehouseBusyError(f"Redshift's Data API is busy: {error}", hint="run again later")
    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        return ConnectionFailedError(f"Redshift's Data API failed within: {error}", hint="run again: the ledger decides what was done")
    return WarehouseError(f"Redshift's Data API refused the call: {error}")


def _failure(found: Any, cluster: str) -> WarehouseError:
    """What became of a statement that failed; nothing of it remains, so that one of a cluster that went away may be sent again."""
    message, is_away = found.get("Error", found["Status"]), bool(cluster) and not cluster.startswith("available")
    failed = next((p for p in found.get("SubStatements", ()) if p["Status"] == "FAILED"), found)
    kind = WarehouseBusyError if is_away or CONFLICT.search(message) else WarehouseError
    return kind(f"{message.strip()}\n  in: {failed.get('QueryString', '').strip()[:500]}")


def _column(described: Any, cells: Sequence[Any]) -> pa.Array[Any]:
    """One column of a result, typed as the server says."""
    import pyarrow as pa

    values = [None if cell.get("isNull") else next(iter(cell.values())) for cell in cells]
    match described["typeName"]:
        case "int2" | "int4" | "int8":
            return pa.array(values, pa.int64())
        case "bool":
            return pa.array(values, pa.bool_())
        case "float4" | "float8":
            return pa.array(values, pa.float64())
        case "numeric":
            kind = pa.decimal128(described["precision"], described["scale"]) if described.get("precision") else None
            return pa.array([None if v is None else Decimal(str(v)) for v in values], kind)
        case "date":
            return pa.array([None if v is None else date.fromisoformat(v) for v in values], pa.date32())
        case "timestamp":
            return pa.array([None if v is None else datetime.fromisoformat(v) for v in values], pa.timestamp("us"))
        case "timestamptz":
            return pa.array([None if v is None else datetime.fromisoformat(v) for v in values], pa.timestamp("us", tz="UTC"))
    return pa.array([None if v is None else str(v) for v in values], pa.string())
