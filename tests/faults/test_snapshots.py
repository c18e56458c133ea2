"""A snapshot that is taken again in the middle of a stream: old rows stay old, deleted ones stay deleted. Fault 5 of the catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipelines import EVENTS, Project, event, events

ORDERS = "lake.shop.orders"


@pytest.fixture(params=["iceberg", "delta"])
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    """Three orders, of which one was paid since and one deleted."""
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", request.param))
    project.write("landing/orders/1.json", events(*(event("r", i, 9 + i, "new") for i in (1, 2, 3))))
    project.write("landing/orders/2.json", events(event("u", 1, 20, "paid"), event("d", 2, 21)))
    return project


def arrive(project: Project, number: int, *lines: str) -> dict[str, int]:
    project.write(f"landing/orders/{number}.json", events(*lines))
    done, steps = project.record()
    assert done.code == 0, done.err
    counts: dict[str, int] = steps["orders"]["counts"]
    return counts


def states(project: Project, where: str = "") -> list[tuple[int, str]]:
    return [(r["id"], r["state"]) for r in project.rows(f"{ORDERS}{where}", "id, state")]


AGAIN = [event("r", i, 9 + i, "new") for i in (1, 2, 3)]
FROM_BEFORE_ANY_COMMIT = [line.replace(f'"[\\"{9 + i}\\",', '"[null,') for i, line in zip((1, 2, 3), AGAIN, strict=True)]


@pytest.mark.parametrize("lines", [AGAIN, FROM_BEFORE_ANY_COMMIT], ids=["same place", "no commit seen"])
def test_rows_of_an_old_snapshot_change_nothing(shop: Project, lines: list[str]) -> None:
    """But for a row that the stream never had. They come twice, in a batch of their own and beside news."""
    assert shop.record()[0].code == 0
    assert arrive(shop, 3, *lines, event("r", 4, 13, "new"))["applied"] == 1
    assert states(shop) == [(1, "paid"), (3, "new"), (4, "new")]
    assert arrive(shop, 4, event("u", 3, 30, "paid"), *lines)["applied"] == 1
    assert states(shop) == [(1, "paid"), (3, "paid"), (4, "new")]


def test_they_open_no_version_of_a_history(shop: Project) -> None:
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("into: lake.shop.orders}", "into: lake.shop.orders, stored_as_scd_type: 2}"))
    assert shop.record()[0].code == 0
    versions = [(1, "new"), (1, "paid"), (2, "new"), (3, "new")]
    assert states(shop) == versions
    assert arrive(shop, 3, *AGAIN)["applied"] == 0
    assert states(shop) == versions
    assert states(shop, " WHERE __end_at_1 IS NULL") == [(1, "paid"), (3, "new")]


def test_a_new_snapshot_says_what_is_there_now(shop: Project) -> None:
    """Read at a later place, it is as good as an update; a row that was made again after its deletion is there again."""
    assert shop.record()[0].code == 0
    arrive(shop, 3, event("r", 1, 40, "paid"), event("r", 2, 41, "made again"), event("r", 3, 42, "sent"))
    assert states(shop) == [(1, "paid"), (2, "made again"), (3, "sent")]
    arrive(shop, 4, event("d", 3, 43), *AGAIN)
    assert states(shop) == [(1, "paid"), (2, "made again")]
