"""From a pipeline file to a DAG. Imported by the scheduler: reads the file and its plan, and no engine."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import DAG, Asset

from penstock.airflow.job_run import PenstockJobRunOperator
from penstock.airflow.operator import PenstockStepOperator
from penstock.parse import load
from penstock.plan import PlannedStep, compile_plan


def asset_uri(location: str) -> str:
    """What a table is called among Airflow's assets."""
    return "x-penstock://" + location.replace(".", "/")


def dag_of(file: Path, env: str | None = None) -> DAG:
    """The DAG of one pipeline file; raises PipelineFileError, which Airflow shows as an import error, when the file is wrong.

    One task a step, one at a time: a pipeline's steps share one lease, and each picks up where the last run left it. Where the environment's runtime is a
    service there is one task, `run`, for all: a job run of each step would be a start of Spark for each.
    """
    loaded = load(file, env=env)
    plan = compile_plan(loaded)
    dag = DAG(
        loaded.pipeline.pipeline,
        schedule=loaded.pipeline.schedule,
        start_date=datetime(2025, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        max_active_tasks=1,
        tags=["penstock"],
        default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
        doc_md=f"`{file.parent.name}/{file.name}`: change the file, not the DAG.",
    )
    if loaded.environment.runtime:
        PenstockJobRunOperator(task_id="run", pipeline=str(file), env=loaded.env, dag=dag, outlets=_assets(plan.steps))
        return dag
    tasks = {
        step.id: PenstockStepOperator(task_id=step.id, pipeline=str(file), step=step.id, env=loaded.env, dag=dag, outlets=_assets([step]))
        for step in plan.steps
    }
    for step in plan.steps:
        tasks[step.id].set_upstream([tasks[before] for before in step.after])
    return dag


def _assets(steps: Iterable[PlannedStep]) -> list[Asset]:
    return [Asset(asset_uri(written)) for step in steps for written in step.writes if "/" not in written]
