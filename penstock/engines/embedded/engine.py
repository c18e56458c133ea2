"""The engine of a laptop: DuckDB for merges and appends, Sail for user code, no JVM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

from penstock.config import AwsSettings
from penstock.engines.base import Code, Fitting, Session, Work
from penstock.engines.user_code import load_fitted
from penstock.schema import names
from penstock.tables import DataFile, LakeTable, Pinned

from .duck import attached, opened
from .session import EmbeddedSession

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class EmbeddedEngine:
    """Implements `penstock.engines.base.Engine`."""

    aws: AwsSettings

    @contextmanager
    def session(self, sharing: int = 1, work: Work | None = None) -> Iterator[EmbeddedSession]:
        del work
        with self.connection(sharing) as connection:
            yield EmbeddedSession(connection, self.aws)

    @contextmanager
    def connection(self, sharing: int = 1) -> Iterator[duckdb.DuckDBPyConnection]:
        """A database of its own, for one session."""
        database = self._database if sharing == 1 else opened(sharing)  # what a database is told of threads and order holds for all of it
        try:
            with attached(database) as connection:
                yield connection
        finally:
            if sharing > 1:
                database.close()

    @cached_property
    def _database(self) -> duckdb.DuckDBPyConnection:
        return opened()

    def transform(self, session: Session, name: str, code: Code, fitting: Fitting) -> int:
        from .sail import run

        with TemporaryDirectory(prefix="penstock-") as folder:

            def survivors(table: LakeTable, pinned: Pinned, files: Sequence[DataFile]) -> list[str]:
                with self.session() as reading:
                    reading.name("survivors", reading.rows_of(table, pinned, files, names(pinned.columns)), "TEMP VIEW")
                    return [f.uri for f in reading.export("survivors", f"{folder}/{uuid4().hex}.parquet")]

            rows = run(code, aws=self.aws, survivors=survivors)
        return load_fitted(session, name, rows, fitting)
