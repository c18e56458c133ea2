"""What every verb on a pipeline does first: read the file, choose the environment, and bring up its AWS when that is this machine's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from penstock.config import AwsSettings
from penstock.connections import CatalogConnection, S3Connection
from penstock.errors import ArgumentError
from penstock.parse import Loaded, load
from penstock.pipeline import Pipeline
from penstock.plan import Plan, compile_plan
from penstock.runtimes import placed


def parameters(given: Sequence[str]) -> dict[str, str]:
    """`name=value` texts as a mapping; raises ArgumentError for one without `=`."""
    pairs = [text.partition("=") for text in given]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise ArgumentError(f"--param {wrong[0]!r} is not of the form name=value")
    return {name: value for name, _, value in pairs}


def data_interval(text: str) -> tuple[str, str]:
    """The ends of `START/END`, each a date or a time as ISO 8601 has it; raises ArgumentError for what is none."""
    try:
        start, end = text.split("/")
        if _instant(start) <= _instant(end):
            return start, end
    except ValueError:
        pass
    raise ArgumentError(f"--data-interval {text!r} is not START/END, such as 2026-01-01/2026-01-02 or 2026-01-01T00:00:00+00:00/2026-01-01T06:00:00+00:00")


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def open_pipeline(path: Path, env: str | None, param: Sequence[str] = ()) -> Loaded:
    return load(path, env=env, params=parameters(param))


def ready(path: Path, env: str | None, param: Sequence[str] = (), interval: tuple[str, str] | None = None, *, where: str | None = None) -> tuple[Loaded, Plan]:
    """The pipeline and its checked plan; the local AWS is up, and this process speaks to it, when the environment says `aws: local`.

    `where`: what `--runtime` names in place of the environment's own.
    """
    loaded = load(path, env=env, params=parameters(param), interval=interval)
    loaded = replace(loaded, environment=placed(loaded.environment, where))
    plan = compile_plan(loaded)
    if loaded.environment.aws == "local":
        from penstock.cli.local import ensure_up

        os.environ.update(ensure_up().environment())
        _make_buckets(loaded.pipeline)
    return loaded, plan


def _make_buckets(pipeline: Pipeline) -> None:
    """On this machine's AWS nobody else makes the buckets that a pipeline names."""
    from penstock.connectors.reaching import reaching
    from penstock.connectors.s3.access import client

    warehouses = [c.warehouse for c in pipeline.connections.values() if isinstance(c, CatalogConnection) and c.warehouse.startswith("s3://")]
    named = {c.bucket for c in pipeline.connections.values() if isinstance(c, S3Connection)} | {w.removeprefix("s3://").partition("/")[0] for w in warehouses}
    s3 = client("s3", AwsSettings.from_environment())
    with reaching("the local S3"):
        for bucket in named - {b["Name"] for b in s3.list_buckets()["Buckets"]}:
            s3.create_bucket(Bucket=bucket)
