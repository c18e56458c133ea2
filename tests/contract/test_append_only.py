"""A table without keys takes the inserts of change data, each once, whatever is delivered twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipelines import EVENTS, Project, event, events, truncate


@pytest.fixture(params=["iceberg", "delta"])
def clicks(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    project = Project(tmp_path)
    text = (
        EVENTS.replace("FORMAT", request.param)
        .replace("    keys: [id]\n", "")
        .replace("merge: {from: changes, into: lake.shop.orders}", "copy: {from: changes, into: lake.shop.orders}")
    )
    project.write("pipeline.yaml", text)
    return project


def test_inserts_are_appended_once_and_other_events_kept_aside(clicks: Project) -> None:
    first = [event("c", 1, 10, "a"), event("c", 1, 11, "a"), event("r", 2, 12, "b", "1.50"), event("c", 1, 10, "a")]
    clicks.write("landing/orders/1.json", events(*first))
    clicks.write("landing/orders/2.json", events(first[2], event("c", 3, 20), event("u", 3, 21, "x"), event("d", 3, 22), truncate(23)))
    done, steps = clicks.record()
    assert done.code == 0, done.err
    counts = {"read": 9, "applied": 4, "unchanged": 1, "superseded": 0, "duplicate": 1, "filtered": 0, "quarantined": 3}
    assert steps["orders"]["counts"] == counts
    found = [(r["id"], r["state"], r["amount"]) for r in clicks.rows("lake.shop.orders")]
    assert found == [(1, "a", None), (1, "a", None), (2, "b", "1.50"), (3, None, None)]
    assert {r["__reason"] for r in clicks.rows("lake.shop.orders__quarantine", "__reason")} == {"a table without keys takes inserts alone"}


def test_change_data_is_not_appended_to_a_keyed_table(clicks: Project) -> None:
    clicks.write("pipeline.yaml", clicks.text("pipeline.yaml").replace("    columns: {id", "    keys: [id]\n    columns: {id"))
    wrong = clicks.penstock("plan", ".")
    assert (wrong.code, "append its inserts to a table without keys" in wrong.err) == (2, True), wrong.err
