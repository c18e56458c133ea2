"""What every verb on a pipeline does first: read the file, choose the environment, and bring up its AWS when that is this machine's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from penstock.errors import ArgumentError
from penstock.parse import Loaded, load
from penstock.plan import Plan, compile_plan


def parameters(given: Sequence[str]) -> dict[str, str]:
    """`name=value` texts as a mapping; raises ArgumentError for one without `=`."""
    pairs = [text.partition("=") for text in given]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise ArgumentError(f"--param {wrong[0]!r} is not of the form name=value")
    return {name: value for name, _, value in pairs}


def open_pipeline(path: Path, env: str | None, param: Sequence[str] = ()) -> Loaded:
    return load(path, env=env, params=parameters(param))


def ready(path: Path, env: str | None, param: Sequence[str] = (), interval: tuple[str, str] | None = None) -> tuple[Loaded, Plan]:
    """The pipeline and its checked plan; the local AWS is up, and this process speaks to it, when the environment says `aws: local`."""
    loaded = load(path, env=env, params=parameters(param), interval=interval)
    plan = compile_plan(loaded)
    if loaded.environment.aws == "local":
        from penstock.cli.local import ensure_up

        os.environ.update(ensure_up().environment())
    return loaded, plan
