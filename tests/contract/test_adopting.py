"""Tables of others taken over, and tables that several pipelines write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pipelines import EVENTS, Project, context, event, events, truncate

from penstock.schema import Column
from penstock.tables import LakeTable

ROWS = [(1, "kept", "1.00"), (2, "changed", "2.00"), (3, "deleted", "3.00")]


def shop_of(folder: Path, table_format: str, text: str = EVENTS) -> Project:
    project = Project(folder)
    project.write("pipeline.yaml", text.replace("FORMAT", table_format))
    return project


def made_by_others(project: Project, table_format: str, rows: list[tuple[Any, ...]]) -> LakeTable:
    """The table with rows that another client wrote, and nothing of Penstock's in it."""
    columns = (Column.parse("id", "bigint!"), Column.parse("state", "string"), Column.parse("amount", "decimal(12,2)"))
    table = context(project).catalog("lake").create("shop", "orders", table_format, columns)
    from decimal import Decimal

    schema = pa.schema([pa.field("id", pa.int64(), nullable=False), ("state", pa.string()), ("amount", pa.decimal128(12, 2))])
    data = pa.Table.from_pylist([{"id": i, "state": s, "amount": Decimal(a)} for i, s, a in rows], schema=schema)
    native: Any = table.pin().native
    if table_format == "iceberg":
        native.append(data)
    else:
        from deltalake import write_deltalake

        write_deltalake(native, data, mode="append")
    return table


def test_a_table_of_others_is_adopted_before_anything_is_merged_into_it(tmp_path: Path, table_format: str) -> None:
    shop = shop_of(tmp_path, table_format, EVENTS.replace("orders}", "orders, max_ahead: 1000}"))
    made_by_others(shop, table_format, ROWS)
    shop.write("landing/orders/1.json", events(event("u", 2, 10, "paid", "2.50"), event("d", 3, 11), event("c", 4, 12, "new")))
    refused = shop.penstock("run", ".")
    assert (refused.code, "has rows that Penstock never wrote" in refused.err, "penstock adopt lake.shop.orders" in refused.err) == (1, True, True), refused.err
    done = shop.penstock("adopt", "lake.shop.orders")
    assert (done.code, "adopted with 3 rows" in done.out, "older than any event" in done.out) == (0, True, True), done.err
    assert [r["id"] for r in shop.rows("lake.shop.orders", "id")] == [1, 2, 3]
    again = shop.penstock("adopt", "lake.shop.orders")
    assert (again.code, "is kept by Penstock already" in again.err) == (2, True), again.err
    run, steps = shop.record()
    assert run.code == 0, run.err
    assert steps["orders"]["counts"]["applied"] == 3
    found = [(r["id"], r["state"]) for r in shop.rows("lake.shop.orders")]
    assert found == [(1, "kept"), (2, "paid"), (4, "new")]


def test_what_a_full_copy_does_to_an_adopted_table_is_what_was_said(tmp_path: Path, table_format: str) -> None:
    text = EVENTS.replace("format: debezium, decimal_handling_mode: string", "format: csv, take: all").replace("orders}", "orders, full_copy: true}")
    shop = shop_of(tmp_path, table_format, text)
    made_by_others(shop, table_format, ROWS)
    done = shop.penstock("adopt", "lake.shop.orders")
    assert (done.code, "one whose key the copy does not have is deleted" in done.out, "older than any event" in done.out) == (0, True, False), done.err
    shop.write("landing/orders/1.csv", "id,state,amount\n1,kept,1.00\n2,other,2.00\n")
    run, steps = shop.record()
    assert (run.code, steps["orders"]["counts"]["applied"], steps["orders"]["counts"]["unchanged"]) == (0, 2, 1), run.err
    assert [(r["id"], r["state"]) for r in shop.rows("lake.shop.orders")] == [(1, "kept"), (2, "other")]


@pytest.mark.parametrize(
    ("rows", "text", "said"),
    [
        ([*ROWS, (1, "again", "1.00")], EVENTS, "0 rows of shop.orders have no key, 1 keys stand more than once"),
        (ROWS, EVENTS.replace("orders}", "orders, stored_as_scd_type: 2}"), "adopting lake.shop.orders as a history is not supported"),
        (ROWS, EVENTS.replace("amount: ", "price: "), "it lacks price decimal(12,2)"),
    ],
    ids=["keys twice", "history", "columns"],
)
def test_what_cannot_be_adopted_is_left_as_it_was(tmp_path: Path, table_format: str, rows: list[tuple[Any, ...]], text: str, said: str) -> None:
    shop = shop_of(
        tmp_path, table_format, text.replace("    keys: [id]", "    keys: [id]\n    on_schema_change: {new_column: fail}") if "price" in text else text
    )
    table = made_by_others(shop, table_format, rows)
    before = table.pin().version
    refused = shop.penstock("adopt", "lake.shop.orders")
    assert (refused.code in (1, 2), said in refused.err, table.pin().version) == (True, True, before), refused.err


def test_a_table_is_written_by_two_pipelines_where_both_say_so(tmp_path: Path, table_format: str) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    text = EVENTS.replace("keys: [id]", "keys: [id]\n    SHARED").replace("warehouse: warehouse", f"warehouse: {tmp_path}/warehouse")
    first = shop_of(ours, table_format, text.replace("SHARED", "shared: true"))
    second = shop_of(theirs, table_format, text.replace("pipeline: shop", "pipeline: store").replace("SHARED", "readers: [spark]"))
    first.write("landing/orders/1.json", events(event("c", 1, 10, "ours")))
    second.write("landing/orders/1.json", events(event("c", 2, 5, "theirs")))
    assert first.penstock("run", ".").code == 0
    refused = second.penstock("run", ".")
    assert (refused.code, "kept by pipeline 'shop'" in refused.err) == (1, True), refused.err
    second.write("pipeline.yaml", second.text("pipeline.yaml").replace("readers: [spark]", "shared: true"))
    assert second.penstock("run", ".").code == 0
    first.write("landing/orders/2.json", events(event("u", 1, 11, "ours again"), truncate(99)))
    done, steps = first.record()
    assert done.code == 0, done.err
    assert steps["orders"]["counts"]["quarantined"] == 1
    assert [(r["id"], r["state"]) for r in first.rows("lake.shop.orders")] == [(1, "ours again"), (2, "theirs")]
    reasons = first.rows("lake.shop.orders__quarantine", "__reason")
    assert reasons == [{"__reason": "a truncate would empty what other pipelines wrote"}]


def two_pipelines(folder: Path, table_format: str) -> tuple[Project, Project]:
    """Two pipelines that have merged a row each into one table, and one of them another after that."""
    text = EVENTS.replace("keys: [id]", "keys: [id]\n    shared: true").replace("warehouse: warehouse", f"warehouse: {folder}/warehouse")
    ours, theirs = shop_of(folder / "ours", table_format, text), shop_of(folder / "theirs", table_format, text.replace("pipeline: shop", "pipeline: store"))
    ours.write("landing/orders/1.json", events(event("c", 1, 10, "ours")))
    theirs.write("landing/orders/1.json", events(event("c", 2, 5, "theirs")))
    assert [p.penstock("run", ".").code for p in (ours, theirs)] == [0, 0]
    ours.write("landing/orders/2.json", events(event("u", 1, 11, "ours again")))
    assert ours.penstock("run", ".").code == 0
    return ours, theirs


@pytest.mark.parametrize(
    "verb", [("run", ".", "--full-refresh"), ("rollback", "lake.shop.orders", "--to", "1", "--then", "skip")], ids=["full-refresh", "rollback"]
)
def test_what_two_pipelines_wrote_is_not_undone_by_one(tmp_path: Path, table_format: str, verb: tuple[str, ...]) -> None:
    ours, theirs = two_pipelines(tmp_path, table_format)
    refused = ours.penstock(*verb)
    assert (refused.code, "lake.shop.orders, into which pipeline store writes too, is not supported" in refused.err) == (2, True), refused.err
    assert [(r["id"], r["state"]) for r in ours.rows("lake.shop.orders")] == [(1, "ours again"), (2, "theirs")]
    assert {s["status"] for p in (ours, theirs) for s in p.record()[1].values()} == {"nothing to do"}


def test_a_shared_table_that_was_dropped_is_filled_again_by_each_pipeline(tmp_path: Path, table_format: str) -> None:
    both = two_pipelines(tmp_path, table_format)
    context(both[0]).catalog("lake").drop("shop", "orders")
    for project in both:
        done = project.penstock("run", ".")
        assert (done.code, "--full-refresh" in done.err) == (1, True), done.err
        done = project.penstock("run", ".", "--full-refresh")
        assert done.code == 0, done.err
    assert [(r["id"], r["state"]) for r in both[0].rows("lake.shop.orders")] == [(1, "ours again"), (2, "theirs")]


@pytest.mark.parametrize("step", ["merge, full_copy: true", "copy, write: overwrite", "copy, write: overwrite_partitions", "transform, write: overwrite"])
def test_a_shared_table_is_not_replaced(tmp_path: Path, table_format: str, step: str) -> None:
    kind, said = step.split(", ")
    text = EVENTS.replace("format: debezium, decimal_handling_mode: string", "format: csv, take: all").replace("keys: [id]", "keys: [id]\n    shared: true")
    text = text.replace("merge: {from: changes, into: lake.shop.orders}", f"{kind}: {{from: changes, into: lake.shop.orders, {said}}}")
    text = text.replace("from: changes, into", "sql: t.sql, into") if kind == "transform" else text
    planned = shop_of(tmp_path, table_format, text).penstock("plan", ".")
    found = "it would replace what other pipelines write into lake.shop.orders (shared: true); append, merge change events, or write a table of your own"
    assert (planned.code, found in planned.err) == (2, True), planned.err


def test_a_shared_delta_table_on_s3_is_refused_by_plan(tmp_path: Path, table_format: str) -> None:
    text = (
        EVENTS.replace("keys: [id]", "keys: [id]\n    shared: true").replace("warehouse: warehouse", 'warehouse: "s3://bucket/lake"').replace("sqlite", "glue")
    )
    planned = shop_of(tmp_path, table_format, text).penstock("plan", ".")
    assert (planned.code, "have no order among several writers" in planned.err) == ((2, True) if table_format == "delta" else (0, False)), planned.err
