"""What two pipelines that write one table, each with a log of its own, must not do to each other's events."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pipelines import EVENTS, Project, context, event, events

from penstock.jobs.record import StepRecord
from penstock.jobs.run import run
from penstock.jobs.upkeep import maintain
from penstock.parse import load
from penstock.plan import compile_plan

START = datetime(2026, 1, 1, tzinfo=UTC)
ORDERS = "lake.shop.orders"


def pipeline(folder: Path, table_format: str, name: str, said: str = "", *, shared: bool = True) -> Project:
    """One of several pipelines that merge into one table; `said` of its merge."""
    text = EVENTS.replace("FORMAT", f"{table_format}{chr(10) + '    shared: true' if shared else ''}").replace("pipeline: shop", f"pipeline: {name}")
    project = Project(folder / name)
    project.write("pipeline.yaml", text.replace("warehouse: warehouse", f"warehouse: {folder}/warehouse").replace("orders}", f"orders{said}}}"))
    return project


def deliver(project: Project, day: int, *lines: str) -> StepRecord:
    """A file of events, and a run of that day."""
    project.write(f"landing/orders/{len(list((project.folder / 'landing').rglob('*.json')))}.json", events(*lines))
    loaded = load(project.folder)
    finished = run(loaded, compile_plan(loaded), now=START + timedelta(days=day))
    assert finished.error is None, finished.error
    return finished.record.steps[-1]


def states(project: Project) -> list[tuple[int, str]]:
    return [(r["id"], r["state"]) for r in project.rows(ORDERS, "id, state")]


@pytest.mark.parametrize(
    ("bound", "why"),
    [("retention: 10 days", "a horizon is a place in one log"), ("max_ahead: 1000", "may be of another pipeline's log")],
    ids=["late", "ahead"],
)
def test_a_bound_in_one_log_is_refused_for_a_table_of_several(tmp_path: Path, table_format: str, bound: str, why: str) -> None:
    """A pipeline at a million would have another one's sixth event for late, or its own first one for one from the future."""
    said = pipeline(tmp_path, table_format, "fast", f", {bound}").penstock("plan", ".")
    assert (said.code, why in said.err, "merge into a table of your own" in said.err) == (2, True, True), said.err
    assert pipeline(tmp_path, table_format, "alone", f", {bound}", shared=False).penstock("plan", ".").code == 0


def test_deletes_of_another_pipeline_are_not_forgotten(tmp_path: Path, table_format: str) -> None:
    """Whoever kept the table first has not said yet that it is shared, and maintains it."""
    first, second = pipeline(tmp_path, table_format, "first", ", retention: 10 days", shared=False), pipeline(tmp_path, table_format, "second")
    deliver(first, 0, event("c", 1, 50, "a"), event("d", 9, 51))
    deliver(second, 0, event("d", 2, 5))
    assert sum(m.forgotten for m in maintain(context(first), [ORDERS], now=START + timedelta(days=12))) == 0
    deliver(second, 12, event("c", 2, 4, "deleted at 5"))
    assert states(second) == [(1, "a")]


def killed_with_memory(project: Project, *lines: str) -> None:
    project.write("landing/orders/killed.json", events(*lines))
    assert project.process("run", ".", PENSTOCK_KILL_AT="after_memory").code == -signal.SIGKILL


def test_a_skipped_batch_takes_back_nothing_that_another_pipeline_remembered_before(tmp_path: Path, table_format: str) -> None:
    """Its batches bear greater numbers."""
    first, second = pipeline(tmp_path, table_format, "first"), pipeline(tmp_path, table_format, "second")
    deliver(first, 0, event("c", 1, 10, "a"), event("d", 9, 11))
    for key in (20, 21):
        deliver(second, 0, event("d", key, 5))
    killed_with_memory(first, event("d", 1, 90))
    skipped = first.penstock("batch", "skip", ".", "orders", "2")
    assert skipped.code == 0, skipped.err
    deliver(first, 1, event("u", 1, 80, "b"))
    deliver(second, 1, event("c", 20, 4, "deleted at 5"), event("c", 21, 4, "deleted at 5"))
    assert states(second) == [(1, "b")]


def test_a_batch_is_not_taken_back_from_under_what_another_pipeline_remembered_since(tmp_path: Path, table_format: str) -> None:
    first, second = pipeline(tmp_path, table_format, "first"), pipeline(tmp_path, table_format, "second")
    deliver(first, 0, event("c", 1, 10, "a"), event("d", 9, 11))
    killed_with_memory(first, event("d", 1, 90))
    deliver(second, 0, event("d", 20, 5))
    for verb in ("skip", "retry"):
        refused = first.penstock("batch", verb, ".", "orders", "2")
        assert (refused.code, "another pipeline's since" in refused.err, "apply the batch" in refused.err) == (1, True, True), refused.err
    deliver(first, 1, event("u", 1, 80, "b"))
    deliver(second, 1, event("c", 20, 4, "deleted at 5"))
    assert states(second) == []
