"""Engines by the name that a pipeline file gives them."""

from __future__ import annotations

from functools import partial

from penstock.config import AwsSettings
from penstock.memory import half_of_memory
from penstock.runtimes.sessions import Remote

from .base import Engine

MB = 1_000_000
_LEAST_MB, _MEMORY_OF_A_BATCH = 256, 20  # a batch of the driver's takes sixteen times its bytes of Parquet


def light_mb() -> int:
    """Less than this is the driver's own where nobody says otherwise: a driver that was submitted has a container which Spark has measured out."""
    from .spark.connecting import is_submitted

    return _LEAST_MB if is_submitted() else max(_LEAST_MB, half_of_memory() // _MEMORY_OF_A_BATCH // MB)


def open_engine(name: str, aws: AwsSettings, spark_from_mb: int | None = 0, remote: Remote | None = None) -> Engine:
    """The engine `embedded` or `spark`, the latter for work of so many MB at the least (None: by `light_mb`).

    `remote`: where its Spark is, if not where the process or $SPARK_REMOTE has it. Nothing is started before its first session, but the application of a
    driver that was submitted.
    """
    from .embedded.engine import EmbeddedEngine

    if name == "spark":
        from .spark.connecting import begin, new_session
        from .spark.engine import SparkEngine

        if remote is None:
            begin(aws)
        least = light_mb() if spark_from_mb is None else spark_from_mb
        return SparkEngine(aws, partial(new_session, aws, remote), EmbeddedEngine(aws), least * MB)
    return EmbeddedEngine(aws)
