"""DuckDB databases and connections, for the work of batches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING
from uuid import uuid4

from penstock.config import AwsSettings, Secret
from penstock.errors import ArgumentError
from penstock.schema import literal, quote

from .buckets import make_buckets_known

if TYPE_CHECKING:
    import duckdb

MEMORY, SPILL = "PENSTOCK_MEMORY", "PENSTOCK_SPILL"
_SHARE = 5 / 8  # of DuckDB's own limit, four fifths of what the machine or its container has: half of that


def opened(sharing: int = 1, memory: str | None = None) -> duckdb.DuckDBPyConnection:
    """A database of its own, in UTC. It takes $PENSTOCK_MEMORY, else `memory`, else half of the machine's or the container's, its part of it where several
    are `sharing`; what does not fit it spills into a folder that goes with it, in $PENSTOCK_SPILL, else where temporary files lie. Raises ArgumentError for a
    $PENSTOCK_MEMORY that is no amount.
    """
    import duckdb

    database = duckdb.connect()
    asked = os.environ.get(MEMORY) or memory
    if asked:
        _limit(database, asked)
    ((number, unit),) = database.execute("SELECT string_split(current_setting('memory_limit'), ' ')").fetchone() or ()
    _limit(database, f"{float(number) * (1 if asked else _SHARE) / sharing} {unit}")
    folder = Path(os.environ.get(SPILL) or gettempdir()) / f"penstock-{uuid4().hex}"
    database.execute(f"SET temp_directory = {literal(str(folder))}")  # made when it is needed, and removed when the database is closed
    make_buckets_known(database)
    database.execute("SET GLOBAL TimeZone = 'UTC'; SET enable_progress_bar = false; SET preserve_insertion_order = false")
    return database


@contextmanager
def attached(database: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """A place in a database for one batch's relations, which go with it: opening a whole database takes ten times as long."""
    place = quote(f"batch {uuid4().hex}")
    connection = database.cursor()
    try:
        connection.execute(f"ATTACH ':memory:' AS {place}; USE {place}")
        yield connection
    finally:
        connection.close()
        database.execute(f"DETACH DATABASE IF EXISTS {place}")


def place_of(connection: duckdb.DuckDBPyConnection) -> str:
    """The quoted name of the place where a connection's relations are."""
    (place,) = connection.execute("SELECT current_database()").fetchone() or ()
    return quote(place)


def beside(connection: duckdb.DuckDBPyConnection, place: str) -> duckdb.DuckDBPyConnection:
    """Another connection, for a thread of its own, that sees the same relations but temporary ones."""
    other = connection.cursor()
    other.execute(f"USE {place}")
    return other


def _limit(connection: duckdb.DuckDBPyConnection, memory: str) -> None:
    import duckdb

    try:
        connection.execute(f"SET memory_limit = {literal(memory)}")
    except duckdb.ParserException as error:
        raise ArgumentError(f"{MEMORY} is {memory!r}: {error}", hint="say a number and MB, GB, MiB or GiB: 4 GB") from error


def reach_s3(connection: duckdb.DuckDBPyConnection, aws: AwsSettings, known: Secret | None = None) -> Secret:
    """Let the connection read and write `s3://` with the keys of now; the extension comes with its own package, nothing is fetched.

    Returns the secret that it was told; `known`: the one that it was told before.
    """
    from importlib.resources import files

    import duckdb

    from penstock.connectors.s3.access import duckdb_secret

    secret = Secret(duckdb_secret(aws))
    if secret == known:
        return secret
    extension = files("duckdb_extension_httpfs") / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
    connection.execute(f"LOAD {literal(str(extension))}")
    connection.execute(secret.reveal())
    return secret
