"""Former states of a table: seen, asked, brought back."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pipelines import EVENTS, Project, event, events, lake


@pytest.fixture
def shop(tmp_path: Path, table_format: str) -> Project:
    """Three batches: 1 makes rows 1 and 2, 2 deletes row 1 and makes row 3, 3 pays row 2."""
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format))
    project.write("landing/orders/1.json", events(event("c", 1, 1, "new"), event("c", 2, 2, "new")))
    project.write("landing/orders/2.json", events(event("d", 1, 10), event("c", 3, 11, "new")))
    project.write("landing/orders/3.json", events(event("u", 2, 20, "paid")))
    assert project.record()[0].code == 0
    return project


def states(shop: Project, *arguments: str) -> list[tuple[int, str]]:
    done = shop.penstock("query", "SELECT id, state FROM lake.shop.orders ORDER BY id", "--json", *arguments)
    assert done.code == 0, done.err
    return [(r["id"], r["state"]) for r in done.json()]


ONE, TWO, THREE = [(1, "new"), (2, "new")], [(2, "new"), (3, "new")], [(2, "paid"), (3, "new")]


def test_history_names_run_and_batch_and_each_state_can_be_asked(shop: Project) -> None:
    done = shop.penstock("history", "lake.shop.orders", "--json")
    versions = [v for v in done.json() if v["batch"]]
    assert [v["batch"] for v in versions] == [3, 2, 1]
    assert len({v["run"] for v in versions}) == 1
    assert [states(shop, "--as-of", str(v["version"])) for v in versions] == [THREE, TWO, ONE]
    times = [datetime.fromisoformat(v["at"]) for v in versions]
    moment = timedelta(milliseconds=1)
    assert times[0] - moment > times[1] > times[2] + moment, "batches of one moment could not be told apart"
    assert [states(shop, "--as-of", at.isoformat()) for at in times] == [THREE, TWO, ONE]
    assert [states(shop, "--as-of", str(at - moment)) for at in times[:2]] == [TWO, ONE], "between two the older one stands"
    first = datetime.fromisoformat(done.json()[-1]["at"])
    before = shop.penstock("query", "SELECT * FROM lake.shop.orders", "--as-of", (first - moment).isoformat())
    assert (before.code, "it goes back to" in before.err, f"{first:%Y-%m-%d}" in before.err) == (2, True, True), before.err
    assert "operation" in shop.penstock("history", "lake.shop.orders").out


def test_a_run_says_which_state_its_last_batch_made(shop: Project) -> None:
    shop.write("landing/orders/4.json", events(event("u", 3, 30, "paid")))
    shop.write("landing/orders/5.json", events(event("u", 3, 31, "sent")))
    done, steps = shop.record()
    assert done.code == 0, done.err
    made = steps["orders"]["version"]
    assert made == lake(shop, "shop", "orders").history()[0].version
    assert states(shop, "--as-of", str(made)) == [(2, "paid"), (3, "sent")]
    (noted,) = shop.folder.glob(".penstock/state/**/orders/applied.json")
    assert (json.loads(noted.read_text())["batch"], json.loads(noted.read_text())["version"]) == (5, made)
    assert shop.record()[1]["orders"]["version"] is None


@pytest.mark.parametrize(
    ("when", "said"), [("2001-01-01", "has no state '2001-01-01': it goes back to"), ("soon", "'soon' is neither a time"), ("12345", "has no state")]
)
def test_a_time_without_a_state_is_refused(shop: Project, when: str, said: str) -> None:
    done = shop.penstock("query", "SELECT * FROM lake.shop.orders", "--as-of", when)
    assert (done.code, said in done.err) == (2, True), done.err


def test_rolled_back_and_skipped_the_batches_stay_undone(shop: Project) -> None:
    done = shop.penstock("rollback", "lake.shop.orders", "--to", "1", "--then", "skip")
    assert (done.code, "undone: 2, 3" in done.out) == (0, True), done.err
    assert states(shop) == ONE
    again, steps = shop.record()
    assert (again.code, steps["orders"]["status"], states(shop)) == (0, "nothing to do", ONE)
    shop.write("landing/orders/4.json", events(event("u", 1, 5, "seen")))
    assert shop.record()[0].code == 0
    assert states(shop) == [(1, "seen"), (2, "new")], "the delete of batch 2 is not remembered: it was undone"


def test_rolled_back_and_replayed_the_table_ends_as_it_was(shop: Project) -> None:
    done = shop.penstock("rollback", "lake.shop.orders", "--to", "1", "--then", "replay")
    assert (done.code, "cut again: 4, 5" in done.out) == (0, True), done.err
    assert states(shop) == ONE
    (state,) = json.loads(shop.penstock("state", ".", "--json").out)
    assert (state["applied"], state["waiting"]) == (3, 2)
    assert shop.record()[0].code == 0
    assert states(shop) == THREE
    assert shop.record()[1]["orders"]["status"] == "nothing to do"


@pytest.mark.parametrize(("to", "said"), [("3", "one of its batches 1 to 2"), ("0", "one of its batches 1 to 2")])
def test_a_batch_that_cannot_be_gone_back_to_is_refused(shop: Project, to: str, said: str) -> None:
    done = shop.penstock("rollback", "lake.shop.orders", "--to", to, "--then", "skip")
    assert (done.code, said in done.err) == (2, True), done.err
    assert states(shop) == THREE


def test_a_replay_waits_for_what_was_delivered_before(shop: Project) -> None:
    shop.write("landing/orders/4.json", events(event("u", 3, 30, "paid")))
    assert shop.record("--select", "changes")[0].code == 0
    done = shop.penstock("rollback", "lake.shop.orders", "--to", "1", "--then", "replay")
    assert (done.code, "batches 4 to 4 wait" in done.err) == (2, True), done.err
