"""Events that come late, twice, or with clocks that lie; rows that move, keys that change, tables emptied. Faults 4, 6, 7, 8, 17 and 23 of the catalogue."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from pipelines import EVENTS, Project, event, events, truncate

ORDERS = "lake.shop.orders"
HISTORY = ", stored_as_scd_type: 2}"
KINDS = pytest.mark.parametrize("kind", ["}", HISTORY], ids=["scd1", "scd2"])


@pytest.fixture(params=["iceberg", "delta"])
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", request.param))
    return project


def declare(project: Project, before: str, after: str) -> None:
    text = project.text("pipeline.yaml")
    assert before in text
    project.write("pipeline.yaml", text.replace(before, after))


def arrive(project: Project, *batches: list[str], split: int = 0) -> dict[str, int]:
    """Each batch as a file that sorts after those before, all applied by one run; what became of all events together. `split`: how many are two."""
    first = len(list(project.folder.glob("landing/orders/*")))
    for number, batch in enumerate(batches, start=first):
        project.write(f"landing/orders/{number:03}.json", events(*batch))
    done, steps = project.record()
    assert done.code == 0, done.err
    counts: dict[str, int] = steps["orders"]["counts"]
    assert counts["read"] == split + sum(map(len, batches)) == sum(counts.values()) - counts["read"], counts
    return counts


def placed(line: str, ts_ms: int | None = None, **source: Any) -> str:
    """An event with another place in its source's log, or another clock."""
    found: dict[str, Any] = json.loads(line)
    found["source"] |= source if ts_ms is None else source | {"ts_ms": ts_ms}
    return json.dumps(found if ts_ms is None else found | {"ts_ms": ts_ms})


def states(project: Project) -> list[tuple[int, str]]:
    where = " WHERE __end_at_1 IS NULL" if "scd_type: 2" in project.text("pipeline.yaml") else ""
    return [(r["id"], r["state"]) for r in project.rows(f"{ORDERS}{where}", "id, state")]


# three that go and come back, among them one whose last event is its delete; positions that sort otherwise as text
LIVES = [
    event("c", 1, 8, "new"), event("u", 1, 9, "paid"), event("d", 1, 10), event("c", 1, 99, "again"), event("u", 1, 100, "last"),
    event("c", 2, 11, "new"), event("d", 2, 12), event("c", 2, 13, "again"), event("d", 2, 101),
    event("c", 3, 14, "new"), event("u", 3, 15, "paid"), event("u", 3, 102, "sent"),
]  # fmt: skip
LEFT = [(1, "last"), (3, "sent")]


def shuffled(seed: int) -> list[list[str]]:
    """Eight batches of events in any order, each delivered twice, and some events twice in a row."""
    r = random.Random(seed)
    lines = [line for line in r.sample(LIVES, len(LIVES)) for _ in range(1 + (r.random() < 0.15))]
    cuts = sorted(r.sample(range(1, len(lines)), 7))
    return [batch for a, b in zip([0, *cuts], [*cuts, len(lines)], strict=True) for batch in (lines[a:b], lines[a:b])]


@KINDS
def test_late_and_repeated_events_leave_what_sorted_ones_leave(shop: Project, tmp_path: Path, kind: str, seed: int) -> None:
    """Faults 4 and 6: an update that comes after the delete brings nothing back, an upsert newer than it does, no version opens twice."""
    declare(shop, f"into: {ORDERS}}}", f"into: {ORDERS}{kind}")
    arrive(shop, *shuffled(seed))
    assert states(shop) == LEFT, f"seed {seed}"
    straight = Project(tmp_path / "straight")
    straight.write("pipeline.yaml", shop.text("pipeline.yaml"))
    arrive(straight, LIVES)
    columns = "*, __start_at_1, __end_at_1" if kind == HISTORY else "*, __sequence_1, __sequence_2"
    assert shop.rows(ORDERS, columns) == straight.rows(ORDERS, columns), f"seed {seed}"


def test_a_file_replayed_under_another_name_changes_nothing(shop: Project) -> None:
    """Fault 4. Nor does the whole log at once, after the fact."""
    arrive(shop, LIVES)
    before = shop.rows(ORDERS, "*, __sequence_1")
    assert arrive(shop, LIVES, LIVES + LIVES)["applied"] == 0
    assert shop.rows(ORDERS, "*, __sequence_1") == before


def test_commits_order_events_not_the_places_they_were_written_at(shop: Project) -> None:
    """Fault 7: what a long transaction wrote early and committed last is neither older than what is applied nor behind it. Numbers, not texts."""
    commits = [("9", "150", "one"), ("100", "90", "two"), ("300", "80", "three")]
    lines = [[placed(event("u", i, 0, state), sequence=f'["{commit}","{lsn}"]', lsn=int(lsn)) for commit, lsn, state in commits] for i in (1, 2, 3)]
    together, forth, back = lines[0][::-1], lines[1], lines[2][::-1]
    only_once = placed(event("c", 4, 0, "new"), sequence='["300","70"]', lsn=70)
    counts = arrive(shop, [*together, forth[0], back[0]], [forth[1], back[1]], [forth[2], back[2], only_once])
    assert states(shop) == [(1, "three"), (2, "three"), (3, "three"), (4, "new")]
    assert (counts["applied"], counts["superseded"]) == (6, 4)


HOUR = 3_600_000


@KINDS
@pytest.mark.parametrize("connector", ["postgresql", "mysql"])
def test_clocks_that_stand_still_or_go_back_order_nothing(shop: Project, kind: str, connector: str) -> None:
    """Fault 8: events of a key at one time, and of an hour that comes twice; their places in the log are 9, 10 and 100, and files 9 and 10 of a binlog."""
    declare(shop, "decimal_handling_mode: string", f"decimal_handling_mode: string, connector: {connector}")
    declare(shop, f"into: {ORDERS}}}", f"into: {ORDERS}{kind}")
    clocks = {1: (HOUR, HOUR, HOUR), 2: (3 * HOUR, 2 * HOUR, HOUR), 3: (HOUR, 3 * HOUR, 2 * HOUR)}

    def at(number: int, turn: int) -> str:
        place, state = (9, 10, 100)[turn], ("one", "two", "three")[turn]
        log = {"file": f"mysql-bin.{9 + turn // 2:06}", "pos": 4 if turn == 2 else place, "row": 0} if connector == "mysql" else {}
        return placed(event("u", number, place, state), clocks[number][turn], connector=connector, **log)

    arrive(shop, [at(1, 2), at(2, 0), at(3, 1)], [at(1, 0), at(2, 1), at(3, 2)], [at(1, 1), at(2, 2), at(3, 0)])
    assert states(shop) == [(1, "three"), (2, "three"), (3, "three")]
    if kind == HISTORY:
        assert [r["state"] for r in shop.rows(f"(SELECT * FROM {ORDERS} WHERE __end_at_1 IS NOT NULL)", "id, state")] == ["one", "two"] * 3


@KINDS
def test_a_row_that_moves_to_another_partition_or_key_stands_once(shop: Project, kind: str) -> None:
    """Fault 17: an update of the column that the table is partitioned by, and of the key; then late events of the places that were left."""
    declare(shop, "keys: [id]", "keys: [id]\n    partition_by: [state]")
    declare(shop, f"into: {ORDERS}}}", f"into: {ORDERS}{kind}")
    arrive(shop, [event("c", i, i, "new") for i in (1, 2, 3)], [event("u", 1, 20, "paid"), event("u", 2, 21, "paid")], [event("u", 2, 22, "sent")])
    assert states(shop) == [(1, "paid"), (2, "sent"), (3, "new")]
    rekeyed = json.dumps(json.loads(event("u", 7, 30, "sent")) | {"before": {"id": 1, "state": "paid", "amount": None}})
    arrive(shop, [rekeyed], [event("u", 1, 19, "late"), event("u", 2, 19, "late"), event("u", 3, 31, None)], [event("d", 2, 32)], split=1)
    assert states(shop) == [(3, None), (7, "sent")]


@KINDS
def test_a_table_emptied_at_its_source_loses_what_was_older(shop: Project, kind: str) -> None:
    """Fault 23: a truncate, told twice, acts by its place in the log: on rows that come after it too, and on none that were written later."""
    declare(shop, f"into: {ORDERS}}}", f"into: {ORDERS}{kind}")
    arrive(shop, [event("c", 1, 10, "new"), event("c", 2, 11, "new"), event("c", 3, 30, "new")])
    assert arrive(shop, [truncate(20), truncate(20), event("u", 1, 19, "late")])["duplicate"] == 1
    assert states(shop) == [(3, "new")]
    arrive(shop, [event("c", 4, 15, "late"), event("u", 2, 40, "again")], [truncate(12), event("u", 3, 18, "late")])
    assert states(shop) == [(2, "again"), (3, "new")]
    if kind == HISTORY:
        ended = shop.rows(f"(SELECT * FROM {ORDERS} WHERE __end_at_1 IS NOT NULL)", "id, state, __end_at_1")
        assert {(r["id"], r["state"]): r["__end_at_1"] for r in ended} == {(1, "new"): 12, (1, "late"): 20, (2, "new"): 12, (3, "late"): 20, (4, "late"): 20}
