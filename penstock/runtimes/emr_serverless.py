"""EMR Serverless.

Seen in: docs.aws.amazon.com/emr-serverless/latest/APIReference/API_StartJobRun.html, …/API_SparkSubmit.html, …/API_S3MonitoringConfiguration.html,
…/API_JobRun.html (states); docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/jobs-spark.html (`sparkSubmitParameters`, `spark-defaults`,
`spark.emr-serverless.*`), …/logging.html (where logs lie).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.targets import EmrServerless, EmrServerlessSession

from .artifact import Artifact
from .job_runs import Phase, Said, job_name, phase_of
from .settings import on_spark

_PHASES: Mapping[Phase, tuple[str, ...]] = {
    "waiting": ("SUBMITTED", "PENDING", "SCHEDULED", "QUEUED"),
    "succeeded": ("SUCCESS",),
    "failed": ("FAILED",),
    "cancelled": ("CANCELLED",),
}


def said(answer: Mapping[str, Any]) -> Said:
    """From the answer of GetJobRun."""
    found = answer["jobRun"]
    return Said(phase_of(found["state"], _PHASES), found["state"], found.get("stateDetails") or "")


def driver_logs(target: EmrServerless, job_run: str) -> str:
    """The folder of the driver's logs, empty where they go nowhere that Penstock reads."""
    return f"{target.logs}applications/{target.application}/jobs/{job_run}/SPARK_DRIVER/" if target.logs else ""


def of_application(target: EmrServerless | EmrServerlessSession, artifact: Artifact) -> dict[str, str]:
    """Settings of Spark by their names."""
    sizes = (("driver", target.driver), ("executor", target.executor))
    disks = {f"spark.emr-serverless.{who}.disk": size.disk for who, size in sizes if size and size.disk}
    return on_spark(target, artifact, "spark.emr-serverless.driverEnv") | disks


def start_job_run(target: EmrServerless, artifact: Artifact, pipeline: str, arguments: Sequence[str], run: str) -> dict[str, Any]:
    """The request of StartJobRun. Spark's event log goes to `logs` with the others; Penstock's settings have no spaces, the user's go as properties."""
    settings = of_application(target, artifact)
    overrides: dict[str, Any] = {}
    if target.conf:
        overrides["applicationConfiguration"] = [{"classification": "spark-defaults", "properties": dict(target.conf)}]
    if target.logs:
        key = {"encryptionKeyArn": target.kms_key} if target.kms_key else {}
        overrides["monitoringConfiguration"] = {"s3MonitoringConfiguration": {"logUri": target.logs, **key}}
    return {
        "applicationId": target.application,
        "clientToken": run,
        "executionRoleArn": target.role,
        "name": job_name(pipeline, run),
        "jobDriver": {
            "sparkSubmit": {
                "entryPoint": artifact.launch,
                "entryPointArguments": list(arguments),
                "sparkSubmitParameters": " ".join(f"--conf {key}={value}" for key, value in settings.items()),
            }
        },
        **({"configurationOverrides": overrides} if overrides else {}),
        **({"executionTimeoutMinutes": target.timeout_minutes} if target.timeout_minutes else {}),
    }
