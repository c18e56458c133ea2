"""Other tools that commit between plan and commit of a run: it is planned anew, no row is lost, no batch applied twice. Faults 10 and 29 of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipelines import APPENDED, EVENTS, Project, append_as_others, event, events, lake

from penstock.tables import LakeTable

ORDERS = "lake.shop.orders"
Act = Callable[[LakeTable], None]


@pytest.fixture
def rows(tmp_path: Path, table_format: str) -> Project:
    """Batches that are appended: done twice, any would show."""
    project = Project(tmp_path)
    project.write("pipeline.yaml", APPENDED.replace("FORMAT", table_format))
    for i in range(8):
        project.write(f"landing/rows/{i}.csv", f"id,name\n{i},x\n")
    return project


@pytest.fixture
def shop(tmp_path: Path, table_format: str) -> Project:
    """Two files of rows, one of another writer; the batch that waits deletes from one, updates in the other, and adds a row."""
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format))
    project.write("landing/orders/1.json", events(*(event("c", i, i, "new") for i in (1, 2, 3))))
    assert project.record()[0].code == 0
    append_as_others(lake(project, "shop", "orders"), *({"id": i, "state": "new", "__sequence_1": i, "__sequence_2": i} for i in (4, 5)))
    project.write("landing/orders/2.json", events(event("d", 3, 90), event("u", 5, 91, "paid"), event("c", 6, 92, "new")))
    return project


def appended(table: LakeTable) -> None:
    """Of the two keys one is also in the batch that waits."""
    second = table.pin().columns[1].name
    append_as_others(table, {"id": 6, second: "theirs"}, {"id": 100, second: "theirs"})


def rewritten(table: LakeTable) -> None:
    """All rows in new files."""
    native: Any = table.pin().native
    if hasattr(native, "overwrite"):
        native.overwrite(native.scan().to_arrow())
    else:
        from deltalake import write_deltalake

        write_deltalake(table.location, native.to_pyarrow_table(), mode="overwrite")


def compacted(table: LakeTable) -> None:
    """As the format's own compaction leaves them: all rows in one new file, and no row changed. pyiceberg has none of its own."""
    native: Any = table.pin().native
    if hasattr(native, "optimize"):
        assert native.optimize.compact()["numFilesRemoved"] > 1
    else:
        rewritten(table)


def expired(table: LakeTable) -> None:
    """Nothing of ours is left but the newest state, if that."""
    appended(table)
    native: Any = table.pin().native
    if hasattr(native, "maintenance"):
        with native.maintenance.expire_snapshots() as expire:
            expire.by_ids([s.snapshot_id for s in native.metadata.snapshots if s.snapshot_id != native.metadata.current_snapshot_id])
    else:
        native.create_checkpoint()
        for entry in sorted(Path(table.location).glob("_delta_log/*.json"))[:-1]:
            entry.unlink()


@pytest.mark.parametrize("act", [appended, rewritten, expired])
def test_an_append_goes_on_after_them(rows: Project, act: Act) -> None:
    with rows.stopped("run", ".", at="before_commit:5") as woken:
        act(lake(rows, "a", "rows"))
        done = woken()
    assert done.code == 0, done.err
    theirs = [] if act is rewritten else [6, 100]
    assert [r["id"] for r in rows.rows("lake.a.rows")] == sorted([*range(8), *theirs])
    assert rows.record()[1]["rows"]["status"] == "nothing to do"
    rows.write("landing/rows/8.csv", "id,name\n8,x\n")
    assert rows.record()[1]["rows"]["batches"] == [9]


@pytest.mark.parametrize("act", [appended, compacted, expired])
def test_a_merge_is_planned_anew_on_what_they_left(shop: Project, act: Act) -> None:
    """The key that they added meanwhile stands once: the merge is not sent again as it was planned."""
    with shop.stopped("run", ".", at="before_commit:2") as woken:
        act(lake(shop, "shop", "orders"))
        done = woken()
    assert done.code == 0, done.err
    theirs = [] if act is compacted else [(100, "theirs")]
    expected = [(1, "new"), (2, "new"), (4, "new"), (5, "paid"), (6, "new"), *theirs]
    assert [(r["id"], r["state"]) for r in shop.rows(ORDERS, "id, state")] == expected
    assert shop.batches(ORDERS) == ([2] if act is expired else [2, 1])
    assert shop.record()[1]["orders"]["status"] == "nothing to do"
    shop.write("landing/orders/3.json", events(event("u", 3, 80, "late"), event("u", 4, 93, "paid")))
    assert shop.record()[1]["orders"]["batches"] == [3]
    assert [(r["id"], r["state"]) for r in shop.rows(ORDERS, "id, state")] == [(i, "paid" if i == 4 else s) for i, s in expected]
