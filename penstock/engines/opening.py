"""Engines by the name that a pipeline file gives them."""

from __future__ import annotations

from functools import partial

from penstock.config import AwsSettings

from .base import Engine


def open_engine(name: str, aws: AwsSettings, spark_from_mb: int = 0) -> Engine:
    """The engine `embedded` or `spark`, the latter for work of so many MB at the least; nothing is started before its first session."""
    from .embedded.engine import EmbeddedEngine

    if name == "spark":
        from .spark.connecting import new_session
        from .spark.engine import SparkEngine

        return SparkEngine(aws, partial(new_session, aws), EmbeddedEngine(aws), spark_from_mb * 1_000_000)
    return EmbeddedEngine(aws)
