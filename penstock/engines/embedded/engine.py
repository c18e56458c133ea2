"""The engine of a laptop: DuckDB for merges and appends, Sail for user code, no JVM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.config import AwsSettings
from penstock.engines.base import Capabilities, Input

from .duck import connected
from .session import EmbeddedSession

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class EmbeddedEngine:
    """Implements `penstock.engines.base.Engine`."""

    aws: AwsSettings

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(supports_python_transforms=True, supports_merge=True, table_formats=frozenset({"iceberg", "delta"}))

    @contextmanager
    def session(self) -> Iterator[EmbeddedSession]:
        with connected() as connection:
            yield EmbeddedSession(connection, self.aws)

    def transform(self, inputs: tuple[Input, ...], parameters: Mapping[str, object], *, sql: str | None = None, python: Path | None = None) -> pa.Table:
        from .sail import run

        return run(inputs, parameters, sql=sql, python=python, aws=self.aws)
