"""EMR's steps: what is submitted runs, as many at a time as the cluster's StepConcurrencyLevel says. Any cluster may be named; it is there."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from tempfile import gettempdir
from typing import Any

from .job_runs import put_in_place, put_log, refuse, script_of, state
from .spark_jobs import Phase, SparkJob, SparkJobs

_STATES: Mapping[Phase, str] = {"waiting": "PENDING", "running": "RUNNING", "succeeded": "COMPLETED", "failed": "FAILED", "cancelled": "CANCELLED"}


class Emr:
    """The operations on steps; `client` gives one of this server's own services."""

    def __init__(self, jobs: SparkJobs, client: Callable[[str], Any]) -> None:
        self._jobs, self._client = jobs, client

    def install(self) -> None:
        from moto.emr.responses import ElasticMapReduceResponse

        put_in_place(ElasticMapReduceResponse, add_job_flow_steps=self.add, describe_step=self.describe, list_steps=self.list, cancel_steps=self.cancel)

    def add(self, request: Any) -> Any:
        from moto.core.responses import ActionResult

        cluster = request._get_param("JobFlowId")
        there = request.backend.clusters.get(cluster)
        slots = int(getattr(there, "step_concurrency_level", None) or 1)
        steps = [step.original_dict() for step in request._get_param("Steps", [])]
        logs = [step.get("StepMonitoringConfiguration", {}).get("S3MonitoringConfiguration", {}).get("LogUri") for step in steps]
        jobs = [taken(step) for step in steps]
        for job, there in zip(jobs, logs, strict=True):
            self.begin(cluster, job, there, slots)
        return ActionResult({"StepIds": [job.id for job in jobs]})

    def begin(self, cluster: str, job: SparkJob, logs: str | None, slots: int) -> None:
        """Have a step run on a cluster; `logs`: the folder on S3 for them."""
        application = f"application_{secrets.randbelow(10**10)}_0001"

        def report(ended: SparkJob) -> None:
            """In cluster mode the driver is YARN's first container; the step's own log is that of the client, which waited for it."""
            if not logs:
                return
            for name, data in (("stdout", ended.stdout), ("stderr", ended.stderr)):
                put_log(self._client("s3"), logs, f"{cluster}/containers/{application}/container_{application.partition('_')[2]}_01_000001/{name}.gz", data)
            said = f"INFO Client: Application report for {application} (state: FINISHED)\n".encode()
            ended.request = {"LogFile": put_log(self._client("s3"), logs, f"{cluster}/steps/{ended.id}/stderr.gz", said)}

        self._jobs.start(place_of(cluster), job, slots, report)

    def describe(self, request: Any) -> Any:
        from moto.core.responses import ActionResult
        from moto.emr.exceptions import InvalidRequestException

        job = self._jobs.find(place_of(request._get_param("ClusterId")), request._get_param("StepId"))
        if job is None:
            raise InvalidRequestException(f"Step id '{request._get_param('StepId')}' is not valid")
        return ActionResult({"Step": _described(job)})

    def list(self, request: Any) -> Any:
        from moto.core.responses import ActionResult

        states, identifiers = request._get_param("StepStates", []), request._get_param("StepIds", [])
        found = [_described(j) for j in reversed(self._jobs.of(place_of(request._get_param("ClusterId")))) if not identifiers or j.id in identifiers]
        return ActionResult({"Steps": [d for d in found if not states or d["Status"]["State"] in states]})

    def cancel(self, request: Any) -> Any:
        from moto.core.responses import ActionResult

        asked = [(i, self._jobs.find(place_of(request._get_param("ClusterId")), i)) for i in request._get_param("StepIds", [])]
        at_work = {i: job for i, job in asked if job and not job.has_ended}
        for job in at_work.values():
            self._jobs.cancel(job)
        return ActionResult({"CancelStepsInfoList": [{"StepId": i, "Status": "SUBMITTED" if i in at_work else "FAILED"} for i, _ in asked]})


def taken(step: Mapping[str, Any]) -> SparkJob:
    """A step as a job. Raises InvalidRequestException for one that is not spark-submit."""
    from moto.emr.exceptions import InvalidRequestException

    given = step["HadoopJarStep"]
    program, *words = given.get("Args") or [""]
    is_spark = given["Jar"] == "command-runner.jar" and program == "spark-submit"
    refuse(InvalidRequestException, None if is_spark else "not supported locally: a step that is not command-runner.jar with spark-submit")
    script = script_of(words)
    container = {"CONTAINER_ID": "container_0_0000_01_000001", "LOCAL_DIRS": gettempdir()}
    in_container = replace(script, environment={**script.environment, **container})
    return SparkJob(f"s-{secrets.token_hex(7).upper()}", step["Name"], {}, in_container)


def place_of(cluster: str) -> str:
    return f"emr {cluster}"


def _described(job: SparkJob) -> dict[str, Any]:
    timeline = {"CreationDateTime": job.created, "StartDateTime": job.started, "EndDateTime": job.ended}
    failure = {"FailureDetails": {"Reason": "Unknown Error.", "Message": job.reason, **job.request}} if job.phase == "failed" else {}
    status = {"State": state(job, _STATES, "CANCEL_PENDING"), "StateChangeReason": {}, "Timeline": timeline, **failure}
    return {"Id": job.id, "Name": job.name, "ActionOnFailure": "CONTINUE", "Config": {}, "Status": status}
