"""A run killed between the commits of the memory and of the table; then a person skips the batch, or corrects its file. Fault 2 of the catalogue."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pipelines import EVENTS, Project, context, event, events, lake, truncate

from penstock.jobs.upkeep import maintain

ORDERS = "lake.shop.orders"


@pytest.fixture(params=["iceberg", "delta"])
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", request.param))
    return project


def killed_with_memory(project: Project) -> None:
    assert project.process("run", ".", PENSTOCK_KILL_AT="after_memory").code == -signal.SIGKILL
    assert project.rows(f"{ORDERS}__memory", "__op")


def states(project: Project) -> list[tuple[int, str]]:
    """Of a history, the open versions."""
    where = "__end_at_1 IS NULL" if "scd_type: 2" in project.text("pipeline.yaml") else "TRUE"
    return [(r["id"], r["state"]) for r in project.rows(f"(SELECT * FROM {ORDERS} WHERE {where})", "id, state")]


@pytest.mark.parametrize("kind", [1, 2])
def test_a_skipped_batch_does_not_act_later(shop: Project, kind: int) -> None:
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace(f"into: {ORDERS}}}", f"into: {ORDERS}, stored_as_scd_type: {kind}}}"))
    shop.write("landing/orders/1.json", events(*(event("c", i, i, "new") for i in (1, 2, 3, 4)), event("d", 4, 5)))
    assert shop.record()[0].code == 0
    remembered = shop.rows(f"{ORDERS}__memory")
    shop.write("landing/orders/2.json", events(event("d", 1, 100), truncate(90)))
    killed_with_memory(shop)
    skipped = shop.penstock("batch", "skip", ".", "orders", "2")
    assert skipped.code == 0, skipped.err
    assert shop.rows(f"{ORDERS}__memory") == remembered
    shop.write("landing/orders/3.json", events(event("u", 1, 50, "paid"), event("u", 2, 51, "paid"), event("u", 4, 4, "late")))
    done, steps = shop.record()
    assert (done.code, steps["orders"]["batches"]) == (0, [3]), done.err
    assert states(shop) == [(1, "paid"), (2, "paid"), (3, "new")]


def test_maintenance_leaves_what_a_skipped_batch_goes_back_to(shop: Project) -> None:
    """As long as the batch waits, of which the memory holds events already."""
    shop.write("landing/orders/1.json", events(event("c", 1, 1, "new"), event("d", 2, 2)))
    assert shop.record()[0].code == 0
    shop.write("landing/orders/2.json", events(event("d", 1, 100), event("d", 2, 101)))
    killed_with_memory(shop)
    later = datetime.now(UTC) + timedelta(days=60)
    assert sum(m.expired + m.removed.files for m in maintain(context(shop), now=later)) == 0
    skipped = shop.penstock("batch", "skip", ".", "orders", "2")
    assert skipped.code == 0, skipped.err
    shop.write("landing/orders/3.json", events(event("u", 1, 50, "paid"), event("u", 2, 51, "back")))
    assert shop.record()[0].code == 0
    assert states(shop) == [(1, "paid"), (2, "back")]
    assert sum(m.expired + m.removed.files for m in maintain(context(shop), now=later)) > 0


def test_a_corrected_file_is_all_that_acts_however_often_it_is_corrected(shop: Project) -> None:
    """The first batch of all: before it the memory had no state but that of an empty table."""
    for number in (7, 8):
        shop.write("landing/orders/1.json", events(event("d", number, 100), event("c", 9, 1, "new")))
        retried = shop.penstock("batch", "retry", ".", "orders", "1") if number == 8 else None
        assert retried is None or retried.code == 0
        killed_with_memory(shop)
    shop.write("landing/orders/1.json", events(event("c", 7, 50, "right"), event("c", 8, 51, "right"), event("c", 9, 1, "new")))
    for _ in range(2):
        retried = shop.penstock("batch", "retry", ".", "orders", "1")
        assert retried.code == 0, retried.err
        assert shop.rows(f"{ORDERS}__memory") == []
    done = shop.record()[0]
    assert done.code == 0, done.err
    assert states(shop) == [(7, "right"), (8, "right"), (9, "new")]


def test_a_batch_is_neither_skipped_nor_corrected_where_its_memory_cannot_be_taken_back(shop: Project) -> None:
    shop.write("landing/orders/1.json", events(event("c", 1, 1, "new"), event("d", 2, 2)))
    assert shop.record()[0].code == 0
    shop.write("landing/orders/2.json", events(event("d", 1, 100)))
    killed_with_memory(shop)
    memory = lake(shop, "shop", "orders__memory")
    native: Any = memory.pin().native
    if hasattr(native, "maintenance"):
        native.maintenance.expire_snapshots().by_ids([native.metadata.snapshots[0].snapshot_id]).commit()
    else:
        native.create_checkpoint()
        for entry in sorted(Path(memory.location).glob("_delta_log/*.json"))[:-1]:
            entry.unlink()
    for verb in ("skip", "retry"):
        refused = shop.penstock("batch", verb, ".", "orders", "2")
        assert (refused.code, "the state that it had before them was expired" in refused.err) == (1, True), (refused.out, refused.err)
    assert states(shop) == [(1, "new")]
    assert shop.record()[0].code == 0
    assert states(shop) == []
