"""Batches applied again, at once, out of turn, after one that failed; files out of turn; keys that stand twice. Faults 12, 18, 25 and 31 of the catalogue."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pipelines import APPENDED, EVENTS, Project, append_as_others, context, event, events, lake

from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import open_catalog
from penstock.jobs.publish import until_published
from penstock.jobs.record import StepRecord
from penstock.jobs.steps import JOBS
from penstock.schema import Column
from penstock.tables import Change

KEY = "rows/rows"


@pytest.fixture
def rows(tmp_path: Path, table_format: str) -> Project:
    """Two batches that are appended: done twice, either would show."""
    project = Project(tmp_path)
    project.write("pipeline.yaml", APPENDED.replace("FORMAT", table_format))
    project.write("landing/rows/1.csv", "id,name\n1,a\n")
    project.write("landing/rows/2.csv", "id,name\n2,b\n")
    return project


@pytest.fixture
def shop(tmp_path: Path, table_format: str) -> Project:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format))
    return project


def apply(project: Project, number: int) -> StepRecord:
    """One batch by a run of its own, whatever was applied."""
    found = context(project)
    step, batch = found.pipeline.step("rows"), found.batches("files").read(after=number - 1)[0]
    return until_published(partial(JOBS["copy"].apply, found, step, batch))


def test_a_batch_applied_again_and_a_lower_one_change_nothing(rows: Project) -> None:
    assert rows.record()[0].code == 0
    assert [apply(rows, number).status for number in (2, 1)] == ["nothing to do"] * 2
    assert (len(rows.rows("lake.a.rows")), rows.batches("lake.a.rows")) == (2, [2, 1])


def test_a_lower_number_does_not_take_the_ledger_back(rows: Project) -> None:
    """The libraries take any number; what a commit says is never below what is there."""
    assert rows.record()[0].code == 0
    table = lake(rows, "a", "rows")
    before = table.pin()
    assert table.commit(before, Change("append", ledger={KEY: 1})).state == "done"
    assert table.commit(before, Change("append", ledger={KEY: 3})).state == "failed"
    assert table.pin().ledger[KEY] == 2


def test_writers_of_one_batch_at_once_apply_it_once(rows: Project) -> None:
    assert rows.record("--select", "files")[0].code == 0
    start, done = threading.Barrier(2), list[str]()

    def write() -> None:
        start.wait()
        done.extend(apply(rows, number).status for number in (1, 2))

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == ["done", "done", "nothing to do", "nothing to do"]
    assert (len(rows.rows("lake.a.rows")), rows.batches("lake.a.rows")) == (2, [2, 1])


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_a_key_of_a_failed_batch_and_of_the_next_stands_once(shop: Project, large: bool) -> None:
    """In a large file its row is deleted by position (Iceberg): by each of the two commits, of which the second finds it in another file."""
    shop.write("landing/orders/1.json", events(*(event("c", i, i, "new") for i in range(1, 60_000 if large else 10))))
    assert shop.record()[0].code == 0
    shop.write("landing/orders/2.json", events(event("u", 5, 100_001, "first"), event("d", 6, 100_002)))
    for point in ("after_memory", "before_commit"):
        assert shop.process("run", ".", PENSTOCK_KILL_AT=point).code == -signal.SIGKILL
    shop.write("landing/orders/3.json", events(event("u", 5, 100_004, "second"), event("u", 6, 100_001, "late")))
    assert shop.record()[0].code == 0
    assert shop.rows("(SELECT * FROM lake.shop.orders WHERE id BETWEEN 4 AND 7)", "id, state") == [
        {"id": 4, "state": "new"}, {"id": 5, "state": "second"}, {"id": 7, "state": "new"},
    ]  # fmt: skip
    assert shop.batches("lake.shop.orders") == [3, 2, 1]
    table = lake(shop, "shop", "orders")
    native: Any = table.pin().native
    found = native.scan().to_arrow() if hasattr(native, "metadata_location") else native.to_pyarrow_table()
    assert sorted(found["id"].to_pylist())[:6] == [1, 2, 3, 4, 5, 7], "as others read it"


def test_files_that_come_late_under_older_names_are_taken_once(rows: Project) -> None:
    assert rows.record()[0].code == 0
    late = rows.write("landing/rows/0.csv", "id,name\n0,late\n")
    os.utime(late, (0, 0))
    assert rows.record()[1]["rows"]["batches"] == [3]
    assert rows.record()[1]["rows"]["status"] == "nothing to do"
    assert [r["id"] for r in rows.rows("lake.a.rows", "id") if r] == [0, 1, 2]


def test_a_file_that_is_touched_is_named_and_not_taken_again(rows: Project) -> None:
    assert rows.record()[0].code == 0
    os.utime(rows.folder / "landing" / "rows" / "1.csv")
    done = rows.penstock("run", ".")
    assert (done.code, "1.csv changed after a batch had taken it" in done.err) == (1, True), done.err
    assert len(rows.rows("lake.a.rows")) == 2


def test_a_key_that_others_wrote_twice_stands_once_after_its_next_event(shop: Project) -> None:
    """No format keeps keys apart. What others appended, with a sequence or without, gives way to a newer event, or a delete, of the key."""
    shop.write("landing/orders/1.json", events(event("c", 1, 10, "new"), event("c", 2, 11, "new"), event("c", 1, 10, "new")))
    assert shop.record()[0].code == 0
    for number, sequence in ((1, 10), (1, None), (2, None), (3, None)):
        append_as_others(lake(shop, "shop", "orders"), {"id": number, "state": "foreign", "amount": None, "__sequence_1": sequence, "__sequence_2": sequence})
    shop.write("landing/orders/2.json", events(event("u", 1, 20, "paid"), event("d", 2, 21), event("u", 3, 1, "known")))
    assert shop.record()[0].code == 0
    assert shop.rows("lake.shop.orders", "id, state") == [{"id": 1, "state": "paid"}, {"id": 3, "state": "known"}]


def test_first_runs_of_one_warehouse_at_once_make_it_once(tmp_path: Path, table_format: str) -> None:
    start, columns = threading.Barrier(4), (Column.parse("id", "bigint!"),)
    found: list[object] = []

    def first() -> None:
        start.wait()
        try:
            catalog = open_catalog(CatalogConnection(kind="catalog", catalog="sqlite", warehouse="warehouse"), AwsSettings(), tmp_path)
            found.append(catalog.create("a", "t", table_format, columns).location)
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=first) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(str, found))) == 1, found
