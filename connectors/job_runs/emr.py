"""Steps of an EMR cluster on EC2. How many run at a time is the cluster's StepConcurrencyLevel; the others wait in its queue."""

from __future__ import annotations

from typing import Any

from penstock.config import AwsSettings
from penstock.connectors.stores import store_at
from penstock.runtimes import Artifact, submit_request
from penstock.runtimes.emr import driver_logs, event_log_folder, said
from penstock.runtimes.job_runs import GONE, Said, job_name
from penstock.targets import Emr

from .asking import Asked
from .logs import driver_log_in


class EmrSteps:
    def __init__(self, target: Emr, client: Any, aws: AwsSettings) -> None:
        self._target, self._aws = target, aws
        self._service = Asked(f"EMR cluster {target.cluster}", client)

    def start(self, artifact: Artifact, pipeline: str, arguments: tuple[str, ...], run: str) -> str:
        if folder := event_log_folder(self._target):
            store_at(folder.rsplit("/", 2)[0], self._aws).create("spark-events/", b"")
        return str(self._service.do("add_job_flow_steps", **submit_request(self._target, artifact, pipeline, arguments, run=run))["StepIds"][0])

    def find(self, pipeline: str, run: str) -> str | None:
        name = job_name(pipeline, run)
        found = self._service.first("list_steps", "Steps", lambda step: step["Name"] == name, ClusterId=self._target.cluster)
        return str(found["Id"]) if found else None

    def said(self, job_run: str) -> Said:
        answer = self._service.get("describe_step", ClusterId=self._target.cluster, StepId=job_run)
        return said(answer) if answer else GONE

    def cancel(self, job_run: str) -> None:
        self._service.get("cancel_steps", ClusterId=self._target.cluster, StepIds=[job_run], StepCancellationOption="SEND_INTERRUPT")

    def driver_log(self, job_run: str, said: Said) -> tuple[str, str]:
        return driver_log_in(driver_logs(self._target, job_run, said), self._aws)
