"""Hosts whose clocks are a day ahead or behind: their runs and their maintenance, one after another and beside a writer. Fault 32 of the catalogue."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from foreign import TOOLS
from pipelines import EVENTS, Project, event, events

DAY = 86_400
ORDERS = "lake.shop.orders"
Clock = Callable[[float], None]


@pytest.fixture
def shop(tmp_path: Path, table_format: str) -> Project:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format))
    project.write("landing/orders/1.json", events(event("c", 1, 10, "new"), event("c", 2, 11, "new")))
    return project


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Sets the clock of this process so many seconds ahead, for what orders work or is written into tables."""
    real, ahead = time.time, 0.0

    class Skewed(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=ahead)

    def set_ahead(seconds: float) -> None:
        nonlocal ahead
        ahead = seconds

    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    import pyiceberg.table.update  # noqa: F401

    for name, module in list(sys.modules.items()):
        if name.startswith(("penstock.jobs.", "penstock.cli.", "pyiceberg.table.update")):
            for known in {"datetime"} & vars(module).keys():
                monkeypatch.setattr(module, known, Skewed)
    return set_ahead


def states(project: Project) -> list[tuple[int, str]]:
    return [(r["id"], r["state"]) for r in project.rows(ORDERS, "id, state")]


def goes_back(times: Sequence[int]) -> bool:
    return any(later < former for former, later in pairwise(times))


def test_runs_by_clocks_that_differ_follow_one_another(shop: Project, table_format: str, clock: Clock) -> None:
    """The first is a day ahead, the others are behind it and behind each other; one of them adds a column, and one maintains."""
    declared = shop.text("pipeline.yaml")
    shop.write("pipeline.yaml", declared.replace(', amount: "decimal(12,2)"', ""))
    for number, ahead in enumerate((DAY, 0, -DAY, 0), start=1):
        clock(ahead)
        shop.write(f"landing/orders/{number}.json", events(event("c", number, 10 * number, "new"), event("d", number - 1, 10 * number + 1)))
        if ahead < 0:
            shop.write("pipeline.yaml", declared)
        done, steps = shop.record()
        assert (done.code, steps["orders"]["batches"]) == (0, [number]), done.err
        maintained = shop.penstock("maintain", "--all")
        assert (maintained.code, states(shop)) == (0, [(number, "new")]), maintained.err
    assert shop.batches(ORDERS) == [4, 3, 2, 1]
    if table_format == "iceberg":
        table: Any = TOOLS[table_format](shop).table("shop.orders")
        logs = table.metadata.snapshot_log, table.metadata.metadata_log
        assert not [times for log in logs if goes_back(times := [*(e.timestamp_ms for e in log), table.metadata.last_updated_ms])], "Java refuses it"


SHORTEST = "{orphans_after: 1 day, keep_snapshots: 1 day}"


@pytest.mark.parametrize(("ahead", "policy"), [(DAY, "{}"), (-DAY, SHORTEST), (DAY + 60, SHORTEST)], ids=["ahead", "behind", "ahead of the shortest time"])
def test_maintenance_by_another_clock_takes_nothing_from_a_writer_at_work(shop: Project, clock: Clock, ahead: float, policy: str) -> None:
    """What it takes for old, where files are kept no longer than clocks differ, the writer finds gone, and writes anew."""
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("keys: [id]", f"keys: [id]\n    maintain: {policy}"))
    assert shop.record()[0].code == 0
    shop.write("landing/orders/2.json", events(event("u", 1, 20, "paid"), event("d", 2, 21)))
    before = set(shop.folder.glob("warehouse/**/*.*"))
    with shop.stopped("run", ".", at="before_commit:2") as woken:
        written = set(shop.folder.glob("warehouse/shop/orders-*/**/*.parquet")) - before
        assert written
        clock(ahead)
        maintained = shop.penstock("maintain", "--all")
        assert maintained.code == 0, maintained.err
        assert (written <= set(shop.folder.glob("warehouse/**/*.*"))) is (ahead <= DAY)
        done = woken()
    assert done.code == 0, done.err
    assert (states(shop), shop.batches(ORDERS)[0]) == ([(1, "paid")], 2)
    clock(0)
    assert shop.record()[1]["orders"]["status"] == "nothing to do"


@pytest.mark.parametrize("ahead", [DAY, -DAY], ids=["ahead", "behind"])
def test_a_run_by_another_clock_beside_a_writer_at_work_applies_nothing_twice(shop: Project, clock: Clock, ahead: float) -> None:
    """By a clock ahead the lease of the other has run out, and it is taken over; by one behind it has a day left, and the error says whose clock to look at."""
    with shop.stopped("run", ".", at="before_commit") as woken:
        clock(ahead)
        second = shop.penstock("run", ".")
        if ahead < 0:
            assert (second.code, "s left by this host's clock, which is not that of" in second.err) == (1, True), (second.code, second.err)
        else:
            assert (second.code, states(shop)) == (0, [(1, "new"), (2, "new")]), second.err
        done = woken()
    assert done.code == 0, done.err
    assert (states(shop), shop.batches(ORDERS)) == ([(1, "new"), (2, "new")], [1])
