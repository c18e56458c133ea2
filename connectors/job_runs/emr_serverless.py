"""Job runs of an EMR Serverless application."""

from __future__ import annotations

from typing import Any

from penstock.config import AwsSettings
from penstock.connectors.reaching import known, reaching
from penstock.runtimes import Artifact, submit_request
from penstock.runtimes.emr_serverless import driver_logs, said
from penstock.runtimes.job_runs import GONE, Said, job_name
from penstock.targets import EmrServerless

from .logs import driver_log_in


class EmrServerlessJobRuns:
    def __init__(self, target: EmrServerless, client: Any, aws: AwsSettings) -> None:
        self._target, self._client, self._aws = target, client, aws
        self._what = f"application {target.application} of EMR Serverless"

    def start(self, artifact: Artifact, pipeline: str, arguments: tuple[str, ...], run: str) -> str:
        with reaching(self._what):
            return str(self._client.start_job_run(**submit_request(self._target, artifact, pipeline, arguments, run=run))["jobRunId"])

    def find(self, pipeline: str, run: str) -> str | None:
        pages = self._client.get_paginator("list_job_runs").paginate(applicationId=self._target.application)
        return known(self._what, lambda: next((str(j["id"]) for page in pages for j in page["jobRuns"] if j.get("name") == job_name(pipeline, run)), None))

    def said(self, job_run: str) -> Said:
        answer = known(self._what, lambda: self._client.get_job_run(applicationId=self._target.application, jobRunId=job_run))
        return said(answer) if answer else GONE

    def cancel(self, job_run: str) -> None:
        with reaching(self._what):
            self._client.cancel_job_run(applicationId=self._target.application, jobRunId=job_run)

    def driver_log(self, job_run: str, said: Said) -> tuple[str, str]:
        del said
        return driver_log_in(driver_logs(self._target, job_run), self._aws)
