"""AWS Glue.

Seen in: docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-etl-glue-arguments.html (`--scriptLocation`, `--conf`: one text, `--conf` before each
further setting), …/aws-glue-programming-python-libraries.html (`--extra-py-files`; `.gluewheels.zip` with `--no-index`; create_job),
…/monitor-spark-ui-jobs.html (`--spark-event-logs-path`), docs.aws.amazon.com/goto/WebAPI/glue/StartJobRun (a run's arguments replace those of the job),
…/aws-glue-api-jobs-runs.html (states, JobRunQueuingEnabled), …/monitor-continuous-logging-view.html (log groups; the driver's stream has the run's id).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.errors import ArgumentError
from penstock.targets import Glue

from .artifact import Artifact
from .job_runs import Phase, Said, phase_of

_LOG_GROUP = "/aws-glue/jobs"  # of jobs without a security configuration
_PHASES: Mapping[Phase, tuple[str, ...]] = {
    "waiting": ("STARTING", "WAITING"),
    "succeeded": ("SUCCEEDED",),
    "failed": ("FAILED", "TIMEOUT", "ERROR", "EXPIRED"),
    "cancelled": ("STOPPED",),
}
ARGUMENTS = "--penstock_arguments"  # jobs/bin/launch.py looks for it


def said(answer: Mapping[str, Any]) -> Said:
    """From the answer of GetJobRun."""
    found = answer["JobRun"]
    return Said(phase_of(found["JobRunState"], _PHASES), found["JobRunState"], found.get("ErrorMessage") or "", found.get("LogGroupName") or "")


def log_groups(said: Said) -> tuple[str, str]:
    """Where in CloudWatch the driver's stdout and stderr are, in streams of the run's id."""
    group = said.log.rstrip("/") or _LOG_GROUP
    return f"{group}/output", f"{group}/error"


def bears(job_run: Mapping[str, Any], run: str) -> bool:
    """True for the job run, of those that GetJobRuns lists, that was started for a run of Penstock."""
    return run in json.loads((job_run.get("Arguments") or {}).get(ARGUMENTS, "[]"))


def start_job_run(target: Glue, artifact: Artifact, arguments: Sequence[str]) -> dict[str, Any]:
    """The request of StartJobRun. All that belongs to the version is an argument of the run: the job itself stays as it is when another is deployed."""
    given = {"--scriptLocation": artifact.launch, **packages(target.conf, artifact), ARGUMENTS: json.dumps(list(arguments), separators=(",", ":"))}
    if target.logs:
        given |= {"--enable-spark-ui": "true", "--spark-event-logs-path": target.logs}
    return {"JobName": target.job, "JobRunQueuingEnabled": True, "Arguments": given, **_capacity(target)}


def packages(conf: Mapping[str, str], artifact: Artifact) -> dict[str, str]:
    """The arguments by which driver and executors find Penstock and what it needs, and Spark its settings."""
    return {
        "--extra-py-files": artifact.package,
        "--additional-python-modules": artifact.dependencies,
        "--python-modules-installer-option": "--no-index",
        **({"--conf": " --conf ".join(f"{key}={value}" for key, value in conf.items())} if conf else {}),
    }


def create_job(target: Glue, artifact: Artifact) -> dict[str, Any]:
    """The request of CreateJob, for a job that is not there yet. Raises ArgumentError when the target names no role for it."""
    if target.role is None:
        raise ArgumentError(f"the Glue job {target.job!r} is not there, and the runtime names no role to make it with", hint="give the runtime `role:`")
    return {
        "Name": target.job,
        "Role": target.role,
        "Command": {"Name": "glueetl", "ScriptLocation": artifact.launch, "PythonVersion": "3"},
        "GlueVersion": target.version,
        "ExecutionProperty": {"MaxConcurrentRuns": 1},
        "MaxRetries": 0,
        **_capacity(target),
    }


def _capacity(target: Glue) -> dict[str, Any]:
    return {
        "WorkerType": target.worker_type,
        "NumberOfWorkers": target.workers,
        **({"SecurityConfiguration": target.security_configuration} if target.security_configuration else {}),
        **({"Timeout": target.timeout_minutes} if target.timeout_minutes else {}),
    }
