"""A deployed version run by a service: asked for once, found again after whoever asked was killed, followed to its end.

submitted.json in the pipeline's state is what was asked for last. It is written before the service is asked and again with the id that it gave: a job run
that nobody waits for any more is the one that the next command follows, and is not asked for twice.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from penstock.connectors.job_runs.service import JobRuns
from penstock.errors import ArgumentError, ConnectionFailedError, JobRefusedError, LedgerError, RunLockedError
from penstock.killpoints import reach
from penstock.objects import ObjectStore
from penstock.runtimes import Artifact
from penstock.runtimes.job_runs import NO_ANSWER, Said
from penstock.targets import RUNTIMES, Target

from .lock import SUBMITTING, exclusive

KEY, FORMAT = "submitted.json", 1
_FIRST_PAUSE, _LONGEST_PAUSE, _MOST_SILENT = 1.0, 15.0, 40  # seconds, seconds, polls in a row that were not answered
_REFUSED = "REFUSED"
Services = Callable[[Target], JobRuns]


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
    format: int = FORMAT

    @property
    def target(self) -> Target:
        return RUNTIMES.validate_python(self.runtime)

    def is_late(self, said: Said, waited: float) -> bool:
        """Whether a job run of which this was said after so many seconds has waited for its place as long as it may."""
        return said.phase == "waiting" and waited >= 60 * self.target.start_within_minutes

    def dumps(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def loads(cls, data: bytes) -> Submission:
        """Raises LedgerError for one that a later Penstock wrote."""
        said = json.loads(data)
        if said["format"] != FORMAT:
            raise LedgerError(f"{KEY} in the pipeline's state was written by a later Penstock", hint="use that one, or a later one")
        return cls(**said | {"arguments": tuple(said["arguments"])})


@dataclass(frozen=True)
class Submitted:
    """What is at work, and whether it was found at work. `former`: the end of an earlier job run that nobody had waited for."""

    submission: Submission
    is_found: bool
    former: str = ""


def submit(state: ObjectStore, wanted: Submission, artifact: Artifact, services: Services) -> Submitted:
    """Ask for a job run, unless the one that was asked for last is still at work with the same arguments.

    Raises RunLockedError when that one has others, or when another process submits; JobRefusedError, ArgumentError, ConnectionFailedError as the service says.
    """
    with exclusive(state, wanted.run, SUBMITTING):
        found = state.find(KEY)
        last, etag = (Submission.loads(found[0]), found[1]) if found else (None, None)
        former = ""
        if last and not last.ended:
            job_run, said = _looked_up(state, last, services)
            if said and not said.has_ended:
                taken = _same(last, wanted, job_run)
                _kept(state, taken, etag)
                return Submitted(taken, is_found=True)
            former = f"{job_run} on {last.target.place}, of run {last.run}, ended meanwhile: {said.state}" if said else ""
        etag = _kept(state, wanted, etag)
        asked = replace(wanted, job_run=_asked(state, wanted, etag, artifact, services(wanted.target)))
        reach("after_ask")
        _kept(state, asked, etag)
        return Submitted(asked, is_found=False, former=former)


def _looked_up(state: ObjectStore, last: Submission, services: Services) -> tuple[str, Said | None]:
    """What became of the one that was asked for last; nothing where the service was never asked."""
    try:
        service = services(last.target)
        job_run = last.job_run or service.find(last.pipeline, last.run)
        return (job_run, service.said(job_run)) if job_run else ("", None)
    except (ConnectionFailedError, JobRefusedError) as error:
        hint = f"ask there what became of it; if it is not at work, remove {state.root}{KEY}"
        raise type(error)(f"run {last.run} was asked for on {last.target.place}, and may be at work. {error.message}", hint=hint) from error


def _same(last: Submission, wanted: Submission, job_run: str) -> Submission:
    theirs, ours = ((s.target.place, s.target.region, s.arguments) for s in (last, wanted))
    if theirs != ours:
        raise RunLockedError(
            f"the pipeline is already being run by {job_run} on {last.target.place}, version {last.version}, with {shlex.join(last.arguments)}",
            hint="wait for it; the same command with those arguments follows it, and Ctrl-C then cancels it",
        )
    return replace(last, job_run=job_run)


def _kept(state: ObjectStore, submission: Submission, etag: str | None) -> str:
    """Raises RunLockedError when what lies there is no longer what was read."""
    data = submission.dumps()
    _ = state.replace(KEY, data, if_match=etag) if etag else state.create(KEY, data)
    found = state.find(KEY)  # what lies there decides: the answer to a put that was done may have been lost
    if found is None or found[0] != data:
        raise RunLockedError("another command submitted the pipeline meanwhile", hint="run again to follow what it submitted")
    return found[1]


def _asked(state: ObjectStore, wanted: Submission, etag: str, artifact: Artifact, service: JobRuns) -> str:
    """The job run's id. What was refused for good is noted, so that nobody looks for it; of what was not answered the service is asked what it knows."""
    try:
        return service.start(artifact, wanted.pipeline, wanted.arguments, wanted.run)
    except (JobRefusedError, ArgumentError):
        _kept(state, replace(wanted, ended=_REFUSED), etag)
        raise
    except ConnectionFailedError:
        if found := service.find(wanted.pipeline, wanted.run):
            return found
        raise


def asked_after(say: Callable[[], Said], waited: float = 0.0) -> Iterator[tuple[Said, float, float]]:
    """What a service says time after time, the seconds that went by, `waited` of them before, and the seconds to wait until the next; without an end.

    Raises ConnectionFailedError after a long silence.
    """
    pause, silent = _FIRST_PAUSE, 0
    while True:
        try:
            said, silent = say(), 0
        except ConnectionFailedError as error:
            said, silent = Said("unknown", NO_ANSWER, error.message), silent + 1
            if silent > _MOST_SILENT:
                raise
        yield said, waited, pause
        waited, pause = waited + pause, min(pause * 1.25, _LONGEST_PAUSE)


def follow(
    state: ObjectStore, submission: Submission, service: JobRuns, *, watch: Callable[[Said], None], wait: Callable[[float], None], waited: float = 0.0
) -> Said:
    """Ask until the job run has ended, and note that it was seen; `watch` is told of every change.

    One that waits for its place longer than the runtime allows, `waited` seconds until now, is cancelled, and followed to that end.
    Raises ConnectionFailedError after a long silence.
    """
    before, late, is_cancelled = "", "", False
    for said, since, pause in asked_after(lambda: service.said(submission.job_run), waited):
        if said.state != before:
            watch(said)
        before = said.state
        if said.has_ended:
            _note_end(state, submission, said)
            return replace(said, reason=late or said.reason)
        if not is_cancelled and submission.is_late(said, since):
            late = f"it did not start within {submission.target.start_within_minutes} minutes"
            watch(Said("waiting", "CANCELLING", late))
            try:
                service.cancel(submission.job_run)
                is_cancelled = True
            except ConnectionFailedError as error:
                watch(Said("unknown", NO_ANSWER, error.message))
        wait(pause)
    raise AssertionError("there is no end to what is asked")


def _note_end(state: ObjectStore, submission: Submission, said: Said) -> None:
    """Where another was submitted meanwhile there is nothing to note."""
    found = state.find(KEY)
    if found and Submission.loads(found[0]).run == submission.run:
        state.replace(KEY, replace(submission, ended=said.state).dumps(), if_match=found[1])
