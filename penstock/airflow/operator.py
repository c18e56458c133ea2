"""One step of a pipeline as an Airflow task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from penstock.errors import Retryable

if TYPE_CHECKING:
    from airflow.sdk import Context


class PenstockStepOperator(BaseOperator):  # type: ignore[misc]
    """Runs one step here, on the worker; the engine is imported when the task runs, never when the DAG is parsed.

    A `Retryable` error is retried as the task's `retries` say; any other fails the task at once. The record of the step goes to XCom.
    """

    template_fields = ("pipeline", "step", "env")

    def __init__(self, *, pipeline: str, step: str, env: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline, self.step, self.env = pipeline, step, env

    def execute(self, context: Context) -> dict[str, Any]:
        from penstock.cli.opening import ready
        from penstock.jobs.run import run

        loaded, plan = ready(Path(self.pipeline), self.env, (), interval=interval_of(context))
        finished = run(loaded, plan, select=self.step, watch=lambda event: self.log.info("%s %s %s", event.kind, event.step, event.message))
        if finished.error is not None:
            raise failure(str(finished.error), retryable=isinstance(finished.error, Retryable)) from finished.error
        record = finished.record.steps[0]
        return {
            "status": record.status,
            "batches": list(record.batches),
            "read": record.counts.read,
            "applied": record.counts.applied,
            "run": finished.record.id,
        }


def interval_of(context: Context) -> tuple[str, str] | None:
    """The data interval of a task's DAG run, each end as ISO 8601 has it; None for one without."""
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    return (start.isoformat(), end.isoformat()) if start and end else None


def failure(message: str, *, retryable: bool) -> AirflowException:
    """What fails the task: for good, or until its next try."""
    return AirflowException(message) if retryable else AirflowFailException(message)
