"""Which columns a merge keeps, which of them open a version, and in which a NULL says nothing: as a user declares it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pipelines import SHOP, Project

PIPELINE = (
    SHOP
    + """  lake.shop.orders:
    format: FORMAT
    columns: {id: bigint!, v: bigint!, a: string, b: string}
    keys: [id]
steps:
  - id: files
    read: {from: raw/orders/, format: json, columns: {id: bigint!, v: bigint!, a: string, b: string, op: string}, batch: {max_files: 1}}
  - id: orders
    merge: {from: files, into: lake.shop.orders, sequence_by: v, apply_as_deletes: "op = 'D'", OPTIONS}
"""
)


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    return Project(tmp_path)


def declare(shop: Project, table_format: str, options: str, columns: str = "") -> None:
    text = PIPELINE.replace("FORMAT", table_format).replace("OPTIONS", options)
    shop.write("pipeline.yaml", text.replace("b: string}\n", f"b: string{columns}}}\n", 1))


def merged(shop: Project, *batches: list[dict[str, Any]], columns: str = "id, v, a, b") -> list[tuple[Any, ...]]:
    """Each batch a file; the rows of the table after the last."""
    for batch in batches:
        number = len(list(shop.folder.glob("landing/orders/*")))
        shop.write(f"landing/orders/{number}.json", "".join(json.dumps(row) + "\n" for row in batch))
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err
    return [tuple(row.values()) for row in shop.rows("lake.shop.orders", columns)]


@pytest.mark.parametrize(
    ("table_format", "which"),
    [
        (table_format, which)
        for table_format in ("iceberg", "delta")
        for which in ("ignore_null_updates: true", "ignore_null_updates_column_list: [a, b]", "ignore_null_updates_except_column_list: [a]")
    ],
)
def test_a_null_keeps_what_an_older_event_says_also_when_that_comes_later(shop: Project, table_format: str, which: str) -> None:
    declare(shop, table_format, which)
    newer, older = {"id": 1, "v": 10, "a": "new"}, {"id": 1, "v": 5, "a": "old", "b": "kept"}
    assert merged(shop, [newer]) == [(1, 10, "new", None)]
    assert merged(shop, [older]) == [(1, 10, "new", "kept")]


@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
def test_null_updates_and_soft_deletes_go_together(shop: Project, table_format: str) -> None:
    declare(shop, table_format, "ignore_null_updates: true, soft_delete: gone", ", gone: boolean")
    inserted, updated, deleted = {"id": 1, "v": 5, "a": "x", "b": "y"}, {"id": 1, "v": 6, "a": "z"}, {"id": 1, "v": 7, "op": "D"}
    columns = "id, a, b, gone"
    assert merged(shop, [deleted], [inserted], columns=columns) == [(1, "x", "y", True)]
    assert merged(shop, [updated], columns=columns) == [(1, "z", "y", True)]
    assert merged(shop, [updated | {"v": 8}], columns=columns) == [(1, "z", "y", False)]
    declare(shop, table_format, "ignore_null_updates_column_list: [gone], soft_delete: gone", ", gone: boolean")
    wrong = shop.penstock("plan", ".")
    assert (wrong.code, "column 'gone' is not one of" in wrong.err) == (2, True), wrong.err


VERSIONS = [{"id": 1, "v": 1, "a": "x", "b": "x"}, {"id": 1, "v": 2, "a": "x", "b": "y"}, {"id": 1, "v": 3, "a": "y", "b": "y"}]


@pytest.mark.parametrize(
    ("table_format", "options", "expected"),
    [
        ("iceberg", "track_history_except_column_list: [v, b]", [("x", "y", 1, 3), ("y", "y", 3, None)]),
        ("delta", "track_history_column_list: [b]", [("x", "x", 1, 2), ("y", "y", 2, None)]),
        ("iceberg", "track_history_column_list: []", [("y", "y", 1, None)]),
        ("delta", "track_history_except_column_list: []", [("x", "x", 1, 2), ("x", "y", 2, 3), ("y", "y", 3, None)]),
    ],
)
def test_a_change_of_a_tracked_column_opens_a_version(shop: Project, table_format: str, options: str, expected: list[tuple[Any, ...]]) -> None:
    declare(shop, table_format, f"stored_as_scd_type: 2, {options}")
    assert merged(shop, VERSIONS[:2], VERSIONS[2:], columns="a, b, __start_at, __end_at") == expected


@pytest.mark.parametrize(("table_format", "options"), [("iceberg", "column_list: [id, v, a, b]"), ("delta", "except_column_list: [op]")])
def test_a_merge_keeps_the_columns_of_its_lists(shop: Project, table_format: str, options: str) -> None:
    declare(shop, table_format, options)
    assert merged(shop, VERSIONS, [{"id": 2, "v": 4, "op": "I"}, {"id": 3, "v": 4}], [{"id": 2, "v": 5, "op": "D"}], columns="*") == [
        (1, 3, "y", "y"),
        (3, 4, None, None),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("column_list: [id, v, a]", "b: column_list and the columns of lake.shop.orders are not the same"),
        ("column_list: [id, v, a, b, op]", "op: column_list and the columns of lake.shop.orders are not the same"),
        ("except_column_list: [b]", "column 'b' is a column of lake.shop.orders; leave it out there"),
        ("column_list: [id, v, a, b], except_column_list: [op]", "give one of column_list and except_column_list"),
        ("stored_as_scd_type: 2, track_history_except_column_list: [id]", "column 'id' is not one of"),
        ("stored_as_scd_type: 2, track_history_column_list: [a], track_history_except_column_list: [b]", "give one of track_history_column_list and"),
    ],
)
def test_lists_that_do_not_fit_are_told_by_plan(shop: Project, options: str, said: str) -> None:
    declare(shop, "iceberg", options)
    wrong = shop.penstock("plan", ".")
    assert (wrong.code, said in wrong.err) == (2, True), wrong.err
