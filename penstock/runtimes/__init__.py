"""What a service is asked so that it runs a deployed version: pure functions, from a target to the parameters of its API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.targets import Emr, EmrCluster, EmrServerless, Target

from .artifact import Artifact
from .emr import add_job_flow_steps
from .emr_cluster import run_job_flow
from .emr_serverless import start_job_run
from .glue import create_job
from .glue import start_job_run as start_glue_job_run
from .local import HERE, master_of, placed, submit_args

__all__ = ["CALLS", "HERE", "Artifact", "create_job", "master_of", "placed", "submit_args", "submit_request"]

CALLS: Mapping[str, tuple[str, str]] = {
    "emr-serverless": ("emr-serverless", "start_job_run"),
    "emr": ("emr", "add_job_flow_steps"),
    "emr-cluster": ("emr", "run_job_flow"),
    "glue": ("glue", "start_job_run"),
}
"""The boto3 client and its method that takes the request, by the target's kind."""


def submit_request(target: Target, artifact: Artifact, pipeline: str, arguments: Sequence[str], *, run: str) -> dict[str, Any]:
    """The parameters of the method that `CALLS` names.

    `arguments` are those of `penstock run` after the pipeline: `("--env", "prod")`. `run` becomes the id of the run, by which the job is found again: it
    is in the name on EMR and EMR Serverless, which starts one job for it however often it is asked, and in the arguments on Glue.
    """
    given = (*(("--region", target.region) if target.region else ()), artifact.manifest, *arguments, "--run-id", run)
    if isinstance(target, EmrServerless):
        return start_job_run(target, artifact, pipeline, given, run)
    if isinstance(target, Emr):
        return add_job_flow_steps(target, artifact, pipeline, given, run)
    if isinstance(target, EmrCluster):
        return run_job_flow(target, artifact, pipeline, given, run)
    return start_glue_job_run(target, artifact, given)
