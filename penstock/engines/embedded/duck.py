"""A DuckDB connection for one batch's work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from penstock.config import AwsSettings
from penstock.schema import literal

if TYPE_CHECKING:
    import duckdb

MEMORY = "PENSTOCK_MEMORY"


def memory_limit() -> str:
    """$PENSTOCK_MEMORY, else half of this machine's memory; DuckDB spills to disk beyond it."""
    if asked := os.environ.get(MEMORY):
        return asked
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 2 // 1024 // 1024} MiB"


@contextmanager
def connected(sharing: int = 1) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own, in UTC, spilling into a folder that goes with it; it takes its part of the memory where several are `sharing` it."""
    import duckdb

    with TemporaryDirectory(prefix="penstock-") as folder:
        connection = duckdb.connect()
        try:
            connection.execute(f"SET memory_limit = {literal(memory_limit())}; SET temp_directory = {literal(folder)}")
            if sharing > 1:
                ((number, unit),) = connection.execute("SELECT string_split(current_setting('memory_limit'), ' ')").fetchone() or ()
                connection.execute(f"SET memory_limit = '{float(number) / sharing} {unit}'")
            connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET preserve_insertion_order = false")
            yield connection
        finally:
            connection.close()


def reach_s3(connection: duckdb.DuckDBPyConnection, aws: AwsSettings) -> None:
    """Let the connection read and write `s3://`; the extension comes with its own package, nothing is fetched."""
    from importlib.resources import files

    import duckdb

    from penstock.connectors.s3.access import duckdb_secret

    extension = files("duckdb_extension_httpfs") / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
    connection.execute(f"LOAD {literal(str(extension))}")
    connection.execute(duckdb_secret(aws))
