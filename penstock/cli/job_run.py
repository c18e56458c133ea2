"""The current version, asked of a service as one job run, and what came of it: what `penstock run` and an Airflow task have in common."""

from __future__ import annotations

import time
from dataclasses import dataclass

from penstock.cli.deploy import beside
from penstock.config import AwsSettings
from penstock.connectors.job_runs.service import JobRuns, job_runs
from penstock.deployment import PIPELINE, DeployedFile, Manifest
from penstock.errors import PenstockError
from penstock.jobs.artifacts import current_version
from penstock.jobs.context import Context
from penstock.jobs.lock import ask_to_end
from penstock.jobs.record import Event, RunRecord, Watcher, record_key
from penstock.jobs.remote import Submission, follow, submit
from penstock.objects import ObjectStore
from penstock.parse import Loaded
from penstock.runtimes import Artifact
from penstock.runtimes.driver_log import first_error
from penstock.runtimes.job_runs import Said

_LOG_TRIES, _LOG_PAUSE = 5, 3.0  # times, seconds


@dataclass(frozen=True)
class Outcome:
    """How a job run ended, `state` in the service's word. `exit_code`: 0, 1 for a failed run, 3 for one that a gate stopped.

    `error`: what went wrong, and `log`: where there is more about it. `record`: what the run noted, None where it did not come to that.
    """

    state: str
    exit_code: int
    error: str = ""
    log: str = ""
    record: RunRecord | None = None

    @property
    def is_retryable(self) -> bool:
        """Whether the same may succeed later: what the run itself says, and a driver that could not begin or was lost."""
        failed = next((s for s in self.record.steps if s.error), None) if self.record else None
        return failed.retryable if failed else bool(self.exit_code)


@dataclass(frozen=True)
class JobRun:
    """One that was asked for, or found at work; `state` is where its pipeline keeps what it knows."""

    state: ObjectStore
    submission: Submission
    aws: AwsSettings
    is_found: bool = False

    @property
    def _service(self) -> JobRuns:
        return job_runs(self.submission.target, self.aws)

    def announce(self, watch: Watcher) -> None:
        found, how = self.submission, "is at work, and is followed from here on" if self.is_found else "submitted"
        watch(Event("note", found.job_run, message=f"{how}: {found.target.place}, version {found.version}, run {found.run}"))

    def follow(self, watch: Watcher, waited: float = 0.0) -> Outcome:
        """Wait for its end, of which `waited` seconds went by for a place. Raises ConnectionFailedError when the service is silent for long."""
        service, found = self._service, self.submission
        said = follow(self.state, found, service, watch=lambda s: watch(Event("note", found.job_run, message=str(s))), wait=time.sleep, waited=waited)
        return _outcome(self.state, found, service, said)

    def cancel(self) -> None:
        """Ask the run to end as Ctrl-C would, and the service to end it."""
        ask_to_end(self.state, self.submission.run)
        self._service.cancel(self.submission.job_run)


def submitted(context: Context, arguments: tuple[str, ...], watch: Watcher) -> JobRun:
    """Ask for a run of the current version, or find the one at work; `watch` is told what is out of the ordinary.

    Raises ArgumentError where nothing is deployed, RunLockedError where a run with other arguments is at work, and what the service says.
    """
    loaded, aws, target = context.loaded, context.aws, context.loaded.environment.runtime
    assert target
    deployments, manifest = current_version(loaded, target.place)
    target = target.model_copy(update={"region": target.region or aws.region})
    runtime = target.model_dump(mode="json", exclude_unset=True)
    wanted = Submission(context.run, loaded.pipeline.pipeline, runtime, manifest.version, arguments)
    asked = submit(context.state, wanted, Artifact.of(deployments, manifest, target), lambda there: job_runs(there, aws))
    pipeline, found = loaded.pipeline.pipeline, asked.submission
    if asked.former:
        watch(Event("note", pipeline, message=asked.former))
    if found.version != manifest.version:
        watch(Event("note", pipeline, message=f"version {found.version} is still at work; {manifest.version}, which is current now, runs the next time"))
    elif others := _others_here(loaded, manifest):
        watch(Event("note", pipeline, message=f"version {manifest.version} runs; {', '.join(others)} here differ from it until deployed"))
    return JobRun(context.state, found, aws, asked.is_found)


def _others_here(loaded: Loaded, manifest: Manifest) -> list[str]:
    """Files of the pipeline that are not those of the version."""
    sources = {"pipeline.yaml": loaded.file, **{name: loaded.folder / name for name in beside(loaded)}}
    here = {DeployedFile.of(f"{PIPELINE}{name}", source.read_bytes()) for name, source in sources.items()}
    deployed = {file for file in manifest.files if file.path.startswith(PIPELINE)}
    return sorted({file.path.removeprefix(PIPELINE) for file in here ^ deployed})


def _outcome(state: ObjectStore, submission: Submission, service: JobRuns, said: Said) -> Outcome:
    """Of a job run that ended as `said`: from the run's record, or else from the driver's log, whose first real error is the one told."""
    found = state.find(record_key(submission.run))
    record = RunRecord.loads(found[0]) if found else None
    if said.phase == "succeeded" and record:
        return Outcome(said.state, 0, record=record)
    if record and (error := next((f"step {s.step}: {s.error}" for s in record.steps if s.error), "")):
        return Outcome(said.state, 3 if record.status == "stopped" else 1, error, record=record)
    try:
        where, log = _driver_log(service, submission.job_run, said)
    except PenstockError as unread:
        where, log = f"it could not be read: {unread.message}", ""
    lines = log.strip().splitlines() or ["it says no more, and no log is there"]
    return Outcome(said.state, 1, f"{submission.job_run} ended as {said.state}: {first_error(log) or said.reason or lines[-1]}", where, record)


def _driver_log(service: JobRuns, job_run: str, said: Said) -> tuple[str, str]:
    """Services put logs where they belong some time after the end; one that never started has none."""
    where, log = service.driver_log(job_run, said)
    for _ in range(_LOG_TRIES):
        if log or not where or said.phase == "cancelled":
            break
        time.sleep(_LOG_PAUSE)
        where, log = service.driver_log(job_run, said)
    return where, log
