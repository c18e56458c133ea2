"""Steps of an EMR cluster on EC2. How many run at a time is the cluster's StepConcurrencyLevel; the others wait in its queue."""

from __future__ import annotations

from typing import Any

from penstock.config import AwsSettings
from penstock.connectors.stores import store_at
from penstock.errors import JobRefusedError
from penstock.runtimes import Artifact, submit_request
from penstock.runtimes.emr import APPLICATION, containers, event_log_folder, said, step_logs
from penstock.runtimes.job_runs import GONE, Said, job_name
from penstock.targets import Emr, EmrCluster

from .asking import Asked
from .logs import driver_log_in, first_container


class EmrSteps:
    def __init__(self, target: Emr, client: Any, once: Any, aws: AwsSettings) -> None:
        self._target, self._aws = target, aws
        self._service, self._once = (Asked(f"EMR cluster {target.cluster}", c) for c in (client, once))

    def start(self, artifact: Artifact, pipeline: str, arguments: tuple[str, ...], run: str) -> str:
        make_event_log_folder(self._target, self._aws)
        return str(self._once.do("add_job_flow_steps", **submit_request(self._target, artifact, pipeline, arguments, run=run))["StepIds"][0])

    def find(self, pipeline: str, run: str) -> str | None:
        name = job_name(pipeline, run)
        found = self._service.first("list_steps", "Steps", lambda step: step["Name"] == name, ClusterId=self._target.cluster)
        return str(found["Id"]) if found else None

    def said(self, job_run: str) -> Said:
        answer = self._service.get("describe_step", ClusterId=self._target.cluster, StepId=job_run)
        return said(answer) if answer else GONE

    def cancel(self, job_run: str) -> None:
        asked = {"ClusterId": self._target.cluster, "StepIds": [job_run], "StepCancellationOption": "SEND_INTERRUPT"}
        told = (self._service.get("cancel_steps", **asked) or {}).get("CancelStepsInfoList", ())
        if (refused := [t.get("Reason") or "it gives no reason" for t in told if t["Status"] == "FAILED"]) and not self.said(job_run).has_ended:
            raise JobRefusedError(f"{self._service.what} does not cancel step {job_run}: {refused[0]}")

    def driver_log(self, job_run: str, said: Said) -> tuple[str, str]:
        return step_driver_log(self._target.logs, self._target.cluster, job_run, said, self._aws)


def make_event_log_folder(target: Emr | EmrCluster, aws: AwsSettings) -> None:
    if folder := event_log_folder(target):
        store_at(folder.rsplit("/", 2)[0], aws).create("spark-events/", b"")


def step_driver_log(logs: str | None, cluster: str, step: str, said: Said, aws: AwsSettings) -> tuple[str, str]:
    """The driver's is that of the first container of the application that the step's own log names."""
    where, text = driver_log_in(step_logs(logs, cluster, step, said), aws)
    if logs and (application := APPLICATION.search(text)):
        folder = first_container(containers(logs, cluster, application[0]), aws)
        return driver_log_in(folder, aws) if folder else (where, text)
    return where, text
