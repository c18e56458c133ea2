"""User code on Sail: a Spark Connect server in this process, no JVM."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, cast

from penstock.config import AwsSettings
from penstock.connectors.stores import filesystem
from penstock.engines.base import Code, Input
from penstock.engines.user_code import SETTINGS, applied, as_read, functions_of_connect
from penstock.errors import MissingExtraError, StepFailedError
from penstock.schema import Column, Columns, DataType, backquote, is_hidden
from penstock.tables import DataFile, LakeTable, Pinned
from penstock.threads import IMPORTING, each

if TYPE_CHECKING:
    import pyarrow as pa

Survivors = Callable[[LakeTable, Pinned, Sequence[DataFile]], list[str]]
_IDLE_SECONDS = 365 * 24 * 3600  # it forgets a session after a quarter of an hour, which other steps of a run may well take
_lock = threading.Lock()
_session: Any = None


def session(aws: AwsSettings) -> Any:
    """This process's Spark session on Sail, started when first asked for and ended in the right order when the process ends."""
    global _session
    with _lock:
        if _session is None:
            _session = _started(aws)
        return _session


def _started(aws: AwsSettings) -> Any:
    for name, value in _environment(aws).items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("RUST_LOG", "error")
    os.environ.setdefault("SAIL_SPARK__SESSION_TIMEOUT_SECS", str(_IDLE_SECONDS))
    try:
        with IMPORTING:
            from pysail.spark import SparkConnectServer
            from pyspark.sql.connect.session import SparkSession
    except ImportError as error:
        raise MissingExtraError(error.name or "pysail", "local") from error
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    host, port = server.listening_address
    spark = SparkSession.builder.remote(f"sc://{host}:{port}").create()
    for setting, value in SETTINGS.items():
        spark.conf.set(setting, value)

    def stop() -> None:
        spark.stop()  # before the server: the other way round, the interpreter hangs at its end
        server.stop()

    atexit.register(stop)
    if threading.current_thread() is threading.main_thread() and (handler := signal.getsignal(signal.SIGINT)) is not None:
        signal.signal(signal.SIGINT, handler)  # alone again: the server has put its own beside it, and ends itself, while its client asks it for minutes
    return spark


def _environment(aws: AwsSettings) -> dict[str, str]:
    from penstock.connectors.s3.access import deltalake_options

    return deltalake_options(aws) if aws.endpoint_url or aws.access_key_id else {}


def run(code: Code, aws: AwsSettings, survivors: Survivors) -> pa.Table:
    """Run a user's code over its inputs; raises TransformError for whatever goes wrong in it, StepFailedError for files of the tables that are gone.

    `survivors` writes the rows that are left of files with deleted positions, for Sail to read.
    """
    spark = session(aws)
    with functions_of_connect():
        files = [i.table.files(i.pinned) if i.table and i.pinned else () for i in code.inputs]
        frames = {i.name: as_read(_frame(spark, i, f, survivors), i) for i, f in zip(code.inputs, files, strict=True)}
        rows = cast("pa.Table", applied(spark, frames, code, lambda frame: frame.toArrow()))
    for item, read in zip(code.inputs, files, strict=True):
        _check_there(item.name, read, aws)
    return rows


def _check_there(name: str, files: Sequence[DataFile], aws: AwsSettings) -> None:
    """A file that is not there has no rows for Sail, and it says nothing."""
    import pyarrow.fs as fs

    if not files:
        return
    system, _ = filesystem(files[0].uri, aws)
    found = each(lambda f: system.get_file_info(f.uri.removeprefix("s3://")).type, files)
    if gone := [f.uri for f, kind in zip(files, found, strict=True) if kind == fs.FileType.NotFound]:
        hint = "another tool removed them (a vacuum, an expiry): bring them back, or `penstock batch skip` the batch"
        raise StepFailedError(f"{len(gone)} files of {name} that this batch reads are not there, {gone[0]} among them", hint=hint)


def _frame(spark: Any, item: Input, files: Sequence[DataFile], survivors: Survivors) -> Any:
    """An input as a DataFrame, without Penstock's own columns."""
    if item.table is None or item.pinned is None:
        return spark.createDataFrame(item.rows)
    shown = tuple(c for c in item.pinned.columns if not is_hidden(c.name))
    schema = _struct(shown)
    whole, thinned = ([f for f in files if (bool(f.deletes) or item.pinned.is_read_by_number or f.by_number) is has] for has in (False, True))
    left = survivors(item.table, item.pinned, thinned) if thinned else []
    uris = [f.uri for f in whole if not f.outside] + left
    frames = _by_partition(spark, shown, [f for f in whole if f.outside])
    frames += [spark.read.schema(schema).parquet(*uris)] if uris else []
    return reduce(lambda a, b: a.unionByName(b), frames) if frames else spark.createDataFrame([], schema)


def _struct(columns: Iterable[Column]) -> Any:
    """A schema as an object: Sail's parser of schemas does not take every name. All of it may be NULL, as in the files."""
    from pyspark.sql.types import StructType

    return StructType.fromJson(DataType("struct", fields=tuple(columns)).nullable.delta)


def _by_partition(spark: Any, shown: Columns, files: Sequence[DataFile]) -> list[Any]:
    """Files that lack their partition's columns: read partition by partition, the values put in."""
    from pyspark.sql.connect import functions as f

    types = {c.name: c.type.spark for c in shown}
    groups: dict[tuple[tuple[str, object], ...], list[DataFile]] = {}
    for file in files:
        groups.setdefault(tuple(file.outside.items()), []).append(file)
    frames = []
    for outside, members in groups.items():
        inside = _struct(c for c in shown if c.name not in members[0].outside)
        frame = spark.read.schema(inside).parquet(*(m.uri for m in members))
        for column, value in outside:
            frame = frame.withColumn(column, f.lit(value).cast(types[column]))
        frames.append(frame)
    return [frame.select(*(f.col(backquote(n)) for n in types)) for frame in frames]
