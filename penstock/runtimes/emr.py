"""EMR on EC2: a step that calls spark-submit.

Seen in: docs.aws.amazon.com/emr/latest/ReleaseGuide/emr-spark-submit-step.html (command-runner.jar, cluster mode: the driver's log is that of the first
YARN container), docs.aws.amazon.com/emr/latest/APIReference/API_StepMonitoringConfiguration.html, …/API_S3MonitoringConfiguration.html,
…/API_StepStatus.html, …/API_FailureDetails.html (states, and the log that a failure is told in);
github.com/apache/spark docs/running-on-yarn.md (`spark.yarn.maxAppAttempts`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.targets import Emr, EmrCluster

from .artifact import Artifact
from .job_runs import Phase, Said, job_name, phase_of
from .settings import on_spark

_PHASES: Mapping[Phase, tuple[str, ...]] = {
    "waiting": ("PENDING",),
    "succeeded": ("COMPLETED",),
    "failed": ("FAILED", "INTERRUPTED"),
    "cancelled": ("CANCELLED",),
}


def said(answer: Mapping[str, Any]) -> Said:
    """From the answer of DescribeStep."""
    status = answer["Step"]["Status"]
    details = status.get("FailureDetails") or {}
    reason = details.get("Message") or (status.get("StateChangeReason") or {}).get("Message") or ""
    return Said(phase_of(status["State"], _PHASES), status["State"], reason, details.get("LogFile") or "")


APPLICATION = re.compile(r"\bapplication_\d+_\d+\b")


def containers(logs: str, cluster: str, application: str) -> str:
    """The folder of a YARN application's logs, one folder for each container."""
    return f"{logs}{cluster}/containers/{application}/"


def step_logs(logs: str | None, cluster: str, step: str, said: Said) -> str:
    """The folder of the logs in which EMR says that a failure is told, else of the step's; empty where they go nowhere that Penstock reads.

    A step's logs are those of spark-submit, which waits for the application.
    """
    if said.log:
        return f"{said.log.rpartition('/')[0]}/"
    return f"{logs}{cluster}/steps/{step}/" if logs else ""


def event_log_folder(target: Emr | EmrCluster) -> str | None:
    """Where Spark writes its event log; it must be there before, if only as an empty object of this name, or the application does not start."""
    return f"{target.logs}spark-events/" if target.logs else None


def spark_step(target: Emr | EmrCluster, artifact: Artifact, pipeline: str, arguments: Sequence[str], run: str) -> dict[str, Any]:
    """A step. A driver that dies ends it: what it did is in the tables, and the next run goes on from there."""
    settings = on_spark(target, artifact, "spark.yarn.appMasterEnv") | {"spark.yarn.maxAppAttempts": "1"}
    if folder := event_log_folder(target):
        settings |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": folder}
    options = [option for key, value in (settings | target.conf).items() for option in ("--conf", f"{key}={value}")]
    return {
        "Name": job_name(pipeline, run),
        "ActionOnFailure": "CONTINUE",
        "HadoopJarStep": {
            "Jar": "command-runner.jar",
            "Args": ["spark-submit", "--deploy-mode", "cluster", "--name", pipeline, *options, artifact.launch, *arguments],
        },
    }


def add_job_flow_steps(target: Emr, artifact: Artifact, pipeline: str, arguments: Sequence[str], run: str) -> dict[str, Any]:
    """The request of AddJobFlowSteps."""
    step = spark_step(target, artifact, pipeline, arguments, run)
    if target.logs:
        key = {"EncryptionKeyArn": target.kms_key} if target.kms_key else {}
        step["StepMonitoringConfiguration"] = {"S3MonitoringConfiguration": {"LogUri": target.logs, **key}}
    return {"JobFlowId": target.cluster, "Steps": [step], **({"ExecutionRoleArn": target.role} if target.role else {})}
