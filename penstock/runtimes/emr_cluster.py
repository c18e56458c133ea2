"""EMR on EC2: a cluster of instance fleets that is made for one step and ends with it.

Seen in: docs.aws.amazon.com/emr/latest/APIReference/API_RunJobFlow.html, …/API_InstanceFleetConfig.html, …/API_ClusterStatus.html,
…/API_ClusterStateChangeReason.html; docs.aws.amazon.com/emr/latest/ManagementGuide/emr-instance-fleet.html (one primary instance, weights, spot timeouts).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.targets import EmrCluster, Fleet

from .artifact import Artifact
from .emr import spark_step
from .job_runs import Phase, Said, job_name, phase_of

_PHASES: Mapping[Phase, tuple[str, ...]] = {"waiting": ("STARTING", "BOOTSTRAPPING"), "running": ("RUNNING", "WAITING")}
_ENDS: Mapping[str, Phase] = {"ALL_STEPS_COMPLETED": "succeeded", "USER_REQUEST": "cancelled"}
_LAUNCH = {"OnDemandSpecification": {"AllocationStrategy": "lowest-price"}}  # without a strategy EMR takes no more than five types


def said(answer: Mapping[str, Any]) -> Said:
    """From the answer of DescribeCluster. Why a cluster ends says how its step ended, before its instances are gone; of a failure the logs come with them."""
    status = answer["Cluster"]["Status"]
    state, why = status["State"], status.get("StateChangeReason") or {}
    phase = _ENDS.get(why.get("Code", ""), "failed") if state.startswith("TERMINAT") else phase_of(state, _PHASES)
    if state == "TERMINATING" and phase == "failed":
        phase = "running"
    return Said(phase, state, "; ".join(filter(None, (why.get("Code"), why.get("Message")))))


def run_job_flow(target: EmrCluster, artifact: Artifact, pipeline: str, arguments: Sequence[str], run: str) -> dict[str, Any]:
    """The request of RunJobFlow."""
    step = spark_step(target, artifact, pipeline, arguments, run) | {"ActionOnFailure": "TERMINATE_CLUSTER"}
    wanted = {
        "LogUri": target.logs,
        "LogEncryptionKmsKeyId": target.kms_key if target.logs else None,
        "StepExecutionRoleArn": target.role,
        "SecurityConfiguration": target.security_configuration,
        "Tags": [{"Key": key, "Value": value} for key, value in target.tags.items()],
    }
    return {
        "Name": job_name(pipeline, run),
        "ReleaseLabel": target.release,
        "Applications": [{"Name": "Spark"}],
        "ServiceRole": target.service_role,
        "JobFlowRole": target.instance_profile,
        "Instances": {
            "InstanceFleets": [_primary(target.primary), *(_fleet(kind, fleet) for kind, fleet in (("CORE", target.core), ("TASK", target.task)) if fleet)],
            "Ec2SubnetIds": target.subnets,
            "KeepJobFlowAliveWhenNoSteps": False,
            "TerminationProtected": False,
        },
        "Steps": [step],
        **{name: value for name, value in wanted.items() if value},
    }


def _primary(types: Sequence[str]) -> dict[str, Any]:
    configs = [{"InstanceType": t} for t in types]
    return {"InstanceFleetType": "MASTER", "TargetOnDemandCapacity": 1, "InstanceTypeConfigs": configs, "LaunchSpecifications": dict(_LAUNCH)}


def _fleet(kind: str, fleet: Fleet) -> dict[str, Any]:
    launch: dict[str, Any] = dict(_LAUNCH)
    if fleet.spot:
        within = {"TimeoutDurationMinutes": fleet.spot_within_minutes, "TimeoutAction": "SWITCH_TO_ON_DEMAND"}
        launch["SpotSpecification"] = within | {"AllocationStrategy": "price-capacity-optimized"}
    return {
        "InstanceFleetType": kind,
        "TargetOnDemandCapacity": fleet.on_demand,
        "TargetSpotCapacity": fleet.spot,
        "InstanceTypeConfigs": [{"InstanceType": t, "WeightedCapacity": units} for t, units in fleet.types.items()],
        "LaunchSpecifications": launch,
    }
