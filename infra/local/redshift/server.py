"""The local Redshift as a whole: PostgreSQL, what answers its statements, the Data API, the port of the wire protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from penstock.infra.local.postgres import Postgres

from .catalog import Registry
from .executing import Executor
from .functions import SCRIPTS, script
from .logs import Logs
from .service import Service
from .wire import Wire

DATABASE, PORT = "dev", 5439


class Redshift:
    """One warehouse of a home folder; any cluster and any workgroup that a client names is this one."""

    def __init__(self, home: Path, postgres: Postgres, s3: Callable[[], Any], glue: Callable[[], Any]) -> None:
        self._postgres, self._registries = postgres, dict[str, Registry]()
        self._foreign: frozenset[str] = frozenset()
        self.logs = Logs(home / "redshift" / "logs.json")
        self._service = Service(s3, glue, postgres.data / "exchange", self.logs)
        self._wire: Wire | None = None
        self.port = 0

    def start(self, port: int) -> None:
        """PostgreSQL is up: make what a database needs, and listen. Raises OSError where the port is taken."""
        folder = self._postgres.data / "exchange"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        for left in folder.iterdir():
            left.unlink()
        self._postgres.prepare(DATABASE, prepared)
        with psycopg.connect(self._postgres.dsn(DATABASE), autocommit=True) as connection:
            names = connection.execute("SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace").fetchall()
        self._foreign = frozenset(str(n) for (n,) in names)
        self._wire = Wire(
            self._service, ("127.0.0.1", self._postgres.port), lambda d: self._postgres.prepare(d, prepared), self._registries, lambda: self._foreign
        )
        self.port = self._listening(self._wire, port)

    @staticmethod
    def _listening(wire: Wire, port: int) -> int:
        """The port that was asked for; without one Redshift's own where that is free."""
        if port:
            return wire.start(port)
        try:
            return wire.start(PORT)
        except OSError:
            return wire.start(0)

    def connect(self, database: str, *, autocommit: bool) -> Executor:
        """A session on a database, which is made when it is first asked for."""
        self._postgres.prepare(database, prepared)
        connection = psycopg.connect(self._postgres.dsn(database), autocommit=autocommit)
        return Executor(connection, self._service, self._registries.setdefault(database, Registry()), self._foreign, database)

    def forget(self, executor: Executor) -> None:
        pid = executor.connection.info.backend_pid
        executor.connection.close()
        self._service.forget(pid)

    def stop(self) -> None:
        if self._wire:
            self._wire.stop()
        self._service.externals.close()
        self.logs.save()


def prepared(connection: psycopg.Connection[Any], database: str) -> None:
    """Redshift's functions, views and defaults in a new database."""
    connection.execute("SET check_function_bodies = off")
    connection.execute("SET allow_system_table_mods = on")
    connection.execute("SET client_min_messages = error")
    for name in SCRIPTS:
        connection.execute(script(name))
    connection.execute(psycopg.sql.SQL("ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'").format(psycopg.sql.Identifier(database)))
    connection.execute(psycopg.sql.SQL("ALTER DATABASE {} SET bytea_output = 'hex'").format(psycopg.sql.Identifier(database)))
