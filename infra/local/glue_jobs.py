"""Glue's job runs: what is submitted runs, as many at a time as the job's MaxConcurrentRuns says."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from .job_runs import put_in_place, refuse, script_of, state
from .spark_jobs import Phase, SparkJob, SparkJobs

_STATES: Mapping[Phase, str] = {"waiting": "WAITING", "running": "RUNNING", "succeeded": "SUCCEEDED", "failed": "FAILED", "cancelled": "STOPPED"}
_LOGS, _MOST_EVENTS = "/aws-glue/jobs", 1000


class GlueJobs:
    """The operations on job runs; jobs themselves are moto's. `client` gives one of this server's own services."""

    def __init__(self, jobs: SparkJobs, client: Callable[[str], Any]) -> None:
        self._jobs, self._client = jobs, client

    def install(self) -> None:
        from moto.glue.responses import GlueResponse

        put_in_place(GlueResponse, start_job_run=self.start, get_job_run=self.get, get_job_runs=self.list, batch_stop_job_run=self.stop)

    def start(self, request: Any) -> Any:
        from moto.core.responses import ActionResult
        from moto.glue.exceptions import ConcurrentRunsExceededException, InvalidInputException

        job = request.glue_backend.get_job(request._get_param("JobName"))
        refuse(lambda why: InvalidInputException("StartJobRun", why), None)
        place, slots = _place(job.name), int(job.execution_property.get("MaxConcurrentRuns", 1))
        if self._jobs.running(place) >= slots and not request._get_param("JobRunQueuingEnabled"):
            raise ConcurrentRunsExceededException(f"Job with name {job.name} already running")
        arguments = {**job.default_arguments, **(request._get_param("Arguments") or {}), **(job.non_overridable_arguments or {})}
        script = script_of([*settings_of(arguments), arguments.get("--scriptLocation") or job.command["ScriptLocation"]])
        given = ("--JOB_NAME", job.name, *(word for pair in arguments.items() for word in pair))
        files = tuple(part for part in arguments.get("--extra-py-files", "").split(",") if part)
        run = SparkJob(f"jr_{secrets.token_hex(32)}", job.name, arguments, replace(script, arguments=given, py_files=files))
        self._jobs.start(place, run, slots, self._report)
        return ActionResult({"JobRunId": run.id})

    def _report(self, ended: SparkJob) -> None:
        logs, now = self._client("logs"), int(ended.created.timestamp() * 1000)
        for group, data in ((f"{_LOGS}/error", ended.stderr), (f"{_LOGS}/output", ended.stdout)):
            if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
                logs.create_log_group(logGroupName=group)
            logs.create_log_stream(logGroupName=group, logStreamName=ended.id)
            events = [{"timestamp": now, "message": line} for line in data.decode(errors="replace").splitlines() if line]
            for at in range(0, len(events), _MOST_EVENTS):
                logs.put_log_events(logGroupName=group, logStreamName=ended.id, logEvents=events[at : at + _MOST_EVENTS])

    def get(self, request: Any) -> Any:
        from moto.core.responses import ActionResult
        from moto.glue.exceptions import JobRunNotFoundException

        job = self._jobs.find(_place(request._get_param("JobName")), request._get_param("RunId"))
        if job is None:
            raise JobRunNotFoundException(request._get_param("RunId"))
        return ActionResult({"JobRun": _described(job)})

    def list(self, request: Any) -> Any:
        from moto.core.responses import ActionResult

        job = request.glue_backend.get_job(request._get_param("JobName"))
        return ActionResult({"JobRuns": [_described(run) for run in reversed(self._jobs.of(_place(job.name)))]})

    def stop(self, request: Any) -> Any:
        from moto.core.responses import ActionResult

        name = request._get_param("JobName")
        asked = [(i, self._jobs.find(_place(name), i)) for i in request._get_param("JobRunIds")]
        at_work = {i: run for i, run in asked if run and not run.has_ended}
        for run in at_work.values():
            self._jobs.cancel(run)
        error = {"ErrorCode": "InvalidInputException", "ErrorMessage": "it is not running"}
        errors = [{"JobName": name, "JobRunId": i, "ErrorDetail": error} for i, _ in asked if i not in at_work]
        return ActionResult({"SuccessfulSubmissions": [{"JobName": name, "JobRunId": i} for i in at_work], "Errors": errors})


def _place(job: str) -> str:
    return f"glue {job}"


def settings_of(arguments: Mapping[str, str]) -> Iterator[str]:
    """Glue's one text of settings, `a=b --conf c=d`, as options."""
    for setting in arguments.get("--conf", "").split(" --conf "):
        if setting:
            yield from ("--conf", setting)


def _described(run: SparkJob) -> dict[str, Any]:
    said = {"CompletedOn": run.ended} if run.ended else {}
    error = {"ErrorMessage": run.reason} if run.reason else {}
    return {
        "Id": run.id, "JobName": run.name, "StartedOn": run.created, "JobRunState": state(run, _STATES, "STOPPING"), "Arguments": run.request,
        "LogGroupName": _LOGS, **said, **error,
    }  # fmt: skip
