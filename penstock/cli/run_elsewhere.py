"""`penstock run` where the environment's runtime is a service: the current version is asked for, followed, and reported as if it had run here."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from penstock.cli.deploy import artifacts_store, beside
from penstock.config import AwsSettings
from penstock.connectors.job_runs.service import JobRuns, job_runs
from penstock.deployment import PIPELINE, DeployedFile, Deployments, Manifest
from penstock.errors import ArgumentError, PenstockError
from penstock.jobs.context import Context
from penstock.jobs.lock import ask_to_end
from penstock.jobs.record import Event, RunRecord, Watcher, record_key
from penstock.jobs.remote import Submission, Submitted, follow, submit
from penstock.jobs.run import new_run_id
from penstock.objects import ObjectStore
from penstock.parse import Loaded
from penstock.plan import Plan
from penstock.report.summary import show_summary
from penstock.report.watch import watching
from penstock.runtimes import Artifact
from penstock.runtimes.driver_log import first_error
from penstock.runtimes.job_runs import Said

_GRACE, _LOG_TRIES, _LOG_PAUSE = 3.0, 5, 3.0  # seconds, times, seconds
_INTERRUPTED = 130


def run_elsewhere(loaded: Loaded, plan: Plan, arguments: tuple[str, ...], run_id: str | None, *, as_json: bool) -> int:
    """Returns the exit code: 0, 1 for a failed run, 3 for one that a gate stopped, 130 when it was interrupted."""
    context, aws = Context(loaded, plan, run_id or new_run_id(datetime.now(UTC))), AwsSettings.from_environment()
    with watching(sys.stdout, as_json=as_json) as watch:
        try:
            submitted = _submitted(context, arguments, aws, watch)
        except KeyboardInterrupt:
            _complain("interrupted while it was asked for; run again with the same arguments to follow what came of it")
            return _INTERRUPTED
        said = _followed(context.state, submitted, lambda: job_runs(submitted.submission.target, aws), watch)
    return _INTERRUPTED if said is None else _reported(context.state, submitted.submission, job_runs(submitted.submission.target, aws), said, as_json=as_json)


def _complain(text: str) -> None:
    print(f"penstock: {text}", file=sys.stderr)  # noqa: T201


def _submitted(context: Context, arguments: tuple[str, ...], aws: AwsSettings, watch: Watcher) -> Submitted:
    loaded, target = context.loaded, context.loaded.environment.runtime
    assert target
    store = artifacts_store(loaded)
    deployments = Deployments(store, loaded.pipeline.pipeline, str(loaded.env))
    current = deployments.current()
    if current is None:
        raise ArgumentError(f"nothing is deployed that {target.place} could run", hint=f"`penstock deploy {loaded.folder} --env {loaded.env}`")
    manifest = deployments.manifest(current[0].version)
    target = target.model_copy(update={"region": target.region or aws.region})
    runtime = target.model_dump(mode="json", exclude_unset=True)
    wanted = Submission(context.run, loaded.pipeline.pipeline, runtime, manifest.version, arguments)
    submitted = submit(context.state, wanted, Artifact.of(deployments, manifest, target), lambda there: job_runs(there, aws))
    pipeline, found = loaded.pipeline.pipeline, submitted.submission
    if submitted.former:
        watch(Event("note", pipeline, message=submitted.former))
    if found.version != manifest.version:
        watch(Event("note", pipeline, message=f"version {found.version} is still at work; {manifest.version}, which is current now, runs the next time"))
    elif others := _others_here(loaded, manifest):
        watch(Event("note", pipeline, message=f"version {manifest.version} runs; {', '.join(others)} here differ from it until deployed"))
    return submitted


def _others_here(loaded: Loaded, manifest: Manifest) -> list[str]:
    """Files of the pipeline that are not those of the version."""
    sources = {"pipeline.yaml": loaded.file, **{name: loaded.folder / name for name in beside(loaded)}}
    here = {DeployedFile.of(f"{PIPELINE}{name}", source.read_bytes()) for name, source in sources.items()}
    deployed = {file for file in manifest.files if file.path.startswith(PIPELINE)}
    return sorted({file.path.removeprefix(PIPELINE) for file in here ^ deployed})


def _followed(state: ObjectStore, submitted: Submitted, opened: Callable[[], JobRuns], watch: Watcher) -> Said | None:
    """How the job run ended; None when this process was interrupted: once, and the job run was cancelled; twice, and it goes on."""
    found = submitted.submission
    left = "goes on; run again with the same arguments to follow it"

    def told(said: Said) -> None:
        watch(Event("note", found.job_run, message=f"{said.state}{f': {said.reason}' if said.reason else ''}"))

    try:
        try:
            how = "is at work, and is followed from here on" if submitted.is_found else "submitted"
            watch(Event("note", found.job_run, message=f"{how}: {found.target.place}, version {found.version}, run {found.run}"))
            return follow(state, found, opened(), watch=told, wait=time.sleep)
        except KeyboardInterrupt:
            _complain(f"{found.job_run} is cancelled in {_GRACE:.0f} s; Ctrl-C again leaves it running")
            time.sleep(_GRACE)
            left = "was asked to end, and may take a while"
            service = opened()
            ask_to_end(state, found.run)
            service.cancel(found.job_run)
            ended = follow(state, found, service, watch=told, wait=time.sleep)
            _complain(f"{found.job_run} ended as {ended.state}; what was committed stays, run again to go on")
    except KeyboardInterrupt:
        _complain(f"{found.job_run} {left}")
    except PenstockError:
        _complain(f"{found.job_run} {left}")
        raise
    return None


def _reported(state: ObjectStore, submission: Submission, service: JobRuns, said: Said, *, as_json: bool) -> int:
    found = state.find(record_key(submission.run))
    record = RunRecord.loads(found[0]) if found else None
    if record:
        print(record.dumps()) if as_json else show_summary(record, sys.stdout)  # noqa: T201
    if said.phase == "succeeded":
        return 0
    if error := next((f"step {s.step}: {s.error}" for s in record.steps if s.error), "") if record else "":
        _complain(error)
        return 3 if record and record.status == "stopped" else 1
    try:
        where, log = _driver_log(service, submission.job_run, said)
    except PenstockError as unread:
        where, log = f"it could not be read: {unread.message}", ""
    lines = log.strip().splitlines() or ["it says no more, and no log is there"]
    _complain(f"{submission.job_run} ended as {said.state}: {first_error(log) or said.reason or lines[-1]}")
    if where:
        print(f"  log: {where}", file=sys.stderr)  # noqa: T201
    return 1


def _driver_log(service: JobRuns, job_run: str, said: Said) -> tuple[str, str]:
    """Services put logs where they belong some time after the end; one that never started has none."""
    where, log = service.driver_log(job_run, said)
    for _ in range(_LOG_TRIES):
        if log or not where or said.phase == "cancelled":
            break
        time.sleep(_LOG_PAUSE)
        where, log = service.driver_log(job_run, said)
    return where, log
