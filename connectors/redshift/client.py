"""Redshift by its Data API: statements as one transaction, polled, cancelled when this process is interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from penstock.config import AwsSettings
from penstock.connections import RedshiftConnection
from penstock.errors import ArgumentError, ConnectionFailedError, WarehouseBusyError, WarehouseError

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_STATEMENTS = 40
_FINAL = frozenset({"FINISHED", "FAILED", "ABORTED"})
_TRY_AGAIN = ("1023", "serializable isolation violation", "concurrent transaction")


@dataclass(frozen=True)
class Done:
    """A finished statement: its id, and for each part of it whether there are rows to fetch."""

    id: str
    parts: tuple[str, ...]
    seconds: float


class DataApi:
    """One database of a workgroup or cluster."""

    def __init__(self, connection: RedshiftConnection, aws: AwsSettings) -> None:
        from penstock.connectors.s3.access import client

        settings = replace(aws, region=connection.region) if connection.region else aws
        self._client = client("redshift-data", settings)
        self._where = {"Database": connection.database}
        if connection.workgroup:
            self._where["WorkgroupName"] = connection.workgroup
        else:
            self._where["ClusterIdentifier"] = str(connection.cluster)
        if connection.secret:
            self._where["SecretArn"] = connection.secret

    def run(self, statements: Sequence[str], token: str | None = None) -> Done:
        """Run statements as one transaction; the same `token` twice is one execution.

        Raises WarehouseError with the server's message and the statement, WarehouseBusyError where the same call may succeed later.
        """
        if len(statements) > _MOST_STATEMENTS:
            raise ArgumentError(f"{len(statements)} statements in one transaction; the Data API takes {_MOST_STATEMENTS}")
        extra = {"ClientToken": sha256(token.encode()).hexdigest()} if token else {}
        if len(statements) == 1:
            found = self._asked(self._client.execute_statement, Sql=statements[0], **self._where, **extra)
        else:
            found = self._asked(self._client.batch_execute_statement, Sqls=list(statements), **self._where, **extra)
        return self._finished(found["Id"], statements)

    def query(self, sql: str) -> pa.Table:
        """The rows of one query."""
        return self.rows(self.run([sql]).parts[0])

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

    def _finished(self, statement: str, statements: Sequence[str]) -> Done:
        wait = 0.02
        try:
            while (found := self._asked(self._client.describe_statement, Id=statement))["Status"] not in _FINAL:
                time.sleep(wait)
                wait = min(wait * 1.5, 2.0)
        except BaseException:
            self._client.cancel_statement(Id=statement)
            raise
        if found["Status"] != "FINISHED":
            raise _failure(found, statements)
        parts = tuple(p["Id"] for p in found.get("SubStatements", ())) or (statement,)
        return Done(statement, parts, found.get("Duration", 0) / 1e9)

    @staticmethod
    def _asked(call: Callable[..., Any], **request: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call(**request)
        except ClientError as error:
            raise WarehouseError(f"Redshift's Data API refused the call: {error}") from error
        except BotoCoreError as error:
            raise ConnectionFailedError(f"Redshift's Data API cannot be reached: {error}", hint="check the endpoint, the region and the network") from error


def _failure(found: Any, statements: Sequence[str]) -> WarehouseError:
    message = found.get("Error", found["Status"])
    failed = next((p for p in found.get("SubStatements", ()) if p["Status"] == "FAILED"), None)
    text = failed["QueryString"] if failed else statements[0]
    kind = WarehouseBusyError if any(mark in message for mark in _TRY_AGAIN) else WarehouseError
    return kind(f"{message.strip()}\n  in: {text.strip()[:500]}")


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
