"""A whole pipeline as one Airflow task, where its environment's runtime is a service: one job run for all steps, followed to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, conf
from airflow.triggers.base import BaseTrigger, TriggerEvent

from penstock.airflow.operator import failure, interval_of
from penstock.errors import ConnectionFailedError, PenstockError, Retryable

if TYPE_CHECKING:
    from airflow.sdk import Context

    from penstock.cli.job_run import JobRun
    from penstock.connectors.job_runs.service import JobRuns
    from penstock.jobs.context import Context as Opened
    from penstock.jobs.remote import Submission


class PenstockJobRunOperator(BaseOperator):  # type: ignore[misc]
    """Has the service run the version that is deployed, and follows it to its end.

    A worker that is lost leaves the job run at work, and the task's next try follows it; a task that is killed cancels it.

    `deferrable`: wait in the triggerer, so that no worker is held; without it as `operators.default_deferrable` of Airflow's configuration says.
    """

    template_fields = ("pipeline", "env")

    def __init__(self, *, pipeline: str, env: str | None = None, deferrable: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline, self.env = pipeline, env
        self.deferrable = conf.getboolean("operators", "default_deferrable", fallback=False) if deferrable is None else deferrable
        self._at_work: JobRun | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        from penstock.cli.job_run import submitted

        interval = interval_of(context)
        with _as_airflow():
            opened = self._opened(context)
            arguments = (f"--env={opened.loaded.env}", *([f"--data-interval={'/'.join(interval)}"] if interval else []))
            self._at_work = submitted(opened, arguments, self._say)
        self._at_work.announce(self._say)
        if self.deferrable:
            is_local = opened.loaded.environment.aws == "local"
            self.defer(trigger=JobRunEnded(submission=self._at_work.submission.dumps().decode(), is_local=is_local), method_name="resume")
        return self._ended(self._at_work)

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """A deferred task when its job run has ended, or has waited for its place as long as the runtime allows."""
        from penstock.cli.job_run import JobRun
        from penstock.jobs.remote import Submission

        with _as_airflow():
            opened = self._opened(context)
        self._at_work = JobRun(opened.state, Submission.loads(event["submission"].encode()), opened.aws)
        return self._ended(self._at_work, event["waited"])

    def on_kill(self) -> None:
        if self._at_work:
            self._at_work.cancel()

    def _opened(self, context: Context) -> Opened:
        from datetime import UTC, datetime

        from penstock.cli.opening import ready
        from penstock.jobs.context import Context as Opened
        from penstock.jobs.run import new_run_id

        loaded, plan = ready(Path(self.pipeline), self.env, (), interval=interval_of(context))
        return Opened(loaded, plan, new_run_id(datetime.now(UTC)))

    def _say(self, event: Any) -> None:
        self.log.info("%s: %s", event.step, event.message)

    def _ended(self, found: JobRun, waited: float = 0.0) -> dict[str, Any]:
        with _as_airflow():
            ended = found.follow(self._say, waited)
        if ended.error:
            raise failure(f"{ended.error}\n  log: {ended.log}" if ended.log else ended.error, retryable=ended.is_retryable)
        steps = ended.record.steps if ended.record else ()
        return {"run": found.submission.run, "job_run": found.submission.job_run, "steps": {s.step: s.status for s in steps}}


class JobRunEnded(BaseTrigger):  # type: ignore[misc]
    """Fires when a job run has ended, has waited too long for its place, or its service is silent for long: what then happens, a worker decides.

    `is_local`: the service is that of the local AWS, of which the triggerer's process need not know.
    """

    def __init__(self, *, submission: str, is_local: bool = False) -> None:
        super().__init__()
        self.submission, self.is_local = submission, is_local

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__name__}", {"submission": self.submission, "is_local": self.is_local}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from penstock.jobs.remote import asked_after

        service, found = await asyncio.to_thread(self._followed)
        asked, waited = asked_after(lambda: service.said(found.job_run)), 0.0
        with suppress(ConnectionFailedError):
            while True:
                said, waited, pause = await asyncio.to_thread(next, asked)
                if said.has_ended or found.is_late(said, waited):
                    break
                await asyncio.sleep(pause)
        yield TriggerEvent({"waited": waited, "submission": self.submission})

    async def on_kill(self) -> None:
        service, found = await asyncio.to_thread(self._followed)
        await asyncio.to_thread(service.cancel, found.job_run)

    def _followed(self) -> tuple[JobRuns, Submission]:
        from penstock.config import AwsSettings
        from penstock.connectors.job_runs.service import job_runs
        from penstock.jobs.remote import Submission

        found = Submission.loads(self.submission.encode())
        return job_runs(found.target, AwsSettings.from_environment(self._local_aws() if self.is_local else None)), found

    def _local_aws(self) -> dict[str, str]:
        from penstock.cli.local import ensure_up

        return ensure_up().environment()


@contextmanager
def _as_airflow() -> Iterator[None]:
    try:
        yield
    except PenstockError as error:
        raise failure(str(error), retryable=isinstance(error, Retryable)) from error
