"""Two writers of one table: the one that slept finds another's commit, and changes nothing. Faults 9, 10, 13 and 32 of the catalogue."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pipelines import EVENTS, Project, event, events

FIRST = events(event("c", 1, 10, "new", "1.50"), event("c", 2, 11, "new"), event("d", 3, 13))
SECOND = events(event("d", 2, 20), event("c", 4, 21, "new", "99.99"))
EXPECTED = [{"id": 1, "state": "new", "amount": "1.50"}, {"id": 4, "state": "new", "amount": "99.99"}]


@pytest.fixture(params=["iceberg", "delta"])
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", request.param))
    project.write("landing/orders/1.json", FIRST)
    project.write("landing/orders/2.json", SECOND)
    return project


@pytest.mark.parametrize("point", ["after_cut", "before_commit", "after_memory", "after_commit", "after_commit:2"])
def test_a_stopped_writer_that_wakes_after_another_took_over_commits_nothing(shop: Project, point: str) -> None:
    with shop.stopped("run", ".", at=point) as woken:
        shop.end_lease()
        second = shop.penstock("run", ".")
        assert second.code == 0, second.err
        assert (shop.rows("lake.shop.orders"), shop.batches("lake.shop.orders")) == (EXPECTED, [2, 1])
        first = woken()
    assert first.code == 0, first.err
    assert (shop.rows("lake.shop.orders"), shop.batches("lake.shop.orders")) == (EXPECTED, [2, 1]), "each batch is in the table's history once"


def test_a_state_store_that_was_lost_stops_the_run_and_one_that_is_older_too(shop: Project) -> None:
    state, kept = shop.folder / ".penstock", shop.folder / "kept"
    assert shop.penstock("run", ".", "--select", "changes").code == 0
    shop.write("landing/orders/3.json", events(event("c", 9, 90, "new")))
    shutil.copytree(state, kept)
    assert shop.penstock("run", ".").code == 0
    shutil.rmtree(state)
    lost = shop.penstock("run", ".")
    assert (lost.code, "Traceback" in lost.err) == (1, False), lost.err
    shutil.rmtree(state)
    shutil.copytree(kept, state)
    older = shop.penstock("run", ".")
    assert (older.code, "Traceback" in older.err) == (1, False), older.err
    assert len(shop.rows("lake.shop.orders")) == 3, "nothing was applied twice, nothing lost"
