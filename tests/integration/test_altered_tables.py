"""Tables that other tools altered or dropped between two runs: understood, or refused by name; never NULL in place of a value, never a deleted row again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from foreign import TOOLS, Iceberg, Tool
from pipelines import SHOP, Project, lake

PIPELINE = (
    SHOP
    + """  lake.shop.orders:
    format: FORMAT
    columns: {id: bigint!, version: bigint!, state: string, number: int}
    keys: [id]
steps:
  - id: files
    read: {from: raw/orders/, format: csv, batch: {max_files: 1}}
  - id: orders
    merge: {from: files, into: lake.shop.orders, sequence_by: version, apply_as_deletes: state = 'gone'}
"""
)
COPIED = "    copy: {from: files, into: lake.shop.orders, write: append}\n"
HEADER = "id,version,state,number\n"
FIRST = [(1, 1, "a", 1), (2, 1, "b", 2), (3, 1, "c", 3)]
MERGED = [(1, 2, "aa", 11), (2, 1, "b", 2), (3, 1, "c", 3), (4, 1, "d", 4)]


@dataclass
class Shop(Project):
    """Batch 1 is applied; batch 2, which updates key 1 and inserts key 4, has come since."""

    tool: Tool = None  # type: ignore[assignment]

    def found(self, columns: str = "id, version, state, number") -> list[tuple[Any, ...]]:
        return [tuple(r.values()) for r in self.rows("lake.shop.orders", columns)]


@pytest.fixture(params=["iceberg", "delta"])
def shop(tmp_path: Any, request: pytest.FixtureRequest) -> Shop:
    project = Shop(tmp_path)
    project.write("pipeline.yaml", PIPELINE.replace("FORMAT", request.param))
    project.write("landing/orders/1.csv", HEADER + "1,1,a,1\n2,1,b,2\n3,1,c,3\n9,1,z,9\n9,2,gone,\nx,1,,\n")
    assert project.record()[0].code == 0
    project.write("landing/orders/2.csv", HEADER + "1,2,aa,11\n4,1,d,4\n9,1,old,0\n")
    project.tool = TOOLS[request.param](project)
    return project


def without(column: str) -> Callable[[Tool], None]:
    return lambda tool: tool.overwrite("shop.orders", tool.rows("shop.orders").drop_columns([column]))


def test_rows_that_another_tool_deleted_or_wrote_are_what_the_next_batch_meets(shop: Shop) -> None:
    """A row that bears no sequence is older than every event."""
    shop.tool.delete("shop.orders", "id = 2")
    shop.tool.append("shop.orders", {"id": 4, "version": 7, "state": "theirs", "number": 7})
    shop.tool.append("shop.orders", {"id": 5, "version": 7, "state": "theirs", "number": 7})
    assert shop.record()[0].code == 0
    assert shop.found() == [(1, 2, "aa", 11), (3, 1, "c", 3), (4, 1, "d", 4), (5, 7, "theirs", 7)]


def test_properties_of_others_are_no_matter(shop: Shop) -> None:
    shop.tool.set_properties("shop.orders", {"owner": "another", "write.delete.mode": "copy-on-write"})
    assert shop.record()[0].code == 0
    assert shop.found() == MERGED


def test_a_column_that_another_tool_added_is_refused_until_it_is_declared(shop: Shop) -> None:
    shop.tool.add_text("shop.orders", "note")
    done = shop.penstock("run", ".")
    assert (done.code, "it has besides note string" in done.err) == (1, True), done.err
    old, theirs = [(*row, None) for row in FIRST], (6, 1, "f", 6, "theirs")
    assert shop.found("id, version, state, number, note") == old, "old files lack it, and are read"
    shop.tool.append("shop.orders", dict(zip(("id", "version", "state", "number", "note"), theirs, strict=True)))
    assert shop.found("id, version, state, number, note") == [*old, theirs], "beside new ones too"
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("number: int", "number: int, note: string"))
    shop.write("landing/orders/2.csv", "id,version,state,number,note\n1,2,aa,11,hello\n4,1,d,4,\n")
    assert shop.penstock("batch", "retry", ".", "orders", "2").code == 0
    done, _ = shop.record()
    assert done.code == 0, done.err
    assert shop.found("id, version, state, number, note") == [*((*row, "hello" if row[0] == 1 else None) for row in MERGED), theirs]


@pytest.mark.parametrize("step", ["merge", "copy"])
def test_a_column_that_another_tool_dropped_is_not_made_again_empty(shop: Shop, step: str) -> None:
    if step == "copy":
        text = shop.text("pipeline.yaml")
        shop.write("pipeline.yaml", text[: text.index("    merge:")] + COPIED)
        assert shop.penstock("run", ".", "--full-refresh").code == 0
        shop.write("landing/orders/3.csv", HEADER + "7,1,g,7\n")
    without("number")(shop.tool)
    before = shop.found("id, state")
    done = shop.penstock("run", ".")
    assert (done.code, "it lacks number int, which it had before and another tool dropped or renamed" in done.err) == (1, True), done.err
    assert shop.found("id, state") == before
    assert shop.penstock("run", ".", "--full-refresh").code == 0, "what the error says to do"
    assert (4, 4) in shop.found("id, number")


def test_a_type_that_another_tool_changed_is_refused(shop: Shop) -> None:
    rows = shop.tool.rows("shop.orders")
    texts = rows.set_column(rows.column_names.index("number"), "number", rows["number"].cast(pa.string()))
    if isinstance(shop.tool, Iceberg):
        without("number")(shop.tool)
        shop.tool.add_text("shop.orders", "number")
    else:
        shop.tool.overwrite("shop.orders", texts)
    done = shop.penstock("run", ".")
    assert (done.code, "it has number string where number int is declared" in done.err) == (1, True), done.err
    assert shop.penstock("run", ".", "--full-refresh").code == 0
    assert shop.found() == MERGED


def test_a_column_of_an_iceberg_table_that_was_dropped_and_given_again_is_never_read_from_old_files(tmp_path: Any) -> None:
    shop = Shop(tmp_path)
    shop.write("pipeline.yaml", PIPELINE.replace("FORMAT", "iceberg"))
    shop.write("landing/orders/1.csv", HEADER + "1,1,a,1\n")
    assert shop.record()[0].code == 0
    tool = Iceberg(shop)
    with tool.table("shop.orders").update_schema() as update:
        update.delete_column("state")
    tool.add_text("shop.orders", "state")
    assert shop.rows("lake.shop.orders", "id, state") == [{"id": 1, "state": None}], "as Iceberg has it"
    shop.write("landing/orders/2.csv", HEADER + "2,2,b,1\n")
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err
    assert shop.rows("lake.shop.orders", "id, state") == [{"id": 1, "state": None}, {"id": 2, "state": "b"}]
    assert sorted(tool.table("shop.orders").scan().to_arrow()["state"].to_pylist(), key=str) == [None, "b"]


@pytest.mark.parametrize("also", [(), ("__memory",), ("__memory", "__quarantine")])
def test_a_dropped_table_stops_the_run_and_full_refresh_makes_it_anew(shop: Shop, also: tuple[str, ...]) -> None:
    for suffix in ("", *also):
        shop.tool.drop(f"shop.orders{suffix}")
    done = shop.penstock("run", ".")
    assert (done.code, "lake.shop.orders holds batch 0 of step 'orders', but batch 1 was applied to it" in done.err) == (1, True), done.err
    assert "--full-refresh" in done.err
    assert shop.penstock("run", ".").code == 1, "and stays so"
    done, steps = shop.record("--full-refresh")
    assert (done.code, steps["orders"]["counts"]["read"], steps["orders"]["counts"]["quarantined"]) == (0, 9, 1), done.err
    assert shop.found() == MERGED
    assert [r["__batch"] for r in shop.rows("lake.shop.orders__quarantine")] == [1]


def test_a_dropped_memory_stops_the_run_before_a_deleted_row_rises_again(shop: Shop) -> None:
    shop.tool.drop("shop.orders__memory")
    for verb in (("run", "."), ("batch", "skip", ".", "orders", "2")):
        done = shop.penstock(*verb)
        assert (done.code, "lake.shop.orders__memory is gone" in done.err, "--full-refresh" in done.err) == (1, True, True), done.err
    assert shop.found() == FIRST
    assert shop.penstock("run", ".", "--full-refresh").code == 0
    assert shop.found() == MERGED


def test_a_table_that_another_tool_brought_back_stops_the_run_until_a_rollback_says_what_becomes_of_its_batches(shop: Shop) -> None:
    assert shop.record()[0].code == 0
    first = next(v["version"] for v in shop.penstock("history", "lake.shop.orders", "--json").json() if v["batch"] == 1)
    shop.tool.bring_back("shop.orders", first)
    shop.write("landing/orders/3.csv", HEADER + "5,1,e,5\n")
    done = shop.penstock("run", ".")
    assert (done.code, "brought it back to a state from before" in done.err) == (1, True), (done.out, done.err)
    assert shop.found() == FIRST
    done = shop.penstock("rollback", "lake.shop.orders", "--to", "1", "--then", "skip")
    assert done.code == 0, done.err
    assert shop.record()[0].code == 0
    assert shop.found() == [*FIRST, (5, 1, "e", 5)]
    assert shop.record()[0].code == 0


def test_a_dropped_quarantine_is_begun_anew(shop: Shop) -> None:
    shop.tool.drop("shop.orders__quarantine")
    shop.write("landing/orders/2.csv", shop.text("landing/orders/2.csv") + "y,1,,\n")
    assert shop.record()[0].code == 0
    assert [r["__batch"] for r in shop.rows("lake.shop.orders__quarantine")] == [2]


def test_a_table_whose_files_are_gone_is_one_clear_error(shop: Shop) -> None:
    shutil.rmtree(shop.tool.location("shop.orders"))
    done = shop.penstock("run", ".")
    assert (done.code, "table shop.orders is in its catalog, but" in done.err, "--full-refresh" in done.err) == (1, True, True), done.err
    assert shop.penstock("run", ".", "--full-refresh").code == 0
    assert shop.found() == MERGED


def test_a_transform_does_not_take_files_that_another_tool_removed_for_none(shop: Shop) -> None:
    """Of two files one is gone."""
    text = shop.text("pipeline.yaml")
    copy = "  lake.shop.copy: {format: iceberg, columns: {id: bigint}}\nsteps:"
    shop.write("pipeline.yaml", text.replace("steps:", copy) + "  - {id: copy, transform: {sql: copy.sql, into: lake.shop.copy}}\n")
    shop.write("copy.sql", "SELECT id FROM lake.shop.orders")
    assert shop.penstock("run", ".", "--select", "orders").code == 0
    table = lake(shop, "shop", "orders")
    gone, *_ = table.files(table.pin())
    Path(gone.uri).unlink()
    stopped = shop.penstock("run", ".", "--select", "copy")
    assert (stopped.code, f"1 files of lake.shop.orders that this batch reads are not there, {gone.uri} among them" in stopped.err) == (1, True), stopped.err
    assert shop.rows("lake.shop.copy") == []


def test_the_first_batch_skipped_and_a_table_of_its_own_after_a_move_are_no_dropped_tables(shop: Shop) -> None:
    """A skipped batch leaves a memory behind; a step that writes elsewhere begins there."""
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("lake.shop.orders", "lake.shop.others"))
    assert shop.penstock("batch", "skip", ".", "orders", "1").code == 0
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err
    assert [r["id"] for r in shop.rows("lake.shop.others")] == [1, 4, 9]


def test_how_deletes_are_written_is_as_the_owner_set_it_last(shop: Shop) -> None:
    """By the table's own property, or by other `readers` in the pipeline file."""
    declared = shop.text("pipeline.yaml")
    is_iceberg = isinstance(shop.tool, Iceberg)
    name, on_read, on_write = ("write.merge.mode", "merge-on-read", "copy-on-write") if is_iceberg else ("delta.enableDeletionVectors", "true", "false")

    def after(number: int, readers: str, **own: str) -> str | None:
        shop.write("pipeline.yaml", declared.replace("    keys: [id]", f"    keys: [id]\n    readers: [{readers}]"))
        if own:
            shop.tool.set_properties("shop.orders", {name: own["mode"]})
        shop.write(f"landing/orders/{number}.csv", f"{HEADER}1,{number},{number},{number}\n")
        assert shop.record()[0].code == 0
        return shop.tool.property("shop.orders", name)

    assert after(3, "spark") == on_read
    assert after(4, "spark", mode=on_write) == on_write, "and no run sets it back"
    assert after(5, "spark, trino") == on_write, "who both know deleted rows"


def of_version_3(shop: Shop, **field: Any) -> None:
    """The table's metadata as a writer of format version 3 leaves it, its last column with such a property."""
    assert isinstance(shop.tool, Iceberg)
    file = Path(shop.tool.table("shop.orders").metadata_location.removeprefix("file://"))
    said = json.loads(file.read_text())
    visible = [f for f in said["schemas"][-1]["fields"] if not f["name"].startswith("__")]
    visible[-1].update(field)
    file.write_text(json.dumps(said | {"format-version": 3, "next-row-id": 0}))


@pytest.mark.parametrize("shop", ["iceberg"], indirect=True)
def test_a_table_of_a_newer_format_is_read_and_not_written(shop: Shop) -> None:
    of_version_3(shop)
    assert shop.found() == [(1, 1, "a", 1), (2, 1, "b", 2), (3, 1, "c", 3)]
    done, _ = shop.record()
    assert (done.code, "writing shop.orders of Iceberg format version 3 is not supported" in done.err) == (2, True), done.err


@pytest.mark.parametrize("shop", ["iceberg"], indirect=True)
def test_a_default_that_older_rows_have_by_the_metadata_alone_is_refused(shop: Shop) -> None:
    of_version_3(shop, **{"initial-default": 7})
    read = shop.penstock("query", "SELECT * FROM lake.shop.orders")
    assert (read.code, "of which number has an initial default in rows that were there before it, is not supported" in read.err) == (2, True), read.err
