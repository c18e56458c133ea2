"""One source, two targets, of which one is behind; steps renamed and batches skipped meanwhile; two runs at once."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
from pipelines import APPENDED, COMMAND, EVENTS, Project, event, events

ORDERS, KEPT = "lake.shop.orders", "lake.shop.kept"
FIRST = events(event("c", 1, 10, "new"), event("c", 2, 11, "new"))
SECOND = events(event("d", 2, 20), event("c", 4, 21, "new"))
THIRD = events(event("u", 1, 30, "paid"))
EXPECTED = [(1, "paid"), (4, "new")]


@pytest.fixture
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    """The same changes kept in two tables, the second one of the other format and as a history."""
    project = Project(tmp_path)
    first, other = getattr(request, "param", ("iceberg", "delta"))
    text = EVENTS.replace("FORMAT", first)
    table = f'  {KEPT}:\n    format: {other}\n    columns: {{id: bigint!, state: string, amount: "decimal(12,2)"}}\n    keys: [id]\n'
    text = text.replace("steps:\n", f"{table}steps:\n") + f"  - id: kept\n    merge: {{from: changes, into: {KEPT}, stored_as_scd_type: 2}}\n"
    project.write("pipeline.yaml", text)
    project.write("landing/orders/1.json", FIRST)
    project.write("landing/orders/2.json", SECOND)
    return project


def states(project: Project, table: str, where: str = "TRUE") -> list[tuple[int, str]]:
    done = project.penstock("query", f"SELECT id, state FROM {table} WHERE {where} ORDER BY id", "--json")
    assert done.code == 0, done.err
    return [(r["id"], r["state"]) for r in done.json()]


def killed(project: Project, *points: str) -> None:
    for point in points:
        done = project.process("run", ".", PENSTOCK_KILL_AT=point)
        assert done.code == -signal.SIGKILL, (point, done.out, done.err)


def behind(project: Project) -> dict[str, tuple[int, int]]:
    """step -> (applied, cut)"""
    done = project.penstock("state", ".", "--json")
    assert done.code == 0, done.err
    return {s["step"]: (s["applied"], s["cut"]) for s in json.loads(done.out)}


@pytest.mark.parametrize("shop", [("iceberg", "delta"), ("delta", "iceberg")], indirect=True, ids=["iceberg", "delta"])
def test_a_target_that_is_behind_gets_what_the_other_has(shop: Project) -> None:
    killed(shop, "after_batch:2")
    assert behind(shop) == {"orders": (2, 2), "kept": (0, 2)}
    shop.write("landing/orders/3.json", THIRD)
    killed(shop, "after_batch:2")
    assert behind(shop) == {"orders": (3, 3), "kept": (1, 3)}
    assert shop.record()[0].code == 0
    assert (states(shop, ORDERS), states(shop, KEPT, "__end_at_1 IS NULL")) == (EXPECTED, EXPECTED)
    assert (shop.batches(ORDERS), shop.batches(KEPT)) == ([3, 2, 1], [3, 2, 1])


def test_a_renamed_step_goes_on_where_its_target_was(shop: Project) -> None:
    killed(shop, "after_batch:2", "after_batch:1")
    shop.write("landing/orders/3.json", THIRD)
    text = shop.text("pipeline.yaml").replace("- id: kept", "- id: history\n    renamed_from: kept")
    text = text.replace("- id: changes", "- id: events\n    renamed_from: changes").replace("{from: changes", "{from: events")
    shop.write("pipeline.yaml", text)
    assert behind(shop) == {"orders": (2, 2), "history": (1, 2)}
    done, steps = shop.record()
    assert (done.code, steps["orders"]["batches"], steps["history"]["batches"]) == (0, [3], [2, 3]), done.err
    assert (states(shop, ORDERS), states(shop, KEPT, "__end_at_1 IS NULL")) == (EXPECTED, EXPECTED)


def test_a_batch_skipped_on_one_target_is_applied_on_the_other(shop: Project) -> None:
    killed(shop, "after_batch:2", "after_batch:1")
    assert shop.penstock("batch", "skip", ".", "kept", "2").code == 0
    shop.write("landing/orders/3.json", THIRD)
    assert shop.record()[0].code == 0
    assert (states(shop, ORDERS), states(shop, KEPT, "__end_at_1 IS NULL")) == (EXPECTED, [(1, "paid"), (2, "new")])
    assert behind(shop) == {"orders": (3, 3), "kept": (3, 3)}


def test_a_batch_that_one_target_holds_is_not_cut_again_nor_replayed(shop: Project) -> None:
    killed(shop, "after_batch:2", "after_batch:1")
    retried = shop.penstock("batch", "retry", ".", "kept", "2")
    assert (retried.code, f"{ORDERS} holds batch 2 already" in retried.err) == (2, True), retried.err
    rolled = shop.penstock("rollback", ORDERS, "--to", "1", "--then", "replay")
    assert (rolled.code, "step kept applies the same batches" in rolled.err) == (2, True), rolled.err
    assert shop.penstock("rollback", ORDERS, "--to", "1", "--then", "skip").code == 0
    assert shop.record()[0].code == 0
    assert (states(shop, ORDERS), states(shop, KEPT, "__end_at_1 IS NULL")) == ([(1, "new"), (2, "new")], [(1, "new"), (4, "new")])


@pytest.fixture(params=["iceberg", "delta"])
def rows(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    """Twelve batches that are appended: done twice, any would show."""
    project = Project(tmp_path)
    project.write("pipeline.yaml", APPENDED.replace("FORMAT", request.param))
    for i in range(12):
        project.write(f"landing/rows/{i:02}.csv", f"id,name\n{i},x\n")
    return project


def test_two_runs_at_once_apply_each_batch_once(rows: Project) -> None:
    """The lease of the first has run out by the clock while it lives, so that both are at work on one table."""
    with rows.stopped("run", ".", at="after_batch") as woken:
        rows.end_lease()
        second = subprocess.Popen([*COMMAND, "run", "."], cwd=rows.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert second.stdout
            while "batch 2 done" not in (line := second.stdout.readline()):
                assert line, second.communicate()
            first = woken()
            _, err = second.communicate(timeout=120)
        finally:
            second.kill()
            second.wait()
    assert (first.code, second.returncode) == (0, 0), (first.err, err)
    assert [r["id"] for r in rows.rows("lake.a.rows")] == list(range(12))
    assert rows.batches("lake.a.rows") == list(range(12, 0, -1))
