"""EMR clusters on EC2, each made for one job run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from penstock.config import AwsSettings
from penstock.runtimes import Artifact, submit_request
from penstock.runtimes.emr import said as step_said
from penstock.runtimes.emr_cluster import said
from penstock.runtimes.job_runs import GONE, Said, job_name
from penstock.targets import EmrCluster

from .asking import Asked
from .emr import make_event_log_folder, step_driver_log


class EmrClusters:
    """The id of a job run is that of its cluster."""

    def __init__(self, target: EmrCluster, client: Any, once: Any, aws: AwsSettings) -> None:
        self._target, self._aws = target, aws
        self._service, self._once = (Asked("EMR on EC2", c) for c in (client, once))

    def start(self, artifact: Artifact, pipeline: str, arguments: tuple[str, ...], run: str) -> str:
        make_event_log_folder(self._target, self._aws)
        return str(self._once.make("run_job_flow", **submit_request(self._target, artifact, pipeline, arguments, run=run))["JobFlowId"])

    def find(self, pipeline: str, run: str) -> str | None:
        name = job_name(pipeline, run)
        begun = datetime.strptime(run[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        found = self._service.first("list_clusters", "Clusters", lambda cluster: cluster["Name"] == name, CreatedAfter=begun - timedelta(days=1))
        return str(found["Id"]) if found else None

    def said(self, job_run: str) -> Said:
        answer = self._service.get("describe_cluster", ClusterId=job_run)
        return said(answer) if answer else GONE

    def cancel(self, job_run: str) -> None:
        self._service.get("terminate_job_flows", JobFlowIds=[job_run])

    def driver_log(self, job_run: str, said: Said) -> tuple[str, str]:
        del said
        steps = (self._service.get("list_steps", ClusterId=job_run) or {}).get("Steps")
        return step_driver_log(self._target.logs, job_run, steps[0]["Id"], step_said({"Step": steps[0]}), self._aws) if steps else ("", "")
