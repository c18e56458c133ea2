"""Lines that cannot be rows, among good ones: kept aside whole, with reason and place; none stops the batch or is dropped. Fault 14 of the catalogue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipelines import APPENDED, EVENTS, Project, event, events

LARGE = 16 * 1024 * 1024
GOOD = [event("c", 1, 10, "new", "1.00"), event("c", 2, 11, "x" * LARGE), event("u", 1, 40, "paid", "1.00")]
POISON = {
    "half": event("c", 3, 12, "new")[:-20].encode(),
    "no JSON": b"\x00\xff\xfe",
    "no text": event("c", 3, 13, "SAID").encode().replace(b"SAID", b"\xff\xfe"),
    "deep": b"[" * 50_000,
    "another type": event("c", 3, 14, "new", "much").encode(),
    "no number": event("c", 3, 15).replace('"id": 3', '"id": "three"').encode(),
    "no key": event("c", 3, 16, "new").replace('"id": 3', '"id": null').encode(),
    "no operation": event("x", 3, 17, "new").encode(),
    "no place": event("c", 3, 18, "new").replace("sequence", "order").encode(),
    "place too large": event("c", 3, 10**30, "new").encode(),
    "large": event("c", 3, 19, "x" * LARGE, "much").encode(),
}
FILTERED = [b"null"]


def test_poison_among_events_is_kept_aside_and_the_rest_applied(tmp_path: Path, table_format: str) -> None:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format))
    lines = [GOOD[0].encode(), *POISON.values(), *FILTERED, *(line.encode() for line in GOOD[1:])]
    project.write("landing/orders/1.json", b"\n".join(lines))
    done, steps = project.record()
    assert done.code == 0, done.err
    counts = {k: v for k, v in steps["orders"]["counts"].items() if v}
    assert counts == {"read": len(lines), "applied": 2, "superseded": 1, "filtered": len(FILTERED), "quarantined": len(POISON)}
    assert project.rows("lake.shop.orders", "id, length(state) AS long") == [{"id": 1, "long": 4}, {"id": 2, "long": LARGE}]
    kept = project.rows("lake.shop.orders__quarantine", "__position, __reason, length(__payload) AS long")
    places = {name: number for number, name in enumerate(POISON, start=2)}
    assert {int(r["__position"].rpartition("#")[2]) for r in kept} == set(places.values())
    assert all(r["__reason"] for r in kept)
    assert max(r["long"] for r in kept) == len(POISON["large"]), "nothing of it is cut"

    corrected = json.loads(event("c", 3, 14, "new", "3.00"))
    project.write("landing/orders/2.json", json.dumps(corrected))
    assert project.record()[0].code == 0
    assert [r["id"] for r in project.rows("lake.shop.orders", "id")] == [1, 2, 3]


def test_poison_among_rows_is_kept_aside_and_the_rest_appended(tmp_path: Path, table_format: str) -> None:
    project = Project(tmp_path)
    project.write("pipeline.yaml", APPENDED.replace("FORMAT", table_format))
    project.write("landing/rows/1.csv", "id,name\n1,a\nthree,b\n,c\n99999999999999999999,d\n2,e\n")
    done, steps = project.record()
    assert done.code == 0, done.err
    assert {k: v for k, v in steps["rows"]["counts"].items() if v} == {"read": 5, "applied": 2, "quarantined": 3}
    assert [r["id"] for r in project.rows("lake.a.rows", "id")] == [1, 2]
    assert [r["__position"].rpartition("#")[2] for r in project.rows("lake.a.rows__quarantine", "__position")] == ["3", "4", "5"]


@pytest.mark.parametrize("limit", ["2", "40 %"])
def test_more_poison_than_is_allowed_stops_the_batch_before_anything_is_published(tmp_path: Path, table_format: str, limit: str) -> None:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format) + f"    max_quarantined: {limit}\n")
    kept, lost = events(*GOOD[::2], event("c", 4, 41), "{", "["), events(*GOOD[::2], "{", "[", "(")
    project.write("landing/orders/1.json", kept)
    assert project.penstock("run", ".").code == 0, "as many as are allowed"
    project.write("landing/orders/2.json", lost)
    stopped = project.penstock("run", ".")
    assert (stopped.code, f"batch 2 would quarantine 3 of 5 rows, more than max_quarantined: {limit}" in stopped.err) == (3, True), stopped.err
    assert "next: correct the source and `penstock batch retry`" in stopped.err
    assert len(project.rows("lake.shop.orders__quarantine", "__reason")) == 2, "that of the first batch"
    assert project.batches("lake.shop.orders") == [1]

    project.write("landing/orders/2.json", events(event("u", 1, 50, "paid"), event("u", 4, 51, "paid"), "{"))
    assert project.penstock("batch", "retry", ".", "orders", "2").code == 0
    done, steps = project.record()
    assert (done.code, steps["orders"]["counts"]["quarantined"]) == (0, 1), done.err
    assert project.rows("lake.shop.orders", "id, state") == [{"id": 1, "state": "paid"}, {"id": 4, "state": "paid"}]


def test_more_poison_among_rows_than_is_allowed_stops_the_batch(tmp_path: Path, table_format: str) -> None:
    project = Project(tmp_path)
    project.write("pipeline.yaml", APPENDED.replace("FORMAT", table_format) + "    max_quarantined: 0\n")
    project.write("landing/rows/1.csv", "id,name\n1,a\nthree,b\n")
    stopped = project.penstock("run", ".")
    assert (stopped.code, "would quarantine 1 of 2 rows, more than max_quarantined: 0" in stopped.err) == (3, True), stopped.err
    assert project.penstock("query", ".", "SELECT * FROM lake.a.rows").code != 0, "there is no table yet"


@pytest.mark.parametrize("limit", ["-1", "101 %", "all", "1.5"])
def test_a_limit_that_is_neither_a_count_nor_a_share_is_refused(tmp_path: Path, limit: str) -> None:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", "iceberg") + f"    max_quarantined: {limit}\n")
    refused = project.penstock("plan", ".")
    assert (refused.code, "max_quarantined" in refused.err) == (2, True), refused.err
