"""Iceberg's buckets as functions of DuckDB."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from penstock.engines.buckets import FUNCTIONS, bucketed

if TYPE_CHECKING:
    import duckdb


def make_buckets_known(connection: duckdb.DuckDBPyConnection) -> None:
    """The whole database knows them, but they go with this connection: one that lasts as long as the database."""
    import mmh3  # noqa: F401 - now, not in a thread of DuckDB's

    for name, (kind, hashes) in FUNCTIONS.items():
        _define(connection, name, kind, hashes)


def _define(connection: duckdb.DuckDBPyConnection, name: str, kind: str, hashes: Callable[[Any], Any]) -> None:
    from duckdb.func import FunctionNullHandling, PythonUDFType

    def buckets(values: Any, widths: Any) -> Any:  # DuckDB evaluates the annotations
        return bucketed(hashes, values, widths)

    connection.create_function(name, buckets, [kind, "INTEGER"], "INTEGER", type=PythonUDFType.ARROW, null_handling=FunctionNullHandling.SPECIAL)
