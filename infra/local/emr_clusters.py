"""EMR's clusters that end with their step: its state and its end are the cluster's. Any other cluster is moto's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .emr import Emr, place_of, taken
from .job_runs import put_in_place
from .spark_jobs import Phase, SparkJobs

_STATES: Mapping[Phase, tuple[str, str | None]] = {
    "waiting": ("STARTING", None),
    "running": ("RUNNING", None),
    "succeeded": ("TERMINATED", "ALL_STEPS_COMPLETED"),
    "failed": ("TERMINATED_WITH_ERRORS", "STEP_FAILURE"),
    "cancelled": ("TERMINATED", "USER_REQUEST"),
}
_MESSAGES = {"ALL_STEPS_COMPLETED": "Steps completed", "STEP_FAILURE": "Shut down as step failed", "USER_REQUEST": "Terminated by user request"}


class EmrClusters:
    """The operations on clusters; `client` gives one of this server's own services."""

    def __init__(self, jobs: SparkJobs, client: Callable[[str], Any]) -> None:
        self._jobs, self._steps = jobs, Emr(jobs, client)

    def install(self) -> None:
        from moto.emr.models import Cluster
        from moto.emr.responses import ElasticMapReduceResponse as Moto

        self._run, self._end, of_moto = Moto.run_job_flow, Moto.terminate_job_flows, Cluster.status
        put_in_place(Moto, run_job_flow=self.run, terminate_job_flows=self.end)
        Cluster.status = property(lambda cluster: of_moto.fget(cluster) | self._status(cluster))

    def run(self, request: Any) -> Any:
        from moto.emr.exceptions import ValidationException

        steps = [step.original_dict() for step in request._get_param("Steps", [])]
        if len(steps) > 1 and not request._get_bool_param("Instances.KeepJobFlowAliveWhenNoSteps", False):
            raise ValidationException("not supported locally: a cluster that ends after several steps")
        jobs = [taken(step) for step in steps]
        answer = self._run(request)
        for job in jobs:
            self._steps.begin(answer.result["JobFlowId"], job, request._get_param("LogUri"), request._get_param("StepConcurrencyLevel") or 1)
        return answer

    def end(self, request: Any) -> Any:
        self._jobs.cancel(*(job for cluster in request._get_param("JobFlowIds", []) for job in self._jobs.of(place_of(cluster)) if not job.has_ended))
        return self._end(request)

    def _status(self, cluster: Any) -> dict[str, Any]:
        jobs = self._jobs.of(place_of(cluster.id))
        if cluster.keep_job_flow_alive_when_no_steps or not jobs:
            return {}
        job = jobs[0]
        state, code = ("TERMINATING", "USER_REQUEST") if job.is_cancelled and not job.has_ended else _STATES[job.phase]
        times = {"CreationDateTime": job.created, "ReadyDateTime": job.started, "EndDateTime": job.ended}
        why = {"Code": code, "Message": _MESSAGES[code]} if code else {}
        return {"State": state, "StateChangeReason": why, "Timeline": times}
