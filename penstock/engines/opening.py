"""Engines by the name that a pipeline file gives them."""

from __future__ import annotations

from functools import partial

from penstock.config import AwsSettings
from penstock.runtimes.sessions import Remote

from .base import Engine

MB = 1_000_000


def open_engine(name: str, aws: AwsSettings, spark_from_mb: int = 0, remote: Remote | None = None) -> Engine:
    """The engine `embedded` or `spark`, the latter for work of so many MB at the least.

    `remote`: where its Spark is, if not where the process or $SPARK_REMOTE has it. Nothing is started before its first session, but the application of a
    driver that was submitted.
    """
    from .embedded.engine import EmbeddedEngine

    if name == "spark":
        from .spark.connecting import begin, new_session
        from .spark.engine import SparkEngine

        if remote is None:
            begin(aws)
        return SparkEngine(aws, partial(new_session, aws, remote), EmbeddedEngine(aws), spark_from_mb * MB)
    return EmbeddedEngine(aws)
