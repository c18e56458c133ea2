"""Runs of an AWS Glue job, which is made when it is not there yet."""

from __future__ import annotations

from typing import Any

from penstock.config import AwsSettings
from penstock.connectors.s3.access import client as client_of
from penstock.errors import JobRefusedError
from penstock.runtimes import Artifact, create_job, submit_request
from penstock.runtimes.glue import bears, log_groups, said
from penstock.runtimes.job_runs import GONE, Said
from penstock.targets import Glue

from .asking import Asked


class GlueJobRuns:
    def __init__(self, target: Glue, client: Any, once: Any, aws: AwsSettings) -> None:
        self._target, self._aws = target, aws
        self._service, self._once = (Asked(f"Glue job {target.job}", c) for c in (client, once))

    def start(self, artifact: Artifact, pipeline: str, arguments: tuple[str, ...], run: str) -> str:
        if self._service.get("get_job", JobName=self._target.job) is None:
            self._service.do("create_job", **create_job(self._target, artifact))
        return str(self._once.do("start_job_run", **submit_request(self._target, artifact, pipeline, arguments, run=run))["JobRunId"])

    def find(self, pipeline: str, run: str) -> str | None:
        del pipeline
        found = self._service.first("get_job_runs", "JobRuns", lambda job_run: bears(job_run, run), JobName=self._target.job)
        return str(found["Id"]) if found else None

    def said(self, job_run: str) -> Said:
        answer = self._service.get("get_job_run", JobName=self._target.job, RunId=job_run)
        return said(answer) if answer else GONE

    def cancel(self, job_run: str) -> None:
        answer = self._service.get("batch_stop_job_run", JobName=self._target.job, JobRunIds=[job_run])
        if (errors := (answer or {}).get("Errors")) and not self.said(job_run).has_ended:
            raise JobRefusedError(f"{self._service.what} does not stop run {job_run}: {errors[0]['ErrorDetail'].get('ErrorMessage')}")

    def driver_log(self, job_run: str, said: Said) -> tuple[str, str]:
        logs, groups = Asked("CloudWatch Logs", client_of("logs", self._aws)), log_groups(said)
        answers = [logs.get("get_log_events", logGroupName=group, logStreamName=job_run, startFromHead=False) for group in groups]
        text = "\n".join(event["message"] for answer in answers if answer for event in answer["events"])
        return f"CloudWatch, log groups {' and '.join(groups)}, stream {job_run}", text
