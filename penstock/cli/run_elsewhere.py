"""`penstock run` where the environment's runtime is a service: the current version is asked for, followed, and reported as if it had run here."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

from penstock.cli.job_run import JobRun, Outcome, submitted
from penstock.errors import PenstockError
from penstock.jobs.context import Context
from penstock.jobs.record import Watcher
from penstock.jobs.run import new_run_id
from penstock.parse import Loaded
from penstock.plan import Plan
from penstock.report.summary import show_summary
from penstock.report.watch import watching

_GRACE = 3.0  # seconds
_INTERRUPTED = 130


def run_elsewhere(loaded: Loaded, plan: Plan, arguments: tuple[str, ...], run_id: str | None, *, as_json: bool) -> int:
    """Returns the exit code: 0, 1 for a failed run, 3 for one that a gate stopped, 130 when it was interrupted."""
    context = Context(loaded, plan, run_id or new_run_id(datetime.now(UTC)))
    with watching(sys.stdout, as_json=as_json) as watch:
        try:
            found = submitted(context, arguments, watch)
        except KeyboardInterrupt:
            _complain("interrupted while it was asked for; run again with the same arguments to follow what came of it")
            return _INTERRUPTED
        ended = _followed(found, watch)
    return _reported(ended, as_json=as_json) if ended else _INTERRUPTED


def _complain(text: str) -> None:
    print(f"penstock: {text}", file=sys.stderr)  # noqa: T201


def _followed(found: JobRun, watch: Watcher) -> Outcome | None:
    """How the job run ended; None when this process was interrupted: once, and the job run was cancelled; twice, and it goes on."""
    name, left = found.submission.job_run, "goes on; run again with the same arguments to follow it"
    try:
        try:
            found.announce(watch)
            return found.follow(watch)
        except KeyboardInterrupt:
            _complain(f"{name} is cancelled in {_GRACE:.0f} s; Ctrl-C again leaves it running")
            time.sleep(_GRACE)
            left = "was asked to end, and may take a while"
            found.cancel()
            ended = found.follow(watch)
            _complain(f"{name} ended as {ended.state}; what was committed stays, run again to go on")
    except KeyboardInterrupt:
        _complain(f"{name} {left}")
    except PenstockError:
        _complain(f"{name} {left}")
        raise
    return None


def _reported(ended: Outcome, *, as_json: bool) -> int:
    if ended.record:
        print(ended.record.dumps()) if as_json else show_summary(ended.record, sys.stdout)  # noqa: T201
    if ended.error:
        _complain(ended.error)
    if ended.log:
        print(f"  log: {ended.log}", file=sys.stderr)  # noqa: T201
    return ended.exit_code
