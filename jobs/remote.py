"""A deployed version run by a service: asked for once, found again after whoever asked was killed, followed to its end.

submitted.json in the pipeline's state is what was asked for last. It is written before the service is asked and again with the id that it gave: a job run
that nobody waits for any more is the one that the next command follows, and is not asked for twice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from penstock.connectors.job_runs.service import JobRuns
from penstock.errors import ConnectionFailedError, RunLockedError
from penstock.killpoints import reach
from penstock.objects import ObjectStore
from penstock.runtimes import Artifact
from penstock.runtimes.job_runs import Said
from penstock.targets import RUNTIMES, Emr, EmrServerless, Glue

from .lock import SUBMITTING, exclusive

KEY = "submitted.json"
_FIRST_PAUSE, _LONGEST_PAUSE, _MOST_SILENT = 1.0, 15.0, 40  # seconds, seconds, polls in a row that were not answered


@dataclass(frozen=True)
class Submission:
    """A version asked to run: `runtime` as the pipeline file says it, `job_run` once the service gave an id, `ended` its last word once somebody saw it."""

    run: str
    pipeline: str
    runtime: dict[str, Any]
    version: str
    arguments: tuple[str, ...]
    job_run: str = ""
    ended: str = ""

    @property
    def target(self) -> EmrServerless | Emr | Glue:
        return RUNTIMES.validate_python(self.runtime)

    def dumps(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def loads(cls, data: bytes) -> Submission:
        said = json.loads(data)
        return cls(**said | {"arguments": tuple(said["arguments"])})


@dataclass(frozen=True)
class Submitted:
    """What is at work, and whether it was found at work. `former`: the end of an earlier job run that nobody had waited for."""

    submission: Submission
    is_found: bool
    former: str = ""


def submit(state: ObjectStore, wanted: Submission, artifact: Artifact, services: Callable[[EmrServerless | Emr | Glue], JobRuns]) -> Submitted:
    """Ask for a job run, unless the one that was asked for last is still at work with the same arguments.

    Raises RunLockedError when that one has other arguments, or when another process is submitting; ConnectionFailedError when the service refuses.
    """
    with exclusive(state, wanted.run, SUBMITTING):
        last = _last(state)
        former = ""
        if last and not last.ended:
            before = services(last.target)
            if job_run := last.job_run or before.find(last.pipeline, last.run):
                said = before.said(job_run)
                if not said.has_ended:
                    return Submitted(_kept(state, _same(last, wanted, job_run)), is_found=True)
                former = f"{job_run} on {last.target.place}, of run {last.run}, ended meanwhile: {said.state}"
        _kept(state, wanted)
        job_run = services(wanted.target).start(artifact, wanted.pipeline, wanted.arguments, wanted.run)
        reach("after_ask")
        return Submitted(_kept(state, replace(wanted, job_run=job_run)), is_found=False, former=former)


def _last(state: ObjectStore) -> Submission | None:
    found = state.find(KEY)
    return Submission.loads(found[0]) if found else None


def _kept(state: ObjectStore, submission: Submission) -> Submission:
    state.write(KEY, submission.dumps())
    return submission


def _same(last: Submission, wanted: Submission, job_run: str) -> Submission:
    if (last.arguments, last.target) != (wanted.arguments, wanted.target):
        raise RunLockedError(
            f"the pipeline is already being run by {job_run} on {last.target.place}: version {last.version}, with {' '.join(last.arguments)}",
            hint="wait for it, or follow it with the same arguments, and cancel it with Ctrl-C",
        )
    return replace(last, job_run=job_run)


def follow(state: ObjectStore, submission: Submission, service: JobRuns, *, watch: Callable[[Said], None], wait: Callable[[float], None]) -> Said:
    """Ask until the job run has ended, and note that it was seen; `watch` is told of every change.

    One that waits for its place longer than the runtime allows is cancelled, and followed to that end. Raises ConnectionFailedError after a long silence.
    """
    before, pause, silent, waited, patience = None, _FIRST_PAUSE, 0, 0.0, 60.0 * submission.target.start_within_minutes
    while True:
        try:
            said, silent = service.said(submission.job_run), 0
        except ConnectionFailedError:
            silent += 1
            if silent > _MOST_SILENT:
                raise
        else:
            if said.state != before:
                watch(said)
            before = said.state
            if said.has_ended:
                _kept(state, replace(submission, ended=said.state))
                return said
            if said.phase == "waiting" and waited >= patience:
                service.cancel(submission.job_run)
                watch(Said("waiting", "CANCELLING", f"it did not start within {submission.target.start_within_minutes} minutes"))
                patience = math.inf
        wait(pause)
        waited += pause
        pause = min(pause * 1.25, _LONGEST_PAUSE)
