"""Job runs of an EMR Serverless application."""

from __future__ import annotations

from typing import Any

from penstock.config import AwsSettings
from penstock.errors import JobRefusedError
from penstock.runtimes import Artifact, submit_request
from penstock.runtimes.emr_serverless import driver_logs, said
from penstock.runtimes.job_runs import GONE, Said, job_name
from penstock.targets import EmrServerless

from .asking import Asked
from .logs import driver_log_in


class EmrServerlessJobRuns:
    def __init__(self, target: EmrServerless, client: Any, aws: AwsSettings) -> None:
        self._target, self._aws = target, aws
        self._service = Asked(f"application {target.application} of EMR Serverless", client)

    def start(self, artifact: Artifact, pipeline: str, arguments: tuple[str, ...], run: str) -> str:
        return str(self._service.do("start_job_run", **submit_request(self._target, artifact, pipeline, arguments, run=run))["jobRunId"])

    def find(self, pipeline: str, run: str) -> str | None:
        name = job_name(pipeline, run)
        found = self._service.first("list_job_runs", "jobRuns", lambda job: job.get("name") == name, applicationId=self._target.application)
        return str(found["id"]) if found else None

    def said(self, job_run: str) -> Said:
        answer = self._service.get("get_job_run", applicationId=self._target.application, jobRunId=job_run)
        return said(answer) if answer else GONE

    def cancel(self, job_run: str) -> None:
        try:
            self._service.get("cancel_job_run", applicationId=self._target.application, jobRunId=job_run)
        except JobRefusedError:
            if not self.said(job_run).has_ended:
                raise

    def driver_log(self, job_run: str, said: Said) -> tuple[str, str]:
        del said
        return driver_log_in(driver_logs(self._target, job_run), self._aws)
