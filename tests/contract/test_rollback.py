"""A table and its memory brought back together, whatever was renamed, expired or interrupted meanwhile."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pipelines import EVENTS, Project, context, event, events, lake

from penstock.jobs.upkeep import maintain
from penstock.tables import LakeTable

ORDERS = "lake.shop.orders"
DELIVERED = (
    events(event("c", 1, 1, "new"), event("d", 9, 50)),
    events(event("u", 1, 60, "paid")),
    events(event("u", 1, 70, "sent"), event("d", 8, 71)),
)


@pytest.fixture
def shop(tmp_path: Path, table_format: str) -> Project:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format).replace("keys: [id]", "keys: [id]\n    maintain: {keep_snapshots: 7 days}"))
    return project


def deliver(shop: Project, number: int, *lines: str) -> None:
    shop.write(f"landing/orders/{number}.json", events(*lines) if lines else DELIVERED[number - 1])
    done, _ = shop.record()
    assert done.code == 0, done.err


def states(shop: Project) -> list[tuple[int, str]]:
    return [(r["id"], r["state"]) for r in shop.rows(ORDERS, "id, state")]


def remembered(shop: Project) -> list[int]:
    return [r["id"] for r in shop.rows(f"{ORDERS}__memory", "id")]


def test_a_renamed_step_goes_back_to_what_it_did_under_its_former_name(shop: Project) -> None:
    deliver(shop, 1)
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("- id: orders", "- id: paid\n    renamed_from: orders"))
    deliver(shop, 2)
    deliver(shop, 3)
    done = shop.penstock("rollback", ORDERS, "--to", "2", "--then", "skip")
    assert done.code == 0, done.err
    assert (states(shop), remembered(shop)) == ([(1, "paid")], [9])
    done = shop.penstock("rollback", ORDERS, "--to", "1", "--then", "skip")
    assert done.code == 0, done.err
    assert (states(shop), remembered(shop)) == ([(1, "new")], [9])
    deliver(shop, 4, event("c", 9, 40, "late"))
    assert states(shop) == [(1, "new")], "a row that was deleted before its insert came"


def age(table: LakeTable) -> None:
    """A Delta table's log as it is after 40 days: by the times of its files, and with a checkpoint."""
    native: Any = table.pin().native
    native.create_checkpoint()
    for file in Path(table.location, "_delta_log").iterdir():
        os.utime(file, (time.time() - 40 * 86400,) * 2)


def test_where_the_memory_no_longer_has_its_state_nothing_is_brought_back(shop: Project, table_format: str) -> None:
    """The memory's state after batch 2 is the one that batch 1 made, long before; the table's own is young enough."""
    deliver(shop, 1)
    time.sleep(1.1)
    then = datetime.now(UTC)
    deliver(shop, 2)
    deliver(shop, 3)
    if table_format == "delta":
        age(lake(shop, "shop", "orders__memory"))
    expired = {m.location: m.expired for m in maintain(context(shop), now=then + timedelta(days=7))}
    assert expired[f"{ORDERS}__memory"] == (1 if table_format == "iceberg" else 2), expired
    done = shop.penstock("rollback", ORDERS, "--to", "2", "--then", "skip")
    assert (done.code, "shop.orders__memory no longer has the state after batch 2" in done.err) == (2, True), done.err
    assert (states(shop), remembered(shop)) == ([(1, "sent")], [8, 9])


def test_a_memory_that_was_empty_is_empty_again(shop: Project) -> None:
    deliver(shop, 1, event("c", 1, 1, "new"))
    deliver(shop, 2, event("d", 1, 2), event("c", 2, 3, "new"))
    done = shop.penstock("rollback", ORDERS, "--to", "1", "--then", "skip")
    assert (done.code, states(shop), remembered(shop)) == (0, [(1, "new")], []), done.err


def test_a_rollback_after_a_crash_counts_for_the_memory_too(shop: Project) -> None:
    """The memory is a batch ahead when the table is rolled back; a later rollback finds what the first one made of it."""
    for number in (1, 2, 3):
        deliver(shop, number)
    shop.write("landing/orders/4.json", events(event("u", 1, 80, "lost"), event("d", 7, 81)))
    assert shop.process("run", ".", PENSTOCK_KILL_AT="after_memory").code == -signal.SIGKILL
    assert shop.penstock("rollback", ORDERS, "--to", "1", "--then", "skip").code == 0
    assert (states(shop), remembered(shop)) == ([(1, "new")], [9])
    assert shop.record()[0].code == 0
    assert (states(shop), remembered(shop)) == ([(1, "lost")], [7, 9])
    assert shop.penstock("rollback", ORDERS, "--to", "3", "--then", "skip").code == 0
    assert (states(shop), remembered(shop)) == ([(1, "new")], [9])
