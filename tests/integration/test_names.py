"""Names that people give: they work in every part, or are refused by `plan` with their place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from foreign import TOOLS
from pipelines import SHOP, Project

ODD = (
    *("filename", "file_row_number", "file_index", "rows", "batch", "pos", "path", "file", "events", "settled", "touched", "placed", "gone", "part", "slot"),
    *(
        "select",
        "order",
        "group",
        "table",
        "row",
        "index",
        "key",
        "value",
        "position",
        "column0",
        "t",
        "r",
        "a b",
        "a.b",
        "a'b",
        "a`b",
        "a%b",
        "a{0}b",
    ),
    *("a,b;c=(d)", "Größe", "日本", "\U0001f600", "CamelCase", "it's -- no comment", "/*", "x" * 300),
)
COLUMNS = {"id": "bigint!", "version": "bigint!"} | dict.fromkeys(ODD, "string")
PIPELINE = (
    SHOP
    + """  TABLE: {format: FORMAT, columns: COLUMNS, keys: [id]}
  lake.shop.copied: {format: FORMAT, columns: COLUMNS}
steps:
  - id: files
    read: {from: raw/in/, format: json, batch: {max_files: 1}}
  - id: merged
    merge: {from: files, into: TABLE, sequence_by: version, apply_as_deletes: \"`a b` = 'gone'\"}
    gate: {suite: suite, on_failure: quarantine}
  - id: copied
    transform: {sql: copied.sql, into: lake.shop.copied}
"""
)


def pipeline(folder: Path, table_format: str, table: str, columns: dict[str, str]) -> Project:
    project = Project(folder)
    text = PIPELINE.replace("FORMAT", table_format).replace("TABLE", json.dumps(table, ensure_ascii=False))
    project.write("pipeline.yaml", text.replace("COLUMNS", json.dumps(columns, ensure_ascii=False)))
    catalog, namespace, name = table.split(".")
    project.write("copied.sql", f"SELECT * FROM {catalog}.`{namespace}`.`{name}`")
    judged = [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": c}} for c in ("a.b", "file_row_number", "a`b")]
    project.write("suite.json", json.dumps({"name": "suite", "expectations": judged}))
    return project


def line(number: int, version: int, value: str, columns: tuple[str, ...] = ODD) -> str:
    return json.dumps({"id": number, "version": version} | {c: f"{value} {c}" for c in columns}, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(
    ("table_format", "table"), [("iceberg", "lake.my shop.Größe it's"), ("delta", "lake.my shop.Größe it's"), ("delta", "lake.information_schema.select")]
)
def test_any_name_works_in_every_part(tmp_path: Path, table_format: str, table: str) -> None:
    project = pipeline(tmp_path, table_format, table, COLUMNS)
    project.write("landing/in/1.json", line(1, 1, "old") + line(2, 1, "old") + line(3, 1, "old") + line(4, 1, "bad", ODD[:-20]))
    project.write("landing/in/2.json", line(1, 2, "new") + line(5, 1, "new") + json.dumps({"id": 3, "version": 2} | dict.fromkeys(ODD, "gone")) + "\n")
    done, steps = project.record()
    assert done.code == 0, done.err
    assert steps["merged"]["counts"]["quarantined"] == 1
    expected = [{"id": i, "version": v} | {c: f"{said} {c}" for c in ODD} for i, v, said in ((1, 2, "new"), (2, 1, "old"), (5, 1, "new"))]
    quoted = ".".join(f'"{part}"' for part in table.split("."))
    assert project.rows(quoted) == expected
    assert project.rows("lake.shop.copied") == expected
    maintained = project.penstock("maintain", "--all")
    assert maintained.code == 0, maintained.err
    for name in (table.partition(".")[2], "shop.copied"):
        found = TOOLS[table_format](project).rows(name).select(list(COLUMNS)).sort_by("id").to_pylist()
        assert found == expected


def without_gate(project: Project) -> None:
    project.write("pipeline.yaml", project.text("pipeline.yaml").replace("    gate: {suite: suite, on_failure: quarantine}\n", ""))


@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
def test_a_row_that_another_tool_wrote_has_its_values_under_any_name(tmp_path: Path, table_format: str) -> None:
    """Libraries spell such names otherwise in files of Iceberg tables; a column's number says which it is, under later schemas and in files written anew."""
    odd = ("a b", "a.b", "1", "Größe", "select")
    columns = {"id": "bigint!", "version": "bigint!"} | dict.fromkeys(odd, "string")
    project = pipeline(tmp_path, table_format, "lake.shop.orders", columns)
    without_gate(project)
    project.write("landing/in/1.json", line(1, 1, "old", odd))
    assert project.record()[0].code == 0
    tool = TOOLS[table_format](project)
    tool.append("shop.orders", {"id": 7, "version": 1} | {c: f"theirs {c}" for c in odd} | dict.fromkeys(("__sequence_1",), 1))
    theirs = {"id": 7, "version": 1} | {c: f"theirs {c}" for c in odd}
    ours = [{"id": 1, "version": 1} | {c: f"old {c}" for c in odd}]
    assert project.rows("lake.shop.orders") == [*ours, theirs]

    project.write("pipeline.yaml", project.text("pipeline.yaml").replace('"select": "string"}', '"select": "string", "later on": "int"}', 1))
    project.write("copied.sql", f"SELECT {', '.join(f'`{c}`' for c in columns)} FROM lake.shop.orders")
    project.write("landing/in/2.json", line(1, 2, "new", odd))
    done, _ = project.record()
    assert done.code == 0, done.err
    expected = [{"id": 1, "version": 2} | {c: f"new {c}" for c in odd}, theirs]
    assert project.rows("lake.shop.copied") == expected, "as Spark SQL reads it"
    maintained = project.penstock("maintain", "--all")
    assert maintained.code == 0, maintained.err
    expected = [row | {"later on": None} for row in expected]
    assert project.rows("lake.shop.orders") == expected
    assert tool.rows("shop.orders").select(list(expected[0])).sort_by("id").to_pylist() == expected


PLACED = (
    SHOP
    + """  lake.shop.orders:
    format: FORMAT
    columns: {"a b": bigint!, "it's": string!, "a.b": "string", "on day": date, "v 1": bigint!, v: int!, "a`b": string}
    keys: ["a b", "it's"]
    partition_by: PARTITIONS
    sort_by: ["a`b"]
steps:
  - id: files
    read:
      from: raw/in/
      format: json
      columns: {"a b": bigint!, "it's": string!, "a.b": "string", "on day": date, "v 1": bigint!, v: int!, "a`b": string, op: string}
      batch: {max_files: 1}
  - id: orders
    merge: {from: files, into: lake.shop.orders, sequence_by: "struct(`v 1`, v)", apply_as_deletes: op = 'D'}
"""
)


@pytest.mark.parametrize(
    ("table_format", "partitions"),
    [("delta", "['`a.b`', \"`it's`\"]"), ("iceberg", "['`a.b`', 'months(`on day`)']"), ("iceberg", '["bucket(4, `a b`)", "truncate(2, `it\'s`)"]')],
)
def test_any_name_may_be_a_key_a_partition_an_order_and_part_of_a_sequence(tmp_path: Path, table_format: str, partitions: str) -> None:
    project = Project(tmp_path)
    project.write("pipeline.yaml", PLACED.replace("FORMAT", table_format).replace("PARTITIONS", partitions))

    def row(number: int, major: int, minor: int, value: str | None, op: str = "I") -> str:
        place = {"a.b": f"p={number % 2}/%", "on day": f"2026-0{1 + number % 3}-01"}
        return json.dumps({"a b": number, "it's": "it's", **place, "v 1": major, "v": minor, "a`b": value, "op": op}) + "\n"

    project.write("landing/in/1.json", "".join(row(i, 1, 1, f"old {i}") for i in range(8)))
    project.write("landing/in/2.json", row(1, 1, 2, "new") + row(2, 2, 0, None, "D") + row(3, 0, 9, "late") + row(9, 1, 1, "more"))
    done, steps = project.record()
    assert (done.code, steps["orders"]["counts"]["applied"]) == (0, 11), done.err
    expected = [(i, "new" if i == 1 else "more" if i == 9 else f"old {i}") for i in (0, 1, 3, 4, 5, 6, 7, 9)]
    assert [tuple(r.values()) for r in project.rows("lake.shop.orders", '"a b", "a`b"')] == expected
    found = TOOLS[table_format](project).rows("shop.orders").select(["a b", "a`b"]).sort_by("a b").to_pylist()
    assert [tuple(r.values()) for r in found] == expected
    assert project.penstock("maintain", "--all").code == 0


def test_parts_of_nested_columns_that_another_writer_spelled_otherwise_are_refused(tmp_path: Path) -> None:
    project = pipeline(tmp_path, "iceberg", "lake.shop.orders", {"id": "bigint!", "version": "bigint!", "who": "struct<`home at`: string>"})
    without_gate(project)
    project.write("pipeline.yaml", project.text("pipeline.yaml").replace("`a b` = 'gone'", "who.`home at` = 'gone'"))
    project.write("landing/in/1.json", json.dumps({"id": 1, "version": 1, "who": {"home at": "here"}}) + "\n")
    assert project.record()[0].code == 0
    TOOLS["iceberg"](project).append("shop.orders", {"id": 7, "version": 1, "who": {"home at": "theirs"}})
    read = project.penstock("query", "SELECT * FROM lake.shop.orders")
    assert (read.code, "in which 'home at', a part of a nested column, has another name, is not supported" in read.err) == (2, True), read.err


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"Id": "int", "ID": "int"}, "columns 'Id' and 'ID' differ only in case"),
        ({"größe": "int", "GRÖßE": "int"}, "columns 'größe' and 'GRÖßE' differ only in case"),
        ({"": "int"}, "column '': a name is not empty"),
        ({" a": "int"}, "column ' a': a name is not empty, and has no blank at its ends"),
        ({'a"b': "int"}, "column 'a\"b': a name holds no"),
        ({"a\\b": "int"}, "column 'a\\\\b': a name holds no"),
        ({"a\nb": "int"}, "column 'a\\nb': a name holds no"),
        ({"__a": "int"}, "column '__a': names that begin with two underscores are Penstock's own"),
        ({}, "at least 1"),
    ],
)
@pytest.mark.parametrize("where", ["table", "read"])
def test_names_of_columns_that_cannot_work_are_refused_by_plan(tmp_path: Path, columns: dict[str, str], said: str, where: str) -> None:
    project = pipeline(tmp_path, "delta", "lake.shop.orders", columns if where == "table" else {"id": "bigint!"})
    if where == "read":
        project.write("pipeline.yaml", project.text("pipeline.yaml").replace("format: json,", f"format: json, columns: {json.dumps(columns)},"))
    done = project.penstock("plan", ".")
    place = {"table": "pipeline.yaml:7:", "read": "pipeline.yaml:11:"}[where]
    assert (done.code, place in done.err, said in done.err) == (2, True, True), done.err


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("lake.shop.a/b", "is not a location"),
        ("lake.shop.a\nb", "a name holds no"),
        ("lake.a\tb.c", "a name holds no"),
        ("lake.shop. ", "a name is not empty"),
        ("lake.shop", "is not a location"),
        ("lake.shop..", "is not a location"),
        ("lake.shop.COPIED", "'lake.shop.COPIED' and 'lake.shop.copied' differ only in case"),
        ("lake.shop.x__memory", "lake.shop.x__memory: Penstock's own table beside lake.shop.x has this name"),
        ("lake.shop.x__quarantine", "lake.shop.x__quarantine: Penstock's own table beside lake.shop.x has this name"),
    ],
)
def test_names_of_tables_that_cannot_work_are_refused_by_plan(tmp_path: Path, table: str, said: str) -> None:
    project = pipeline(tmp_path, "iceberg", "lake.shop.orders", {"id": "bigint!", "version": "bigint!", "a b": "string"})
    project.write("pipeline.yaml", project.text("pipeline.yaml").replace('"lake.shop.orders"', json.dumps(table)))
    done = project.penstock("plan", ".")
    assert (done.code, "pipeline.yaml:" in done.err, said in done.err, "Traceback" in done.err) == (2, True, True, False), done.err


def test_steps_that_differ_only_in_case_are_refused_by_plan(tmp_path: Path) -> None:
    project = pipeline(tmp_path, "iceberg", "lake.shop.orders", {"id": "bigint!", "version": "bigint!", "a b": "string"})
    project.write("pipeline.yaml", project.text("pipeline.yaml").replace("id: copied", "id: Files"))
    done = project.penstock("plan", ".")
    assert (done.code, "pipeline.yaml:15:" in done.err, "'files' and 'Files' differ only in case" in done.err) == (2, True, True), done.err
