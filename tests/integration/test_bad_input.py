"""Input that nobody promised: the stated rule holds and is counted, or the run stops and says what to do."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from foreign import TOOLS
from pipelines import EVENTS, SHOP, Project, event, events

PIPELINE = (
    SHOP
    + """  lake.shop.orders:
    format: FORMAT
    columns: {id: bigint!, version: bigint!, state: string}
    keys: [id]
steps:
  - id: files
    read: {from: raw/orders/, format: SOURCE}
  - id: orders
    STEP
"""
)
MERGE = "merge: {from: files, into: lake.shop.orders, sequence_by: version, apply_as_deletes: state = 'gone', apply_as_truncates: state = 'none'}"
COPY = "copy: {from: files, into: lake.shop.orders, write: append}"
FORMATS = pytest.mark.parametrize("table_format", ["iceberg", "delta"])
SOURCES = pytest.mark.parametrize("source", ["csv", "json", "parquet"])


def shop(folder: Path, table_format: str, source: str = "csv", step: str = MERGE) -> Project:
    project = Project(folder)
    project.write("pipeline.yaml", PIPELINE.replace("FORMAT", table_format).replace("SOURCE", source).replace("STEP", step))
    return project


def put(project: Project, name: str, rows: list[dict[str, Any]]) -> Path:
    """Rows as a file of the pipeline's own source format."""
    if name.endswith("parquet"):
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), sink)
        return project.write(f"landing/orders/{name}", sink.getvalue())
    if name.endswith("json"):
        return project.write(f"landing/orders/{name}", "\n".join(map(json.dumps, rows)))
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return project.write(f"landing/orders/{name}", text.getvalue())


def row(number: int, version: int = 1, state: str | None = "new") -> dict[str, Any]:
    return {"id": number, "version": version, "state": state}


def found(project: Project) -> list[tuple[Any, ...]]:
    return [tuple(r.values()) for r in project.rows("lake.shop.orders")]


@FORMATS
def test_of_rows_that_tie_the_greater_content_wins_in_any_order_and_batching(tmp_path: Path, table_format: str) -> None:
    """Upsert < delete < truncate, then NULL < the lesser < the greater value; the others are superseded, equal ones duplicates."""
    seed = 20
    rows = [row(1, 1, s) for s in ("b", "a", "", "b", "c")]
    rows += [row(2, 1, "x"), row(2, 1, "gone"), row(3, 2, "late"), row(3, 1, "y"), row(4, 0, "none"), row(5, 0)]
    random.Random(seed).shuffle(rows)
    outcomes = []
    for name, batches in (("one", [rows]), ("many", [rows[i : i + 3] for i in range(0, len(rows), 3)]), ("back", [rows[::-1]])):
        project = shop(tmp_path / name, table_format)
        counted: dict[str, int] = {}
        for i, batch in enumerate(batches):
            put(project, f"{i}.csv", batch)
            done, steps = project.record()
            assert done.code == 0, done.err
            counted = {k: counted.get(k, 0) + v for k, v in steps["orders"]["counts"].items()}
        assert counted["read"] == len(rows) == sum(counted.values()) - counted["read"]
        outcomes.append((name, found(project), counted))
    for name, now, counted in outcomes:
        assert now == [(1, 1, "c"), (3, 2, "late")], f"{name}, seed {seed}"
        if name != "many":
            # superseded: "b", "a", NULL of key 1, the upsert of 2, the older row of 3, the upsert of 5 under the truncate
            said = {"read": 11, "applied": 4, "unchanged": 0, "superseded": 6, "duplicate": 1, "filtered": 0, "quarantined": 0}
            assert counted == said, f"{name}, seed {seed}"


@FORMATS
@SOURCES
@pytest.mark.parametrize("step", [MERGE, COPY])
def test_a_column_that_appears_is_left_and_one_that_vanishes_is_named(tmp_path: Path, table_format: str, source: str, step: str) -> None:
    """A JSON object without a field says NULL; a table-like file without a declared column is no such file."""
    project = shop(tmp_path, table_format, source, step)
    put(project, f"1.{source}", [row(1) | {"extra": "x"}])
    assert project.record()[0].code == 0
    put(project, f"2.{source}", [{"id": 2, "version": 1}])
    done, _ = project.record()
    if source == "json":
        assert (done.code, found(project)) == (0, [(1, 1, "new"), (2, 1, None)]), done.err
        return
    assert (done.code, f"2.{source}: column 'state' is" in done.err) == (1, True), done.err
    assert found(project) == [(1, 1, "new")]
    put(project, f"2.{source}", [row(2, 1, "again")])
    assert project.penstock("batch", "retry", ".", "orders", "2").code == 0
    done, _ = project.record()
    assert (done.code, found(project)) == (0, [(1, 1, "new"), (2, 1, "again")]), done.err


@FORMATS
def test_a_field_that_vanishes_from_change_events_never_becomes_null(tmp_path: Path, table_format: str) -> None:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format))
    project.write("landing/orders/1.json", events(event("c", 1, 1, "new", "1.00")))
    more, less = (json.loads(e) for e in (event("c", 2, 2, "new", "2.00"), event("u", 1, 3, "paid")))
    more["after"]["extra"] = 1
    del less["after"]["amount"]
    project.write("landing/orders/2.json", events(json.dumps(more), json.dumps(less)))
    done, steps = project.record()
    assert (done.code, steps["orders"]["counts"]["quarantined"]) == (0, 1), done.err
    assert [tuple(r.values()) for r in project.rows("lake.shop.orders")] == [(1, "new", "1.00"), (2, "new", "2.00")]
    assert [r["__reason"] for r in project.rows("lake.shop.orders__quarantine")] == ["column 'amount' is not in the event"]


CUTS = {
    "half": lambda data: data[: len(data) // 2],
    "last byte": lambda data: data[:-1],
    "footer": lambda data: data[:-8],
    "empty": lambda _: b"",
    "zeros inside": lambda data: data[:40] + bytes(60) + data[100:],
}


def with_a_cut_file(folder: Path, table_format: str, step: str, cut: str, read: str = "") -> Project:
    project = shop(folder, table_format, "parquet", step)
    project.write("pipeline.yaml", project.text("pipeline.yaml").replace("format: parquet", f"format: parquet{read}"))
    for i in (1, 2, 3):
        whole = put(project, f"{i}.parquet", [row(i * 100 + k, 1, f"row {k}") for k in range(50)])
        if i == 2:
            whole.write_bytes(CUTS[cut](whole.read_bytes()))
    return project


@FORMATS
@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_parquet_file_is_refused_whole_until_it_is_delivered_again(tmp_path: Path, table_format: str, cut: str) -> None:
    project = with_a_cut_file(tmp_path, table_format, COPY, cut)
    done = project.penstock("run", ".")
    assert (done.code, "2.parquet is not a whole Parquet file" in done.err, "bad_files: quarantine" in done.err) == (1, True, True), done.err
    assert found(project) == [], "nothing of the batch is there"
    put(project, "2.parquet", [row(200)])
    assert project.penstock("batch", "retry", ".", "orders", "1").code == 0
    assert project.record()[0].code == 0
    assert len(found(project)) == 101


@FORMATS
@pytest.mark.parametrize("step", [MERGE, COPY])
def test_bad_files_are_quarantined_as_one_row_each_and_the_batch_goes_on(tmp_path: Path, table_format: str, step: str) -> None:
    """Delivered again under another name, it is a new file; skipped, retried and done again, it is one row still."""
    project = with_a_cut_file(tmp_path, table_format, step, "last byte", ", bad_files: quarantine, batch: {max_rows: 1000}")
    put(project, "0.parquet", [{"id": 1, "version": 1}])
    done, steps = project.record()
    assert done.code == 0, done.err
    assert {k: v for k, v in steps["orders"]["counts"].items() if v} == {"read": 102, "applied": 100, "quarantined": 2}
    lacking, cut = project.rows("lake.shop.orders__quarantine")
    assert [r["__position"].rpartition("/")[2] for r in (lacking, cut)] == ["0.parquet", "2.parquet"]
    assert "column 'state' is not one of id, version" in lacking["__reason"]
    assert "2.parquet is not a whole Parquet file" in cut["__reason"]
    assert json.loads(cut["__payload"])["size"] == (tmp_path / "landing/orders/2.parquet").stat().st_size
    put(project, "2 again.parquet", [row(200)])
    assert project.record()[0].code == 0
    assert len(found(project)) == 101


def test_other_broken_files_go_the_same_way(tmp_path: Path) -> None:
    project = shop(tmp_path, "iceberg", "csv", COPY)
    project.write("pipeline.yaml", project.text("pipeline.yaml").replace("format: csv", "format: csv, bad_files: quarantine"))
    project.write("landing/orders/1.csv.gz", b"\x1f\x8b not gzip")
    project.write("landing/orders/2.csv", "id,version\n1,1\n")
    put(project, "3.csv", [row(3)])
    done, steps = project.record()
    assert (done.code, found(project)) == (0, [(3, 1, "new")]), done.err
    assert {k: v for k, v in steps["orders"]["counts"].items() if v} == {"read": 3, "applied": 1, "quarantined": 2}
    reasons = [r["__reason"] for r in project.rows("lake.shop.orders__quarantine")]
    assert [("not a whole gzip file" in r, "the header has only id, version" in r) for r in reasons] == [(True, False), (False, True)]


def test_a_file_that_is_gone_is_no_bad_file(tmp_path: Path) -> None:
    """What its batch names is elsewhere: that is for a person to settle."""
    project = with_a_cut_file(tmp_path, "delta", COPY, "last byte", ", bad_files: quarantine")
    assert project.penstock("run", ".", "--select", "files").code == 0
    (tmp_path / "landing/orders/3.parquet").unlink()
    done = project.penstock("run", ".")
    assert (done.code, "3.parquet is not there" in done.err) == (1, True), done.err


def test_a_replaced_table_does_not_lose_the_rows_of_a_bad_file(tmp_path: Path) -> None:
    project = shop(tmp_path, "delta", "csv", COPY.replace("append", "overwrite"))
    project.write("pipeline.yaml", project.text("pipeline.yaml").replace("format: csv", "format: csv, take: all, bad_files: quarantine"))
    done = project.penstock("plan", ".")
    assert (done.code, "pipeline.yaml:15" in done.err, "bad_files" in done.err) == (2, True, True), done.err


def test_a_parquet_file_with_a_column_twice_or_with_none_is_named(tmp_path: Path) -> None:
    project = shop(tmp_path, "delta", "parquet", COPY)
    (tmp_path / "landing/orders").mkdir(parents=True)
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([1]), pa.array(["a"]), pa.array(["b"])], names=["id", "version", "state", "state"])
    for table, said in ((twice, "column 'state' is there 2 times"), (pa.table({}), "column 'id' is not one of (there is none)")):
        pq.write_table(table, tmp_path / "landing/orders/1.parquet")
        project.penstock("batch", "retry", ".", "orders", "1")
        done = project.penstock("run", ".")
        assert (done.code, said in done.err) == (1, True), done.err


@FORMATS
def test_files_without_rows_are_nothing_and_without_a_header_broken(tmp_path: Path, table_format: str) -> None:
    project = shop(tmp_path, table_format)
    project.write("landing/orders/0.csv", "id,version,state\n")
    done, steps = project.record()
    assert (done.code, sum(steps["orders"]["counts"].values()), found(project)) == (0, 0, []), done.err
    project.write("landing/orders/1.csv", "")
    done, _ = project.record()
    assert (done.code, "1.csv is empty: not even a header stands in it" in done.err, found(project)) == (1, True, []), done.err


@FORMATS
def test_two_thousand_columns(tmp_path: Path, table_format: str) -> None:
    columns = [f"c{i}" for i in range(2000)]
    project = shop(tmp_path, table_format)
    wide = json.dumps({"id": "bigint!", "version": "bigint!"} | dict.fromkeys(columns, "string"))
    project.write("pipeline.yaml", project.text("pipeline.yaml").replace("{id: bigint!, version: bigint!, state: string}", wide).replace(MERGE, COPY))
    lines = [",".join(("id", "version", *columns)), *(",".join((str(k), "1", *(f"{c} {k}" for c in columns))) for k in range(3))]
    project.write("landing/orders/1.csv", "\n".join(lines))
    done, _ = project.record()
    assert done.code == 0, done.err
    rows = TOOLS[table_format](project).rows("shop.orders").sort_by("id").to_pylist()
    assert rows == [{"id": k, "version": 1} | {c: f"{c} {k}" for c in columns} for k in range(3)]
    assert [r["c1999"] for r in project.rows("lake.shop.orders", "c1999")] == ["c1999 0", "c1999 1", "c1999 2"]
    project.write("landing/orders/2.csv", "id,version\n1,1\n")
    assert len(project.penstock("run", ".").err) < 2000, "an error is not a list of all columns"


@FORMATS
def test_two_thousand_columns_of_which_events_leave_most_out(tmp_path: Path, table_format: str) -> None:
    columns = [f"c{i}" for i in range(2000)]
    project = shop(tmp_path, table_format)
    wide = json.dumps({"id": "bigint!", "version": "bigint!"} | dict.fromkeys(columns, "int"))
    text = project.text("pipeline.yaml").replace("{id: bigint!, version: bigint!, state: string}", wide)
    project.write("pipeline.yaml", text.replace(MERGE, "merge: {from: files, into: lake.shop.orders, sequence_by: version, ignore_null_updates: true}"))
    for version in (1, 2):
        said = ("" if i % 2 == version % 2 else str(i) for i in range(2000))
        project.write(f"landing/orders/{version}.csv", f"id,version,{','.join(columns)}\n7,{version},{','.join(said)}\n")
    done, _ = project.record()
    assert done.code == 0, done.err
    assert TOOLS[table_format](project).rows("shop.orders").select(["id", "version", *columns]).to_pylist() == [
        {"id": 7, "version": 2} | {f"c{i}": i for i in range(2000)}
    ]


@FORMATS
def test_a_string_of_100_mb_in_a_good_row_and_in_a_bad_one(tmp_path: Path, table_format: str) -> None:
    project = shop(tmp_path, table_format, "json")
    large = "x" * 99_999_996 + "tail"
    put(project, "1.json", [row(1, 1, large), row(2), row(3) | {"version": "x", "state": large}])
    done, steps = project.record()
    assert (done.code, steps["orders"]["counts"]["applied"], steps["orders"]["counts"]["quarantined"]) == (0, 2, 1), done.err
    shown = project.rows("lake.shop.orders", "id, length(state) AS length, right(state, 4) AS ends")
    assert shown == [{"id": 1, "length": 100_000_000, "ends": "tail"}, {"id": 2, "length": 3, "ends": "new"}]
    assert project.rows("lake.shop.orders__quarantine", "length(__payload) > 100000000 AS whole, length(__reason) < 500 AS short") == [
        {"whole": True, "short": True}
    ]
    described = [p for p in (tmp_path / "warehouse").rglob("*") if p.parent.name in ("_delta_log", "metadata") and p.is_file()]
    assert 0 < sum(p.stat().st_size for p in described) < 1_000_000, "statistics do not repeat it"
