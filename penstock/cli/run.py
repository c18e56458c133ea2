"""`penstock run`."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from penstock.cli.opening import ready
from penstock.errors import ArgumentError
from penstock.report.summary import show_summary
from penstock.report.watch import watching
from penstock.runtimes import submit_args


def run_command(
    path: Path,
    env: str | None,
    param: list[str],
    *,
    select: str | None,
    full_refresh: bool,
    backfill: bool,
    runtime: str | None,
    log: Literal["text", "json"],
) -> int:
    """Run and report; returns the exit code."""
    from penstock.jobs.run import run

    loaded, plan = ready(path, env, param, engine="spark" if runtime else None)
    if runtime:
        _start_spark_as(submit_args(runtime, loaded.pipeline, _half_of_memory()))
    try:
        with watching(sys.stdout, as_json=log == "json") as watch:
            finished = run(loaded, plan, select=select, full_refresh=full_refresh, backfill=backfill, watch=watch)
    except KeyboardInterrupt:
        print("penstock: interrupted; what was committed stays, run again to go on", file=sys.stderr)  # noqa: T201
        return 130
    if log == "json":
        print(finished.record.dumps())  # noqa: T201
    else:
        show_summary(finished.record, sys.stdout)
    if finished.error is None:
        return 0
    if os.environ.get("PENSTOCK_TRACEBACK") and finished.error.__cause__:
        traceback.print_exception(finished.error.__cause__)
    print(f"penstock: step {finished.failed_step}: {finished.error}", file=sys.stderr)  # noqa: T201
    return finished.error.exit_code


def _half_of_memory() -> int:
    """In MB; Spark's own default, 1 GB, is too little for the driver's part in a batch."""
    has, allowed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), Path("/sys/fs/cgroup/memory.max")
    said = allowed.read_text().strip() if allowed.exists() else "max"
    return min(has, int(said) if said.isdigit() else has) // 2**21


def _start_spark_as(options: Sequence[str]) -> None:
    """What pyspark looks at when it starts the JVM. Raises ArgumentError where it would not start any."""
    if remote := os.environ.pop("SPARK_REMOTE", ""):  # pyspark takes an empty one for a server too
        raise ArgumentError(f"--runtime, where $SPARK_REMOTE names another Spark, {remote}", hint="leave one of them out")
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"{shlex.join(options)} {os.environ.get('PYSPARK_SUBMIT_ARGS', 'pyspark-shell')}"
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
