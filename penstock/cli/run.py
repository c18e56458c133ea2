"""`penstock run`."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.cli.opening import data_interval, ready
from penstock.errors import ArgumentError
from penstock.memory import half_of_memory
from penstock.report.summary import show_summary
from penstock.report.watch import watching
from penstock.runtimes import HERE, submit_args


@dataclass(frozen=True)
class RunOptions:
    """What `penstock run` is told besides the pipeline, its environment and its parameters."""

    select: str | None = None
    full_refresh: bool = False
    backfill: bool = False
    runtime: str | None = None
    interval: str | None = None
    run_id: str | None = None

    def elsewhere(self) -> tuple[str, ...]:
        """Those that say what is done, for the same command in another place."""
        flags = (("--full-refresh", self.full_refresh), ("--backfill", self.backfill))
        said = (("--select", self.select), ("--data-interval", self.interval))
        return (*(f"{option}={value}" for option, value in said if value), *(flag for flag, is_given in flags if is_given))


def run_command(path: Path, env: str | None, param: list[str], given: RunOptions, *, as_json: bool) -> int:
    """Run and report; returns the exit code."""
    from penstock.jobs.run import checked_run_id, run

    run_id, runtime = given.run_id and checked_run_id(given.run_id), given.runtime
    loaded, plan = ready(path, env, param, data_interval(given.interval) if given.interval else None, where=runtime)
    if loaded.environment.runtime:
        from penstock.cli.run_elsewhere import run_elsewhere

        plan.select(given.select)
        arguments = (f"--env={loaded.env}", *(f"--param={text}" for text in param), *given.elsewhere())
        return run_elsewhere(loaded, plan, arguments, run_id, as_json=as_json)
    if runtime and runtime != HERE:
        _start_spark_as(submit_args(runtime, loaded.pipeline, half_of_memory() // 2**20))
    try:
        with watching(sys.stdout, as_json=as_json) as watch:
            finished = run(loaded, plan, select=given.select, full_refresh=given.full_refresh, backfill=given.backfill, watch=watch, run_id=run_id)
    except KeyboardInterrupt:
        print("penstock: interrupted; what was committed stays, run again to go on", file=sys.stderr)  # noqa: T201
        return 130
    if as_json:
        print(finished.record.dumps())  # noqa: T201
    else:
        show_summary(finished.record, sys.stdout)
    if finished.error is None:
        return 0
    if os.environ.get("PENSTOCK_TRACEBACK") and finished.error.__cause__:
        traceback.print_exception(finished.error.__cause__)
    print(f"penstock: step {finished.failed_step}: {finished.error}", file=sys.stderr)  # noqa: T201
    return finished.error.exit_code


def _start_spark_as(options: Sequence[str]) -> None:
    """What pyspark looks at when it starts the JVM. Raises ArgumentError where it would not start any."""
    if remote := os.environ.pop("SPARK_REMOTE", ""):  # pyspark takes an empty one for a server too
        raise ArgumentError(f"--runtime, where $SPARK_REMOTE names another Spark, {remote}", hint="leave one of them out")
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"{shlex.join(options)} {os.environ.get('PYSPARK_SUBMIT_ARGS', 'pyspark-shell')}"
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
