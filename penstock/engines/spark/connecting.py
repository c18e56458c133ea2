"""Sessions of the Spark at hand: that of `spark-submit`, EMR or Glue, that of $SPARK_REMOTE by Spark Connect, or one in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from penstock.config import AwsSettings
from penstock.engines.user_code import functions_of_connect
from penstock.errors import MissingExtraError
from penstock.threads import IMPORTING


@contextmanager
def new_session(aws: AwsSettings) -> Iterator[Any]:
    """A session with temporary views and settings of its own. Raises MissingExtraError where no whole pyspark is installed."""
    if remote := os.environ.get("SPARK_REMOTE"):
        with _connected(remote) as session:
            yield session
    else:
        os.environ.pop("SPARK_REMOTE", None)  # pyspark 3.5 takes an empty one for an address
        yield _classic(aws)


@contextmanager
def _connected(remote: str) -> Iterator[Any]:
    try:
        with IMPORTING:
            from pyspark.sql.connect.session import SparkSession
    except ImportError as error:
        raise MissingExtraError(error.name or "pyspark", "spark") from error
    session, active = SparkSession.builder.remote(remote).create(), SparkSession._active_session
    before = getattr(active, "session", None)
    active.session = session  # pyspark takes what a checkpoint gives for the thread's active session's, and the first one stays it
    try:
        with functions_of_connect():
            yield session
    finally:
        active.session = before
        session.stop()


def _classic(aws: AwsSettings) -> Any:
    try:
        with IMPORTING:
            import pyspark.java_gateway  # noqa: F401 - what pyspark-client lacks
            from pyspark.sql import SparkSession
    except ImportError as error:
        raise MissingExtraError("pyspark", "spark") from error
    builder = SparkSession.builder.appName("penstock")
    for setting, value in _of_s3(aws).items():
        builder = builder.config(setting, value)
    return builder.getOrCreate().newSession()  # the application is its owner's: only what a session named is let go


def _of_s3(aws: AwsSettings) -> dict[str, str]:
    """How Hadoop's S3A reaches an endpoint that is not AWS's own; the platforms of AWS need nothing said."""
    if not aws.endpoint_url:
        return {}
    found = {"endpoint": aws.endpoint_url, "path.style.access": "true", "endpoint.region": aws.region}
    if aws.access_key_id and aws.secret_access_key:
        found |= {"access.key": aws.access_key_id, "secret.key": aws.secret_access_key.reveal()}
    s3a = {f"spark.hadoop.fs.s3a.{name}": value for name, value in found.items()}
    return s3a | {"spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem"}
