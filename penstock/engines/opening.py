"""Engines by the name that a pipeline file gives them."""

from __future__ import annotations

from functools import partial

from penstock.config import AwsSettings

from .base import Engine


def open_engine(name: str, aws: AwsSettings) -> Engine:
    """The engine `embedded` or `spark`; nothing is started before its first session."""
    if name == "spark":
        from .spark.connecting import new_session
        from .spark.engine import SparkEngine

        return SparkEngine(aws, partial(new_session, aws))
    from .embedded.engine import EmbeddedEngine

    return EmbeddedEngine(aws)
