"""What a service that runs jobs must do for Penstock, and the one that a target names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from penstock.config import AwsSettings
from penstock.connectors.s3.access import client
from penstock.targets import Emr, EmrCluster, EmrServerless, Target

if TYPE_CHECKING:
    from penstock.runtimes import Artifact
    from penstock.runtimes.job_runs import Said


class JobRuns(Protocol):
    """The job runs of one target. Every method raises JobRefusedError when the service says no, ConnectionFailedError when it does not answer."""

    def start(self, artifact: Artifact, pipeline: str, arguments: tuple[str, ...], run: str) -> str:
        """Ask for a job run of a deployed version; its id. Raises ArgumentError for a place that is not there."""
        ...

    def find(self, pipeline: str, run: str) -> str | None:
        """The id of the job run that was asked for under this run's id, None when there is none."""
        ...

    def said(self, job_run: str) -> Said: ...

    def cancel(self, job_run: str) -> None:
        """Ask that it ends; it goes on until the service says so. Nothing where it has ended."""
        ...

    def driver_log(self, job_run: str, said: Said) -> tuple[str, str]:
        """Where the driver's logs lie, and as much of them as is there; each empty where there is none."""
        ...


def job_runs(target: Target, aws: AwsSettings) -> JobRuns:
    from .emr import EmrSteps
    from .emr_cluster import EmrClusters
    from .emr_serverless import EmrServerlessJobRuns
    from .glue import GlueJobRuns

    there = aws.at(target.region)
    once = replace(there, attempts=1)  # for what would be done twice when it is asked twice
    if isinstance(target, EmrServerless):
        return EmrServerlessJobRuns(target, client("emr-serverless", there), there)
    if isinstance(target, Emr):
        return EmrSteps(target, client("emr", there), client("emr", once), there)
    if isinstance(target, EmrCluster):
        return EmrClusters(target, client("emr", there), client("emr", once), there)
    return GlueJobRuns(target, client("glue", there), client("glue", once), there)
