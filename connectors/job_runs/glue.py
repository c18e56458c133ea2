"""Runs of an AWS Glue job, which is made when it is not there yet."""

from __future__ import annotations

from typing import Any

from penstock.config import AwsSettings
from penstock.connectors.reaching import known, reaching
from penstock.connectors.s3.access import client as client_of
from penstock.runtimes import Artifact, create_job, submit_request
from penstock.runtimes.glue import LOG_GROUPS, bears, said
from penstock.runtimes.job_runs import GONE, Said
from penstock.targets import Glue


class GlueJobRuns:
    def __init__(self, target: Glue, client: Any, aws: AwsSettings) -> None:
        self._target, self._client, self._aws = target, client, aws
        self._what = f"Glue job {target.job}"

    def start(self, artifact: Artifact, pipeline: str, arguments: tuple[str, ...], run: str) -> str:
        request = submit_request(self._target, artifact, pipeline, arguments, run=run)
        there = known(self._what, lambda: self._client.get_job(JobName=self._target.job))
        with reaching(self._what):
            if there is None:
                self._client.create_job(**create_job(self._target, artifact))
            return str(self._client.start_job_run(**request)["JobRunId"])

    def find(self, pipeline: str, run: str) -> str | None:
        del pipeline
        pages = self._client.get_paginator("get_job_runs").paginate(JobName=self._target.job)
        return known(self._what, lambda: next((str(j["Id"]) for page in pages for j in page["JobRuns"] if bears(j, run)), None))

    def said(self, job_run: str) -> Said:
        answer = known(self._what, lambda: self._client.get_job_run(JobName=self._target.job, RunId=job_run))
        return said(answer) if answer else GONE

    def cancel(self, job_run: str) -> None:
        with reaching(self._what):
            self._client.batch_stop_job_run(JobName=self._target.job, JobRunIds=[job_run])

    def driver_log(self, job_run: str, said: Said) -> tuple[str, str]:
        del said
        pages = client_of("logs", self._aws).get_paginator("filter_log_events").paginate

        def lines(group: str) -> list[str]:
            found = known("CloudWatch", lambda: [e["message"] for page in pages(logGroupName=group, logStreamNames=[job_run]) for e in page["events"]])
            return found or []

        return f"CloudWatch, log groups {' and '.join(LOG_GROUPS)}, stream {job_run}", "\n".join(line for group in LOG_GROUPS for line in lines(group))
