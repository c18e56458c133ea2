"""Steps of an EMR cluster on EC2. How many run at a time is the cluster's StepConcurrencyLevel; the others wait in its queue."""

from __future__ import annotations

from typing import Any

from penstock.config import AwsSettings
from penstock.connectors.reaching import known, reaching
from penstock.connectors.stores import store_at
from penstock.runtimes import Artifact, submit_request
from penstock.runtimes.emr import driver_logs, event_log_folder, said
from penstock.runtimes.job_runs import GONE, Said, job_name
from penstock.targets import Emr

from .logs import driver_log_in


class EmrSteps:
    def __init__(self, target: Emr, client: Any, aws: AwsSettings) -> None:
        self._target, self._client, self._aws = target, client, aws
        self._what = f"EMR cluster {target.cluster}"

    def start(self, artifact: Artifact, pipeline: str, arguments: tuple[str, ...], run: str) -> str:
        if folder := event_log_folder(self._target):
            store_at(folder.rsplit("/", 2)[0], self._aws).create("spark-events/", b"")
        with reaching(self._what):
            answer = self._client.add_job_flow_steps(**submit_request(self._target, artifact, pipeline, arguments, run=run))
        return str(answer["StepIds"][0])

    def find(self, pipeline: str, run: str) -> str | None:
        pages = self._client.get_paginator("list_steps").paginate(ClusterId=self._target.cluster)
        return known(self._what, lambda: next((str(s["Id"]) for page in pages for s in page["Steps"] if s["Name"] == job_name(pipeline, run)), None))

    def said(self, job_run: str) -> Said:
        answer = known(self._what, lambda: self._client.describe_step(ClusterId=self._target.cluster, StepId=job_run))
        return said(answer) if answer else GONE

    def cancel(self, job_run: str) -> None:
        with reaching(self._what):
            self._client.cancel_steps(ClusterId=self._target.cluster, StepIds=[job_run], StepCancellationOption="SEND_INTERRUPT")

    def driver_log(self, job_run: str, said: Said) -> tuple[str, str]:
        return driver_log_in(driver_logs(self._target, job_run, said), self._aws)
