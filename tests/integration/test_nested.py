"""Structs, arrays and maps through every door: read from feeds and files, merged, copied, transformed, compacted, printed, and read by others."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from foreign import TOOLS, Iceberg
from pipelines import SHOP, Project, lake
from pyiceberg.types import IntegerType

COLUMNS = {
    "id": "bigint!",
    "who": "struct<name: string, `since when`: date, home: struct<zip: string!, at: timestamp>>",
    "tags": "array<string>",
    "lines": "array<struct<sku: string!, qty: int, price: decimal(38,4)>!>",
    "attrs": "map<string, decimal(10,2)>",
    "days": "map<date, array<bigint>>",
}
HEAD = (
    SHOP
    + """  lake.shop.orders: {format: FORMAT, columns: COLUMNS, keys: [id]}
"""
)
MERGED = """
  lake.shop.versions: {format: FORMAT, columns: COLUMNS, keys: [id]}
  lake.shop.lines:
    format: FORMAT
    columns: {id: bigint, sku: string, who: "struct<zip: string, name: string>", attrs: "map<string, decimal(10,2)>", all: "array<struct<sku: string>>"}
steps:
  - id: changes
    read: {from: raw/orders/, format: debezium, batch: {max_files: 1}}
  - id: orders
    merge: {from: changes, into: lake.shop.orders}
  - id: versions
    merge: {from: changes, into: lake.shop.versions, stored_as_scd_type: 2, track_history_column_list: [tags, attrs]}
  - id: lines
    transform: {sql: lines.sql, into: lake.shop.lines}
"""
LINES = """
SELECT id, line.sku AS sku, named_struct('name', who.name, 'zip', who.home.zip) AS who, attrs, transform(lines, l -> named_struct('sku', l.sku)) AS all
FROM (SELECT *, explode(lines) AS line FROM lake.shop.orders)
"""
FED = """
steps:
  - id: files
    read: {from: raw/orders/, format: json, columns: {v: bigint!, MORE}, batch: {max_files: 1}}
  - id: orders
    merge: {from: files, into: lake.shop.orders, sequence_by: v, ignore_null_updates_column_list: [tags, attrs], max_ahead: 1000}
"""
COPIED = """
steps:
  - id: files
    read: {from: raw/orders/, format: parquet, batch: {max_files: 1}}
  - id: orders
    copy: {from: files, into: lake.shop.orders, write: append}
"""
ANNE: dict[str, Any] = {
    "id": 1,
    "who": {"name": "Anne", "since when": -40_000, "home": {"zip": "0123", "at": 1_700_000_000_000_000}},
    "tags": ["a", None, ""],
    "lines": [{"sku": "x", "qty": 2, "price": "AZA="}, {"sku": "y", "qty": None, "price": None}],
    "attrs": {"b": "AJY=", "a": None},
    "days": [[19_000, [1, 2]], [-1, None]],
}
SHOWN: dict[str, Any] = {
    "id": 1,
    "who": {"name": "Anne", "since when": "1860-06-26", "home": {"zip": "0123", "at": "2023-11-14 22:13:20+00:00"}},
    "tags": ["a", None, ""],
    "lines": [{"sku": "x", "qty": 2, "price": "0.0400"}, {"sku": "y", "qty": None, "price": None}],
    "attrs": {"a": None, "b": "1.50"},
    "days": {"1969-12-31": None, "2022-01-08": [1, 2]},
}
NOTHING: dict[str, Any] = {"id": 2, "who": None, "tags": [], "lines": None, "attrs": {}, "days": None}
LOST = "__debezium_unavailable_value"
ORDERS = "lake.shop.orders"


def change(op: str, lsn: int, image: dict[str, Any]) -> str:
    source = {"connector": "postgresql", "sequence": f'["{lsn}","{lsn}"]', "lsn": lsn, "snapshot": "false", "table": "orders"}
    event = {"before": {"id": image["id"]} if op == "d" else None, "after": None if op == "d" else image, "source": source, "op": op, "ts_ms": lsn}
    return json.dumps(event) + "\n"


def declared(table_format: str) -> dict[str, str]:
    """Parts that are never NULL on Iceberg alone."""
    return COLUMNS if table_format == "iceberg" else {c: t if c == "id" else t.replace("!", "") for c, t in COLUMNS.items()}


def text(table_format: str, steps: str) -> str:
    columns = json.dumps(declared(table_format))
    return (HEAD + steps).replace("FORMAT", table_format).replace("COLUMNS", columns).replace("MORE", columns[1:-1])


def project(folder: Path, table_format: str, steps: str) -> Project:
    found = Project(folder)
    found.write("pipeline.yaml", text(table_format, steps))
    found.write("lines.sql", LINES)
    return found


def run(shop: Project) -> dict[str, dict[str, Any]]:
    done, steps = shop.record()
    assert done.code == 0, done.err
    return steps


def read_by_others(shop: Project, table_format: str, name: str = "orders") -> list[dict[str, Any]]:
    """The rows as the format's own library has them, spelt as a query spells them."""
    rows = TOOLS[table_format](shop).rows(f"shop.{name}")
    found = rows.drop_columns([c for c in rows.column_names if c.startswith("__")]).to_pylist(maps_as_pydicts="strict")
    return sorted((_spelt(row) for row in found), key=lambda row: (row["id"], str(row)))


def theirs(table_format: str, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows as others read them. Not there upstream: pyiceberg 0.12.0 reads a NULL list of structs as an empty one."""
    return [row | {"lines": row["lines"] or []} for row in rows] if table_format == "iceberg" else list(rows)


def _spelt(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _spelt(v) for k, v in value.items()}
    return list(map(_spelt, value)) if isinstance(value, list) else value if isinstance(value, int | None) else str(value)


def test_merged_transformed_and_read_by_others(tmp_path: Path, table_format: str) -> None:
    shop = project(tmp_path, table_format, MERGED)
    shop.write("landing/orders/1", change("c", 1, ANNE) + change("c", 2, NOTHING))
    steps = run(shop)
    assert (steps["orders"]["counts"]["applied"], steps["versions"]["counts"]["applied"]) == (2, 2)
    assert shop.rows(ORDERS) == [SHOWN, NOTHING]
    assert read_by_others(shop, table_format) == theirs(table_format, SHOWN, NOTHING)
    line = {"id": 1, "sku": "x", "who": {"zip": "0123", "name": "Anne"}, "attrs": SHOWN["attrs"], "all": [{"sku": "x"}, {"sku": "y"}]}
    assert shop.rows("lake.shop.lines") == read_by_others(shop, table_format, "lines") == [line, line | {"sku": "y"}]

    again = ANNE | {"attrs": {"a": None, "b": "AJY="}, "days": ANNE["days"][::-1]}  # the same maps, written in another order
    left_out = {"tags": [LOST], "attrs": {LOST: LOST}, "days": list(LOST.encode()), "lines": []}
    shop.write("landing/orders/2", change("u", 1, again) + change("u", 3, ANNE | left_out) + change("d", 4, NOTHING))
    counts = run(shop)["orders"]["counts"]
    assert (counts["applied"], counts["unchanged"], counts["quarantined"]) == (2, 1, 0)
    now = SHOWN | {"lines": []}
    assert shop.rows(ORDERS) == read_by_others(shop, table_format) == [now]
    versions = shop.rows("lake.shop.versions", "id, lines, __start_at_1 AS since, __end_at_1 AS until")
    assert versions == [{"id": 1, "lines": [], "since": 1, "until": None}, {"id": 2, "lines": None, "since": 2, "until": 4}]

    assert json.dumps(SHOWN["days"]).replace('"', '""') in shop.penstock("query", f"SELECT days FROM {ORDERS}", "--csv").out


def test_a_json_feed_and_values_that_do_not_fit(tmp_path: Path, table_format: str) -> None:
    shop = project(tmp_path, table_format, FED)
    good = SHOWN | {"lines": [{"sku": "x", "qty": 2, "price": 0.04}], "attrs": {"b": 1.5}, "who": SHOWN["who"] | {"more": 1}}
    wrong = {
        "days": {"yesterday": []},
 "lines": [{"sku": 1}], "attrs": {"a": 1.555}, "tags": {"a": 1}, "who": {"home": {"zip": "1", "at": "2020-01-01T00:00:00"}},
    }  # fmt: skip
    rows = [good | {"v": 1}, *(good | {"id": 10 + i, "v": 1, c: value} for i, (c, value) in enumerate(wrong.items()))]
    shop.write("landing/orders/1", "".join(json.dumps(row) + "\n" for row in rows))
    ahead = good | {"id": 15, "v": 10**6}
    shop.write("landing/orders/2", "".join(json.dumps(row) + "\n" for row in (ahead, {"id": 1, "v": 2, "who": {"home": {"zip": "9"}}, "attrs": {}})))
    assert run(shop)["orders"]["counts"]["quarantined"] == 6
    home = {"name": None, "since when": None, "home": {"zip": "9", "at": None}}
    wanted = {"id": 1, "who": home, "tags": SHOWN["tags"], "lines": None, "attrs": {}, "days": None}
    assert shop.rows(ORDERS) == [wanted]
    assert read_by_others(shop, table_format) == theirs(table_format, wanted)
    kept = shop.rows("lake.shop.orders__quarantine", "__reason AS why, __payload AS line")
    payloads = {row["id"]: row for row in (json.loads(row["line"]) for row in kept)}
    assert sorted(payloads) == [10, 11, 12, 13, 14, 15]
    assert payloads[15] | {"__op": "u"} == SHOWN | {"id": 15, "lines": [{"sku": "x", "qty": 2, "price": "0.0400"}], "attrs": {"b": "1.50"}, "__op": "u"}
    for column, why in {
        "days": "in 'key':", "lines": "in 'element': in 'sku': expected text, not int", "attrs": "in 'value': Rescaling", "tags": "expected a list, not dict",
        "who": "in 'home': in 'at': ",
    }.items():  # fmt: skip
        assert [row for row in kept if f"column {column!r} is {declared(table_format)[column]}, which cannot hold" in row["why"] and why in row["why"]], column


def parquet(rows: list[dict[str, Any]], lines: pa.DataType) -> bytes:
    home = pa.struct([("at", pa.timestamp("ms", "UTC")), ("zip", pa.large_string())])
    kinds = {
        "days": pa.map_(pa.date32(), pa.large_list(pa.int32())), "id": pa.int32(),
        "who": pa.struct([("home", home), ("name", pa.string()), ("since when", pa.date32())]),
        "tags": pa.list_(pa.string()), "lines": pa.list_(lines), "attrs": pa.map_(pa.string(), pa.decimal128(5, 1)),
    }  # fmt: skip
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(kinds)), out)
    return out.getvalue()


def test_copied_from_parquet_by_the_names_of_fields_and_compacted(tmp_path: Path, table_format: str) -> None:
    shop = project(tmp_path, table_format, COPIED)
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("keys: [id]", "keys: [id], maintain: {compact: sort, min_files: 2}"))
    line = pa.struct([("qty", pa.int8()), ("sku", pa.string()), ("more", pa.int8()), ("price", pa.decimal128(9, 1))])
    whole = {
        "id": 1,
        "who": {"home": {"zip": "1"}},
        "lines": [{"sku": "x", "qty": 1, "price": Decimal("0.5"), "more": 7}],
        "attrs": [("b", Decimal(1)), ("a", None)],
    }
    promised = table_format == "iceberg"  # of parts that are never NULL
    twice = {"id": 2, "attrs": [("a", None), ("a", None)]}
    without = {"id": 3, "who": {"home": {"zip": None}}}
    shop.write("landing/orders/1", parquet([whole, twice, without], line))
    assert run(shop)["orders"]["counts"]["quarantined"] == 1 + promised
    who = {"name": None, "since when": None, "home": {"zip": "1", "at": None}}
    wanted = NOTHING | {"id": 1, "who": who, "tags": None, "lines": [{"sku": "x", "qty": 1, "price": "0.5000"}], "attrs": {"a": None, "b": "1.00"}}
    assert shop.rows(ORDERS)[:1] == read_by_others(shop, table_format)[:1] == [wanted]
    shop.write("landing/orders/2", parquet([whole | {"id": 0}], line))
    run(shop)
    rows, table = shop.rows(ORDERS), lake(shop, "shop", "orders")
    assert len(table.files(table.pin())) == 2
    assert shop.penstock("maintain", ORDERS).code == 0
    assert len(table.files(table.pin())) == 1
    assert shop.rows(ORDERS) == sorted(rows, key=lambda row: row["id"])
    assert read_by_others(shop, table_format)[:2] == [wanted | {"id": 0}, wanted]
    payloads = [json.loads(row["line"]) for row in shop.rows("lake.shop.orders__quarantine", "__payload AS line")]
    assert sorted(p["id"] for p in payloads) == [2, 3][: 1 + promised]
    assert [p["attrs"] for p in payloads if p["id"] == 2] == [[["a", None], ["a", None]]]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (pa.struct([("qty", pa.int8()), ("price", pa.decimal128(9, 1))]), "field 'lines.element.sku' is declared as string, and is not in the file"),
        (pa.struct([("qty", pa.string()), ("sku", pa.string())]), "column 'lines.element.qty' is string in the file and int in the declaration"),
        (pa.int8(), "column 'lines.element' is int8 in the file and struct<"),
    ],
    ids=["lacks a field", "another type", "no struct"],
)
def test_a_parquet_file_of_another_shape_is_refused(tmp_path: Path, lines: pa.DataType, said: str) -> None:
    shop = project(tmp_path, "iceberg", COPIED)
    shop.write("landing/orders/1", parquet([], lines))
    done = shop.penstock("run", ".")
    assert (done.code, said in done.err) == (1, True), done.err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("keys: [id]}", "keys: [who]}", "keys: who may be NULL"),
        ('"id": "bigint!"', '"id": "array<bigint>!"', "column 'id' is a array (array<bigint>); keys takes columns that are no struct, array or map"),
        ("keys: [id]}", "keys: [id], partition_by: [tags]}", "column 'tags' is a array (array<string>); partition_by takes"),
        ("keys: [id]}", "keys: [id], maintain: {compact: sort, sort_by: [attrs]}}", "sort_by takes columns that are no struct"),
        ("keys: [id]}", "keys: [id], maintain: {compact: zorder, zorder_by: [attrs]}}", "zorder_by takes columns that are no struct"),
        ("sequence_by: v", "sequence_by: tags", "a sequence is an int, a bigint, a date or a timestamp"),
        ("format: json", "format: csv", "column 'who' is a struct, and csv has no structs; json and parquet do"),
        ("qty: int", "qty: itn", "column 'lines': type 'itn' is not one of"),
        ("qty: int", "SKU: int", "fields 'sku' and 'SKU' differ only in case"),
        ("format: iceberg", "format: delta", "delta tables cannot promise that a part of a column is never NULL: leave out the ! inside struct<name"),
        ('"id": "bigint!"', '"id": "bigint!", "who.name": "int"', "'who.name' is a column, or a field inside one, twice over"),
    ],
)  # fmt: skip
def test_plan_says_what_cannot_be(tmp_path: Path, old: str, new: str, said: str) -> None:
    shop = project(tmp_path, "iceberg", FED)
    assert shop.penstock("plan", ".").code == 0
    assert old in text("iceberg", FED)
    shop.write("pipeline.yaml", text("iceberg", FED).replace(old, new))
    done = shop.penstock("plan", ".")
    assert done.code == 2
    assert said in done.err
    assert "pipeline.yaml:" in done.err


def test_a_copy_into_redshift_is_refused_by_plan(tmp_path: Path) -> None:
    redshift = "dwh.mart.orders: {columns: {id: bigint!, tags: array<string>}, keys: [id]}"
    tables = f"\n  {redshift}\nsteps:\n  - {{id: load, copy: {{from: lake.shop.orders, into: dwh.mart.orders, write: merge}}}}\n"
    shop = project(tmp_path, "iceberg", tables)
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("tables:", "  dwh: {kind: redshift, workgroup: w}\ntables:", 1))
    done = shop.penstock("plan", ".")
    assert (done.code, "column 'tags' is a array, and COPY takes none" in done.err) == (2, True), done.err


def test_a_change_inside_is_refused_by_name_and_a_new_column_is_appended(tmp_path: Path, table_format: str) -> None:
    shop = project(tmp_path, table_format, MERGED)
    shop.write("landing/orders/1", change("c", 1, ANNE))
    run(shop)
    written = shop.text("pipeline.yaml")
    shop.write("pipeline.yaml", written.replace("qty: int", "qty: bigint"))
    shop.write("landing/orders/2", change("c", 2, NOTHING))
    done = shop.penstock("run", ".")
    assert done.code == 1
    assert "it has lines.element.qty int where lines.element.qty bigint is declared" in done.err
    assert shop.rows(ORDERS) == [SHOWN]
    shop.write("pipeline.yaml", written.replace('"tags":', '"more": "array<struct<at: timestamp_ntz>>", "tags":'))
    shop.write("landing/orders/3", change("c", 3, NOTHING | {"id": 3, "more": [{"at": 0}]}))
    run(shop)
    assert shop.rows(ORDERS) == [SHOWN | {"more": None}, NOTHING | {"id": 3, "more": [{"at": "1970-01-01 00:00:00"}]}]
    assert shop.rows("lake.shop.orders__quarantine", "__reason AS why") == [{"why": "column 'more' is not in the event"}]


def test_fields_that_others_put_inside_are_read_and_renamed_ones_refused(tmp_path: Path, table_format: str) -> None:
    shop = project(tmp_path, table_format, MERGED)
    shop.write("landing/orders/1", change("c", 1, ANNE) + change("c", 2, NOTHING))
    run(shop)
    tool = TOOLS[table_format](shop)
    if isinstance(tool, Iceberg):
        with tool.table("shop.orders").update_schema() as update:
            update.add_column(("who", "age"), IntegerType())
    else:
        from deltalake import write_deltalake

        row = pa.table({"id": [3], "who": pa.array([{"age": 7}], pa.struct([("age", pa.int32())])), "__sequence_1": [9], "__sequence_2": [9]})
        write_deltalake(tool.table("shop.orders"), row, mode="append", schema_mode="merge")
    found = shop.rows(ORDERS)
    assert found[:2] == [SHOWN | {"who": SHOWN["who"] | {"age": None}}, NOTHING]
    if isinstance(tool, Iceberg):
        with tool.table("shop.orders").update_schema() as update:
            update.rename_column(("who", "name"), "called")
        done = shop.penstock("query", f"SELECT * FROM {ORDERS}")
        assert (done.code, "of which called, a part of a nested column, was renamed" in done.err) == (2, True), done.err
    else:
        assert found[2]["who"] == {"name": None, "since when": None, "home": None, "age": 7}
