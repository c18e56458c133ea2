"""EMR Serverless's job runs: what is submitted runs. Any application may be named; it is there."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from .job_runs import put_in_place, put_log, refuse, script_of, spark_defaults, state
from .spark_jobs import Phase, SparkJob, SparkJobs

_STATES: Mapping[Phase, str] = {"waiting": "SCHEDULED", "running": "RUNNING", "succeeded": "SUCCESS", "failed": "FAILED", "cancelled": "CANCELLED"}
_SLOTS = 16


class EmrServerless:
    """The operations on job runs; `client` gives one of this server's own services."""

    def __init__(self, jobs: SparkJobs, client: Callable[[str], Any]) -> None:
        self._jobs, self._client = jobs, client

    def install(self) -> None:
        from moto.emrserverless.responses import EMRServerlessResponse

        put_in_place(EMRServerlessResponse, start_job_run=self.start, get_job_run=self.get, cancel_job_run=self.cancel, list_job_runs=self.list)

    def start(self, request: Any) -> Any:
        from moto.core.responses import ActionResult

        application, token = request._get_param("applicationId"), request._get_param("clientToken")
        known = next((j for j in self._jobs.of(_place(application)) if j.request["clientToken"] == token), None)
        job = known or self._begun(request, application, token)
        return ActionResult({"applicationId": application, "jobRunId": job.id, "arn": _arn(application, job)})

    def _begun(self, request: Any, application: str, token: str) -> SparkJob:
        from moto.emrserverless.exceptions import ValidationException

        given = request._get_param("jobDriver").get("sparkSubmit")
        refuse(ValidationException, None if given else "not supported locally: a job that is not sparkSubmit")
        overrides = request._get_param("configurationOverrides") or {}
        settings = spark_defaults(overrides.get("applicationConfiguration", ()))
        submit = shlex.split(given.get("sparkSubmitParameters", ""))
        script = script_of([*settings, *submit, given["entryPoint"], *given.get("entryPointArguments", ())])
        job = SparkJob(secrets.token_hex(8), request._get_param("name") or "", {"clientToken": token, "jobDriver": {"sparkSubmit": given}}, script)
        logs = overrides.get("monitoringConfiguration", {}).get("s3MonitoringConfiguration", {}).get("logUri")

        def report(ended: SparkJob) -> None:
            for name, data in (("stderr", ended.stderr), ("stdout", ended.stdout)) if logs else ():
                put_log(self._client("s3"), logs, f"applications/{application}/jobs/{ended.id}/SPARK_DRIVER/{name}.gz", data)

        self._jobs.start(_place(application), job, _SLOTS, report)
        return job

    def get(self, request: Any) -> Any:
        from moto.core.responses import ActionResult

        return ActionResult({"jobRun": _described(request._get_param("applicationId"), self._named(request))})

    def cancel(self, request: Any) -> Any:
        from moto.core.responses import ActionResult
        from moto.emrserverless.exceptions import ValidationException

        job = self._named(request)
        refuse(ValidationException, f"Job run {job.id} has ended" if job.has_ended else None)
        self._jobs.cancel(job)
        return ActionResult({"applicationId": request._get_param("applicationId"), "jobRunId": job.id})

    def list(self, request: Any) -> Any:
        from moto.core.responses import ActionResult

        application, wanted = request._get_param("applicationId"), request._get_param("states") or []
        found = [_described(application, j) for j in reversed(self._jobs.of(_place(application)))]
        return ActionResult({"jobRuns": [d for d in found if not wanted or d["state"] in wanted]})

    def _named(self, request: Any) -> SparkJob:
        from moto.emrserverless.exceptions import ResourceNotFoundException

        found = self._jobs.find(_place(request._get_param("applicationId")), request._get_param("jobRunId"))
        if found is None:
            raise ResourceNotFoundException(request._get_param("jobRunId"), "JobRun")
        return found


def _place(application: str) -> str:
    return f"emr-serverless {application}"


def _arn(application: str, job: SparkJob) -> str:
    return f"arn:aws:emr-serverless:us-east-1:123456789012:/applications/{application}/jobruns/{job.id}"


def _described(application: str, job: SparkJob) -> dict[str, Any]:
    return {
        "applicationId": application, "id": job.id, "jobRunId": job.id, "name": job.name, "arn": _arn(application, job), "createdBy": "local",
        "createdAt": job.created, "updatedAt": job.ended or job.started or job.created, "executionRole": "local",
        "state": state(job, _STATES, "CANCELLING"), "stateDetails": job.reason, "releaseLabel": "local", "jobDriver": job.request["jobDriver"],
    }  # fmt: skip
