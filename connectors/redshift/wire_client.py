"""Redshift by its wire protocol: statements as one transaction on a connection of their own, by redshift_connector."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from penstock.config import AwsSettings
from penstock.connections import RedshiftConnection
from penstock.errors import ConnectionFailedError, MissingExtraError, WarehouseBusyError, WarehouseError

from .client import CONFLICT, Done, Part
from .cluster import Cluster

if TYPE_CHECKING:
    import pyarrow as pa


class WireClient:
    """One database. Nothing outlives a process here: a statement that was sent ends with its connection, done or rolled back, and the ledger tells which."""

    def __init__(self, connection: RedshiftConnection, aws: AwsSettings) -> None:
        self._connection, self._aws, self._cluster = connection, aws.at(connection.region), Cluster(connection, aws)
        self._rows: dict[str, pa.Table] = {}
        self._made = 0

    @property
    def where(self) -> tuple[str, ...]:
        """What tells this database from others."""
        return (f"Database={self._connection.database}", f"Host={self._connection.host or self._connection.workgroup or self._connection.cluster}")

    def run(self, statements: Sequence[str], _token: str | None = None, _on_submitted: Callable[[str], None] | None = None) -> Done:
        """Run statements as one transaction, a single one by itself; nothing is remembered of them.

        Raises WarehouseError with the server's message and the statement, WarehouseBusyError where the same call may succeed later, and
        ConnectionFailedError where the answer was lost: what became of the statements is then unknown.
        """
        start, parts, current = time.monotonic(), list[Part](), ""
        self._made += 1
        with self._session() as session:
            session.autocommit = len(statements) == 1
            try:
                for i, current in enumerate(statements):
                    parts.append(self._one(session, current, f"{self._made}:{i}"))
                if not session.autocommit:
                    session.commit()
            except Exception as error:
                raise _failure(error, current) from error
        return Done(str(self._made), time.monotonic() - start, tuple(parts))

    def _one(self, session: Any, sql: str, part: str) -> Part:
        import pyarrow as pa

        start, cursor = time.monotonic(), session.cursor()
        cursor.execute(sql)
        names = [d[0] if isinstance(d[0], str) else d[0].decode() for d in cursor.description or ()]
        rows = cursor.fetchall() if names else []
        if names:
            self._rows[part] = pa.table([pa.array([row[i] for row in rows]) for i in range(len(names))], names=names)
        return Part(part, time.monotonic() - start, len(rows) if names else int(cursor.rowcount), bool(names))

    def query(self, sql: str) -> pa.Table:
        """The rows of one query."""
        return self.rows(self.run([sql]).parts[0].id)

    def rows(self, part: str) -> pa.Table:
        """The rows of a part of what was run last; they are given once."""
        return self._rows.pop(part)

    def has_ended(self, _statement: str) -> bool:
        """Always: with its process a statement's connection ends, and with that the statement."""
        return True

    def attach(self, statement: str) -> Done:
        raise WarehouseError(f"statement {statement} was sent on a connection that has ended")

    def wait(self, statement: str) -> None:
        """Nothing is under way."""

    def cancel(self, statement: str) -> None:
        """Nothing is under way."""

    def _session(self) -> Any:
        try:
            import redshift_connector
        except ImportError as error:
            raise MissingExtraError("redshift_connector", "redshift") from error
        while True:
            try:
                return redshift_connector.connect(database=self._connection.database, **self._endpoint())
            except (redshift_connector.Error, OSError) as error:
                if not self._cluster.is_back():
                    hint = "check host, port, the network and the secret, then run again"
                    raise ConnectionFailedError(f"Redshift cannot be reached: {error}", hint=hint) from error

    def _endpoint(self) -> dict[str, Any]:
        """Where to connect, and as whom: the stand-in on this machine, a secret's user, else temporary credentials of the caller."""
        if self._aws.redshift_port:
            return {"host": "127.0.0.1", "port": self._aws.redshift_port, "user": "awsuser", "password": "local", "ssl": False}
        where = {"host": self._connection.host or self._address(), "port": self._connection.port}
        if self._connection.secret:
            found = json.loads(self._client("secretsmanager").get_secret_value(SecretId=self._connection.secret)["SecretString"])
            return {**where, "user": found["username"], "password": found["password"]}
        if self._connection.workgroup:
            found = self._client("redshift-serverless").get_credentials(workgroupName=self._connection.workgroup, dbName=self._connection.database)
            return {**where, "user": found["dbUser"], "password": found["dbPassword"]}
        found = self._client("redshift").get_cluster_credentials_with_iam(ClusterIdentifier=self._connection.cluster, DbName=self._connection.database)
        return {**where, "user": found["DbUser"], "password": found["DbPassword"]}

    def _address(self) -> str:
        if self._connection.workgroup:
            return str(self._client("redshift-serverless").get_workgroup(workgroupName=self._connection.workgroup)["workgroup"]["endpoint"]["address"])
        return str(self._client("redshift").describe_clusters(ClusterIdentifier=self._connection.cluster)["Clusters"][0]["Endpoint"]["Address"])

    def _client(self, service: str) -> Any:
        from penstock.connectors.s3.access import client

        return client(service, self._aws)


def _failure(error: Exception, sql: str) -> Exception:
    """What the server said, in one of our errors; a connection that is lost leaves the outcome open."""
    told = error.args[0] if error.args and isinstance(error.args[0], dict) else None
    if told is None:
        return ConnectionFailedError(f"the connection to Redshift was lost: {error}", hint="run again: the ledger decides what was done")
    message = f"ERROR: {told.get('M', '')}"
    kind = WarehouseBusyError if CONFLICT.search(message) else WarehouseError
    return kind(f"{message}\n  in: {sql.strip()[:500]}")
