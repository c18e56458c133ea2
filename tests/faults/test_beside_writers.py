"""Maintenance and a writer, each in a process of its own: in-flight files stay, nobody's update is lost. Fault 29 of the catalogue."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pipelines import EVENTS, Project, append_as_others, context, event, events, lake

from penstock.jobs.maintain import Maintained, maintain

LATER = datetime.now(UTC) + timedelta(days=30)
ORDERS = "lake.shop.orders"
EXPECTED = [*((i, "new") for i in (1, 2, 4, 5)), (6, "paid")]


@pytest.fixture(params=["iceberg", "delta"])
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    """Two small files, one of another writer, days old; a second batch that touches both waits. Nothing of the past is to be kept."""
    project, policy = Project(tmp_path), "{min_files: 2, max_manifests: 2, keep_snapshots: 0 hours}"
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", f"{request.param}\n    maintain: {policy}"))
    project.write("landing/orders/1.json", events(*(event("c", i, i, "new") for i in (1, 2, 3))))
    assert project.record()[0].code == 0
    append_as_others(lake(project, "shop", "orders"), *({"id": i, "state": "new", "__sequence_1": i, "__sequence_2": i} for i in (4, 5, 6)))
    for file in pending(project):
        os.utime(file, (time.time() - 5 * 86_400,) * 2)
    project.write("landing/orders/2.json", events(event("d", 3, 90), event("u", 6, 91, "paid")))
    return project


def maintained(project: Project) -> Maintained:
    """A month later, so that by its age every file might go."""
    return next(m for m in maintain(context(project), now=LATER) if m.location == ORDERS)


def ends_well(project: Project) -> None:
    assert [(r["id"], r["state"]) for r in project.rows(ORDERS, "id, state")] == EXPECTED
    assert project.record()[1]["orders"]["status"] == "nothing to do"


def pending(project: Project) -> set[Path]:
    return set(project.folder.glob("warehouse/shop/orders-*/**/*.parquet"))


def test_files_of_a_writer_at_work_are_not_orphans(shop: Project) -> None:
    before = pending(shop)
    with shop.stopped("run", ".", at="before_commit:2") as woken:
        written = pending(shop) - before
        assert written
        maintained(shop)
        assert written <= pending(shop)
        done = woken()
    assert done.code == 0, done.err
    ends_well(shop)


def test_a_state_that_a_run_is_about_to_pin_stays(shop: Project) -> None:
    """It read which state the table has, and its batch does not say so yet; then a compaction takes that state's place."""
    text = shop.text("pipeline.yaml").replace("steps:", "  lake.shop.states: {format: iceberg, columns: {state: string, orders: bigint}}\nsteps:")
    shop.write("pipeline.yaml", text + "  - {id: states, transform: {sql: states.sql, into: lake.shop.states}}\n")
    shop.write("states.sql", "SELECT state, count(*) AS orders FROM lake.shop.orders GROUP BY state")
    (shop.folder / "landing/orders/2.json").unlink()
    with shop.stopped("run", ".", at="before_cut") as woken:
        assert maintained(shop).compacted == 1
        done = woken()
    assert done.code == 0, done.err
    assert shop.rows("lake.shop.states") == [{"state": "new", "orders": 6}]


def test_a_writer_whose_files_were_taken_for_orphans_writes_them_anew(shop: Project) -> None:
    """It slept for so long that its lease ran out and its files grew old."""
    before = pending(shop)
    with shop.stopped("run", ".", at="before_commit:2") as woken:
        written = pending(shop) - before
        shop.end_lease()
        maintained(shop)
        assert not written & pending(shop)
        done = woken()
    assert done.code == 0, done.err
    ends_well(shop)


def test_a_merge_is_planned_anew_on_what_a_compaction_left(shop: Project) -> None:
    with shop.stopped("run", ".", at="before_commit:2") as woken:
        assert maintained(shop).compacted == 1
        done = woken()
    assert done.code == 0, done.err
    ends_well(shop)


def test_a_compaction_yields_to_a_merge_of_its_files(shop: Project) -> None:
    with shop.stopped("maintain", "--all", at="before_compaction_commit") as woken:
        assert shop.record()[0].code == 0
        done = woken()
    assert done.code == 0, done.err
    ends_well(shop)
