"""A DuckDB connection for one batch's work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from penstock.config import AwsSettings
from penstock.errors import ArgumentError
from penstock.schema import literal

if TYPE_CHECKING:
    import duckdb

MEMORY, SPILL = "PENSTOCK_MEMORY", "PENSTOCK_SPILL"
_SHARE = 5 / 8  # of DuckDB's own limit, four fifths of what the machine or its container has: half of that


@contextmanager
def connected(sharing: int = 1) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own, in UTC. It takes $PENSTOCK_MEMORY, else half of the machine's or the container's memory, its part of it where several are
    `sharing`; what does not fit it spills into a folder that goes with it, in $PENSTOCK_SPILL, else where temporary files lie. Raises ArgumentError for a
    $PENSTOCK_MEMORY that is no amount.
    """
    import duckdb

    with TemporaryDirectory(prefix="penstock-", dir=os.environ.get(SPILL) or None) as folder:
        connection = duckdb.connect()
        try:
            asked = os.environ.get(MEMORY)
            if asked:
                _limit(connection, asked)
            ((number, unit),) = connection.execute("SELECT string_split(current_setting('memory_limit'), ' ')").fetchone() or ()
            _limit(connection, f"{float(number) * (1 if asked else _SHARE) / sharing} {unit}")
            connection.execute(f"SET temp_directory = {literal(folder)}")
            connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET preserve_insertion_order = false")
            yield connection
        finally:
            connection.close()


def _limit(connection: duckdb.DuckDBPyConnection, memory: str) -> None:
    import duckdb

    try:
        connection.execute(f"SET memory_limit = {literal(memory)}")
    except duckdb.ParserException as error:
        raise ArgumentError(f"{MEMORY} is {memory!r}: {error}", hint="say a number and MB, GB, MiB or GiB: 4 GB") from error


def reach_s3(connection: duckdb.DuckDBPyConnection, aws: AwsSettings) -> None:
    """Let the connection read and write `s3://`; the extension comes with its own package, nothing is fetched."""
    from importlib.resources import files

    import duckdb

    from penstock.connectors.s3.access import duckdb_secret

    extension = files("duckdb_extension_httpfs") / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
    connection.execute(f"LOAD {literal(str(extension))}")
    connection.execute(duckdb_secret(aws))
