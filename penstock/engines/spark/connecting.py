"""Sessions of the Spark at hand: that of $SPARK_REMOTE or of a service by Spark Connect, that of `spark-submit`, EMR or Glue, or one in this process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Thread
from traceback import print_exc
from typing import Any

from penstock.config import AwsSettings
from penstock.engines.user_code import functions_of_connect
from penstock.errors import MissingExtraError, NotSupportedError
from penstock.runtimes.s3a import reaching_s3
from penstock.runtimes.sessions import AUTH, Connection, Remote
from penstock.threads import IMPORTING

_SUBMITTED = "PYSPARK_GATEWAY_PORT"  # where spark-submit, which started this driver, waits for it


@contextmanager
def new_session(aws: AwsSettings, service: Remote | None = None) -> Iterator[Any]:
    """A session with temporary views and settings of its own. Raises MissingExtraError where no whole pyspark is installed."""
    if os.environ.get("SPARK_REMOTE") or service:
        with _connected(service) as session:
            yield session
    else:
        yield _classic(aws)


@contextmanager
def _connected(service: Remote | None) -> Iterator[Any]:
    try:
        with IMPORTING:
            from pyspark.sql.connect.session import SparkSession
    except ImportError as error:
        raise MissingExtraError(error.name or "pyspark", "spark") from error
    remote = os.environ.get("SPARK_REMOTE")
    builder = SparkSession.builder.channelBuilder(signing(service())) if service and not remote else SparkSession.builder.remote(remote)
    session, active = builder.create(), SparkSession._active_session
    before = getattr(active, "session", None)
    active.session = session  # pyspark takes what a checkpoint gives for the thread's active session's, and the first one stays it
    try:
        if session.version.startswith("3."):
            hint = "take one of Spark 4: emr-spark-8, Glue 6.0"
            raise NotSupportedError(f"Spark {session.version} by Spark Connect, which lacks what the engine needs,", hint=hint)
        with functions_of_connect():
            yield session
    finally:
        active.session = before
        session.stop()


def signing(connection: Connection) -> Any:
    """A channel of which every request, however late, bears a token that is valid then."""
    from pyspark.sql.connect.client import DefaultChannelBuilder

    class Signed:
        """Spark keeps what it is given for as long as a query runs, and sends it anew with each request."""

        def __iter__(self) -> Iterator[tuple[str, str]]:
            yield AUTH, connection.token().reveal()

    class Signing(DefaultChannelBuilder):  # type: ignore[misc]
        def metadata(self) -> Iterable[tuple[str, str]]:
            return Signed()

    return Signing(connection.address)


def is_submitted() -> bool:
    """Whether spark-submit, EMR or Glue started this process as the driver of an application."""
    return _SUBMITTED in os.environ and not os.environ.get("SPARK_REMOTE")


def begin(aws: AwsSettings) -> None:
    """Have the application of a driver that was submitted start while the driver does other things: YARN waits for it a hundred seconds, and no longer.

    Whoever asks for a session waits for it, and is told what went wrong; the process does not end before it. Raises MissingExtraError as `new_session` does.
    """
    if is_submitted():
        Thread(target=_attempt, args=(_builder(aws),), name="spark").start()


def _attempt(builder: Any) -> None:
    try:
        builder.getOrCreate()  # with a lock of pyspark's
    except Exception:
        print_exc()  # perhaps nobody asks


def _classic(aws: AwsSettings) -> Any:
    return _builder(aws).getOrCreate().newSession()  # the application is its owner's: only what a session named is let go


def _builder(aws: AwsSettings) -> Any:
    os.environ.pop("SPARK_REMOTE", None)  # pyspark takes an empty one for an address
    try:
        with IMPORTING:
            import pyspark.java_gateway  # noqa: F401 - what pyspark-client lacks
            from pyspark.sql import SparkSession
    except ImportError as error:
        raise MissingExtraError("pyspark", "spark") from error
    builder = SparkSession.builder.appName("penstock")
    for setting, value in reaching_s3(aws).items():
        builder = builder.config(setting, value)
    return builder
