"""Tables of others taken over, and tables that several pipelines write."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pipelines import EVENTS, SHOP, Project, append_as_others, context, event, events, lake, truncate

from penstock.evolution import Evolution
from penstock.schema import Column
from penstock.tables import LakeTable, PartitionField

ROWS = [(1, "kept", "1.00"), (2, "changed", "2.00"), (3, "deleted", "3.00")]


def shop_of(folder: Path, table_format: str, text: str = EVENTS) -> Project:
    project = Project(folder)
    project.write("pipeline.yaml", text.replace("FORMAT", table_format))
    return project


def made_by_others(project: Project, table_format: str, rows: list[tuple[Any, ...]]) -> LakeTable:
    """The table with rows that another client wrote, and nothing of Penstock's in it."""
    columns = (Column.parse("id", "bigint!"), Column.parse("state", "string"), Column.parse("amount", "decimal(12,2)"))
    table = context(project).catalog("lake").create("shop", "orders", table_format, columns)
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


DATED = (
    SHOP
    + """  lake.shop.orders:
    format: FORMAT
    columns: {id: bigint!, at: KIND, state: string}
    keys: [id]
steps:
  - id: files
    read: {from: raw/orders/, format: csv}
  - id: orders
    STEP
"""
)
OLDEST, NEWER = {"int": "-5", "date": "0001-01-02"}, {"int": "-4", "date": "0001-01-03"}


def dated(project: Project, table_format: str, kind: str) -> None:
    """A table with the column that orders events, written by others."""
    columns = (("id", "bigint!"), ("at", kind), ("state", "string"))
    table = context(project).catalog("lake").create("shop", "orders", table_format, tuple(Column.parse(*c) for c in columns))
    rows = [{"id": 1, "at": None, "state": "kept"}, {"id": 2, "at": None, "state": "changed"}]
    append_as_others(table, *rows)


@pytest.mark.parametrize("kind", ["int", "date", "timestamp", "timestamp_ntz"])
def test_rows_of_others_are_older_than_the_oldest_event_there_can_be(tmp_path: Path, table_format: str, kind: str) -> None:
    text = DATED.replace("STEP", "merge: {from: files, into: lake.shop.orders, sequence_by: moment, apply_as_deletes: state = 'gone'}")
    text = text.replace("format: csv}", f"format: csv, columns: {{id: bigint!, moment: {kind}!, at: {kind}, state: string}}}}")
    shop = shop_of(tmp_path, table_format, text.replace("KIND", kind))
    dated(shop, table_format, kind)
    assert shop.penstock("adopt", "lake.shop.orders").code == 0
    first, second = (of.get(kind, of["date"] + ("T00:00:00Z" if kind == "timestamp" else "T00:00:00" if "stamp" in kind else "")) for of in (OLDEST, NEWER))
    shop.write("landing/orders/1.csv", f"id,moment,at,state\n2,{first},{first},new\n3,{first},{first},born\n")
    shop.write("landing/orders/2.csv", f"id,moment,at,state\n3,{second},{second},gone\n")
    done, _ = shop.record()
    assert done.code == 0, done.err
    assert [(r["id"], r["state"]) for r in shop.rows("lake.shop.orders")] == [(1, "kept"), (2, "new")]


def test_a_table_of_others_is_appended_to_once_it_is_adopted(tmp_path: Path, table_format: str) -> None:
    shop = shop_of(tmp_path, table_format, DATED.replace("STEP", "copy: {from: files, into: lake.shop.orders}").replace("KIND", "date"))
    dated(shop, table_format, "date")
    shop.write("landing/orders/1.csv", "id,at,state\n7,2026-01-01,ours\n")
    assert "penstock adopt lake.shop.orders" in shop.penstock("run", ".").err
    done = shop.penstock("adopt", "lake.shop.orders")
    assert (done.code, "An append adds to these rows" in done.out) == (0, True), done.err
    assert shop.penstock("run", ".").code == 0
    assert [(r["id"], r["state"]) for r in shop.rows("lake.shop.orders")] == [(1, "kept"), (2, "changed"), (7, "ours")]


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


@pytest.mark.parametrize("evolved", [False, True])
def test_iceberg_files_of_hive_have_the_values_of_their_partition(tmp_path: Path, evolved: bool) -> None:
    """Taken over as they were, they lack the partition's column and the numbers of all columns."""
    text = EVENTS.replace("keys: [id]", "keys: [id]\n    partition_by: [state]").replace(
        "steps:", "  lake.shop.states: {format: iceberg, columns: {state: string, orders: bigint}}\nsteps:"
    )
    shop = shop_of(tmp_path, "iceberg", text + "  - {id: states, transform: {sql: states.sql, into: lake.shop.states}}\n")
    shop.write("states.sql", "SELECT state, count(*) AS orders FROM lake.shop.orders GROUP BY state")
    fields = (Column.parse("id", "bigint!"), Column.parse("state", "string"), Column.parse("amount", "decimal(12,2)"))
    table = context(shop).catalog("lake").create("shop", "orders", "iceberg", fields, (PartitionField("identity", "state"),))
    append_as_others(table, {"id": 1, "state": "whole", "amount": Decimal("1.00")})
    take_over_from_hive(table, "it's new", {"id": [2, 3], "amount": [Decimal("2.00"), None]})
    take_over_from_hive(table, None, {"id": [4]})
    if evolved:
        table.evolve(table.pin(), Evolution(append=(Column.parse("note", "string"),)))
        shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("columns: {id: bigint!", "columns: {note: string, id: bigint!"))
    now = {1: "whole", 2: "it's new", 3: "it's new", 4: None}
    theirs: Any = table.pin().native
    assert {r["id"]: r["state"] for r in theirs.scan().to_arrow().to_pylist()} == now, "as pyiceberg reads it"
    for _ in range(2):
        assert {r["id"]: r["state"] for r in shop.rows("lake.shop.orders", "id, state")} == now
        assert shop.rows("lake.shop.orders", "count(*) AS n") == [{"n": 4}]
        shop.penstock("adopt", "lake.shop.orders")
    shop.write("landing/orders/1.json", events(event("d", 2, 10), event("u", 4, 11, "known").replace('"state"', '"note": "", "state"')))
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err
    assert {r["id"]: r["state"] for r in shop.rows("lake.shop.orders", "id, state")} == {1: "whole", 3: "it's new", 4: "known"}
    assert {r["state"] for r in shop.rows("lake.shop.states")} == {"whole", "it's new", "known"}


def take_over_from_hive(table: LakeTable, state: str | None, columns: dict[str, list[Any]]) -> None:
    """A Parquet file as Hive leaves it, registered where it lies, as Spark's `add_files` and `migrate` do."""
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.table.name_mapping import create_mapping_from_schema
    from pyiceberg.typedef import Record

    native: Any = table.pin().native
    types = {"id": pa.int64(), "amount": pa.decimal128(12, 2)}
    path = Path(table.location) / "hive" / f"{state}.parquet"
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({name: pa.array(values, types[name]) for name, values in columns.items()}), path)
    numbers = {native.schema().find_field(name).field_id: len(values) for name, values in columns.items()}
    file = DataFile.from_args(
        content=DataFileContent.DATA, file_format=FileFormat.PARQUET, file_path=f"file://{path}", file_size_in_bytes=path.stat().st_size,
        partition=Record(state), record_count=len(columns["id"]), column_sizes=numbers, value_counts=numbers, null_value_counts={}, nan_value_counts={},
        lower_bounds={}, upper_bounds={}, key_metadata=None, split_offsets=None, equality_ids=None, sort_order_id=None, spec_id=native.spec().spec_id,
    )  # fmt: skip
    with native.transaction() as change:
        change.set_properties({"schema.name-mapping.default": create_mapping_from_schema(native.schema()).model_dump_json()})
        with change.update_snapshot().fast_append() as added:
            added.append_data_file(file)


def test_a_version_that_others_put_into_a_history_is_its_oldest(tmp_path: Path, table_format: str) -> None:
    shop = shop_of(tmp_path, table_format, EVENTS.replace("orders}", "orders, stored_as_scd_type: 2}"))
    shop.write("landing/orders/1.json", events(event("c", 1, 10, "ours")))
    assert shop.penstock("run", ".").code == 0
    append_as_others(lake(shop, "shop", "orders"), {"id": 2, "state": "theirs"})
    found = []
    for number, said in enumerate((event("u", 2, 20, "new"), event("u", 2, 15, "late"), event("d", 2, 30)), 2):
        shop.write(f"landing/orders/{number}.json", events(said))
        done = shop.penstock("run", ".")
        assert done.code == 0, done.err
        found.append([tuple(r.values()) for r in shop.rows("lake.shop.orders WHERE id = 2", "__start_at_1, state, __end_at_1")])
    assert found == [
        [(20, "new", None), (None, "theirs", 20)],
        [(15, "late", 20), (20, "new", None), (None, "theirs", 15)],
        [(15, "late", 20), (20, "new", 30), (None, "theirs", 15)],
    ]
