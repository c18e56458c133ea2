"""The engine of a laptop: DuckDB for merges and appends, Sail for user code, no JVM."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

from penstock.config import AwsSettings
from penstock.engines.base import Input
from penstock.schema import names
from penstock.tables import DataFile, LakeTable, Pinned

from .duck import attached, opened
from .session import EmbeddedSession

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


@dataclass(frozen=True)
class EmbeddedEngine:
    """Implements `penstock.engines.base.Engine`."""

    aws: AwsSettings

    @contextmanager
    def session(self, sharing: int = 1, weight: Callable[[], int] | None = None) -> Iterator[EmbeddedSession]:
        del weight
        database = self._database if sharing == 1 else opened(sharing)  # what a database is told of threads and order holds for all of it
        try:
            with attached(database) as connection:
                yield EmbeddedSession(connection, self.aws)
        finally:
            if sharing > 1:
                database.close()

    @cached_property
    def _database(self) -> duckdb.DuckDBPyConnection:
        return opened()

    def transform(self, inputs: tuple[Input, ...], parameters: Mapping[str, object], *, sql: str | None = None, python: Path | None = None) -> pa.Table:
        from .sail import run

        with TemporaryDirectory(prefix="penstock-") as folder:

            def survivors(table: LakeTable, pinned: Pinned, files: Sequence[DataFile]) -> list[str]:
                with self.session() as session:
                    session.name("survivors", session.rows_of(table, pinned, files, names(pinned.columns)), "TEMP VIEW")
                    return [f.uri for f in session.export("survivors", f"{folder}/{uuid4().hex}.parquet")]

            return run(inputs, parameters, sql=sql, python=python, aws=self.aws, survivors=survivors)
