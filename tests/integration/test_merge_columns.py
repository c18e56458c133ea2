"""Which columns a merge keeps, which of them open a version, and in which a NULL says nothing: as a user declares it."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from foreign import TOOLS
from pipelines import SHOP, Project, lake

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


@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
@pytest.mark.parametrize("which", ["ignore_null_updates: true", "ignore_null_updates_column_list: [a, b]", "ignore_null_updates_except_column_list: [a]"])
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


@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("track_history_except_column_list: [v, b]", [("x", "y", 1, 3), ("y", "y", 3, None)]),
        ("track_history_column_list: [b]", [("x", "x", 1, 2), ("y", "y", 2, None)]),
        ("track_history_column_list: []", [("y", "y", 1, None)]),
        ("track_history_except_column_list: []", [("x", "x", 1, 2), ("x", "y", 2, 3), ("y", "y", 3, None)]),
    ],
)
def test_a_change_of_a_tracked_column_opens_a_version(shop: Project, table_format: str, options: str, expected: list[tuple[Any, ...]]) -> None:
    declare(shop, table_format, f"stored_as_scd_type: 2, {options}")
    assert merged(shop, VERSIONS[:2], VERSIONS[2:], columns="a, b, __start_at, __end_at") == expected


@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
@pytest.mark.parametrize("options", ["column_list: [id, v, a, b]", "except_column_list: [op]"])
def test_a_merge_keeps_the_columns_of_its_lists(shop: Project, table_format: str, options: str) -> None:
    declare(shop, table_format, options)
    assert merged(shop, VERSIONS, [{"id": 2, "v": 4, "op": "I"}, {"id": 3, "v": 4}], [{"id": 2, "v": 5, "op": "D"}], columns="*") == [
        (1, 3, "y", "y"),
        (3, 4, None, None),
    ]


ORDERED = (
    SHOP
    + """  lake.shop.orders: {format: FORMAT, columns: {id: bigint!, a: string}, keys: [id]}
  lake.shop.versions: {format: FORMAT, columns: {id: bigint!, a: string}, keys: [id]}
steps:
  - {id: files, read: {from: raw/orders/, format: json, columns: {id: bigint!, a: string, COLUMNS}, batch: {max_files: 1}}}
  - {id: orders, merge: {from: files, into: lake.shop.orders, sequence_by: ORDER, apply_as_deletes: "a = 'gone'"}}
  - {id: versions, merge: {from: files, into: lake.shop.versions, sequence_by: ORDER, apply_as_deletes: "a = 'gone'", stored_as_scd_type: 2}}
"""
)
DATES = [date(999, 12, 31), date(1969, 12, 31), date(1970, 1, 1), date(2026, 1, 1)]
TIMES = ["1899-12-31T23:59:59.999999+00:00", "2026-01-01T00:30:00+02:00", "2025-12-31T23:00:00+00:00", "2025-12-31T23:00:00.000001+00:00"]
INSTANTS = [datetime.fromisoformat(t) for t in TIMES]
LOCALS = [datetime(1582, 10, 4), datetime(1969, 12, 31, 23, 59, 59, 999999), datetime(1970, 1, 1), datetime(2026, 1, 1)]
MOMENTS: dict[str, tuple[dict[str, str], list[tuple[Any, ...]]]] = {
    "day": ({"day": "date"}, [*zip(DATES, strict=True)]),
    "at": ({"at": "timestamp"}, [*zip(INSTANTS, strict=True)]),
    "local": ({"local": "timestamp_ntz"}, [*zip(LOCALS, strict=True)]),
    '"struct(day, n)"': ({"day": "date", "n": "int"}, [(DATES[1], 9), (DATES[1], 10), (DATES[2], -1), (DATES[2], 0)]),
    "[n, at]": ({"n": "bigint", "at": "timestamp"}, [(9, INSTANTS[1]), (9, INSTANTS[2]), (10, INSTANTS[0]), (2**40, INSTANTS[0])]),
}


@pytest.mark.parametrize("order", MOMENTS)
@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
def test_events_are_ordered_by_what_the_user_names_whenever_they_come(shop: Project, table_format: str, order: str) -> None:
    columns, moments = MOMENTS[order]
    declared = ", ".join(f"{name}: {kind}!" for name, kind in columns.items())
    shop.write("pipeline.yaml", ORDERED.replace("FORMAT", table_format).replace("COLUMNS", declared).replace("ORDER", order))

    def deliver(number: int, *said: tuple[int, int, str]) -> None:
        parts = [dict(zip(columns, (p if isinstance(p, int) else p.isoformat() for p in moments[at]), strict=True)) for _, at, _ in said]
        lines = (json.dumps({"id": k, "a": a} | part) + "\n" for (k, _, a), part in zip(said, parts, strict=True))
        shop.write(f"landing/orders/{number}.json", "".join(lines))

    deliver(1, (1, 2, "third"), (2, 0, "x"), (2, 2, "gone"))
    deliver(2, (1, 1, "second"), (2, 1, "y"), (3, 3, "new"), (3, 0, "old"))
    deliver(3, (1, 0, "first"), (1, 3, "fourth"))
    done, steps = shop.record()
    assert done.code == 0, done.err
    assert [(r["id"], r["a"]) for r in shop.rows("lake.shop.orders", "id, a")] == [(1, "fourth"), (3, "new")]
    assert {c: n for c, n in steps["orders"]["counts"].items() if n} == {"read": 9, "applied": 4, "superseded": 5}
    ends = [f"__{end}_at{number}" for end in ("start", "end") for number in ([""] if len(columns) == 1 else ["_1", "_2"])]
    typed = {c.name: str(c.type) for c in lake(shop, "shop", "versions").state.columns}
    assert [typed[end] for end in ends] == [*columns.values()] * 2
    rows = sorted(TOOLS[table_format](shop).rows("shop.versions").to_pylist(), key=lambda r: (r["id"], r[ends[0]], r[ends[len(columns) - 1]]))
    history = [(1, "first", 0, 1), (1, "second", 1, 2), (1, "third", 2, 3), (1, "fourth", 3, None), (2, "x", 0, 1), (2, "y", 1, 2)]
    history += [(3, "old", 0, 3), (3, "new", 3, None)]
    never = (None,) * len(columns)
    expected = [(k, a, *moments[start], *(never if end is None else moments[end])) for k, a, start, end in history]
    assert [(r["id"], r["a"], *(r[end] for end in ends)) for r in rows] == expected


@pytest.mark.parametrize("kind", ["string", "decimal(12,2)", "double"])
def test_what_a_sequence_is_not_made_of_is_told_by_plan(shop: Project, kind: str) -> None:
    shop.write("pipeline.yaml", ORDERED.replace("FORMAT", "iceberg").replace("COLUMNS", f'n: bigint!, s: "{kind}!"').replace("ORDER", "[n, s]"))
    wrong = shop.penstock("plan", ".")
    said = f"pipeline.yaml:12:67: steps[2].merge.sequence_by: column 's' is a {kind}!; a sequence is an int, a bigint, a date or a timestamp"
    assert (wrong.code, said in wrong.err) == (2, True), wrong.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("column_list: [id, v, a]", "b: column_list and the columns of lake.shop.orders are not the same"),
        ("column_list: [id, v, a, b, op]", "op: column_list and the columns of lake.shop.orders are not the same"),
        ("except_column_list: [b]", "column 'b' is a column of lake.shop.orders; leave it out there"),
        ("except_column_list: [op, nosuch]", "pipeline.yaml:15:96: steps[1].merge.except_column_list: column 'nosuch' is not one of op"),
        ("column_list: [id, v, a, b], except_column_list: [op]", "give one of column_list and except_column_list"),
        ("stored_as_scd_type: 2, track_history_except_column_list: [id]", "column 'id' is not one of"),
        ("stored_as_scd_type: 2, track_history_column_list: [a], track_history_except_column_list: [b]", "give one of track_history_column_list and"),
    ],
)
def test_lists_that_do_not_fit_are_told_by_plan(shop: Project, options: str, said: str) -> None:
    declare(shop, "iceberg", options)
    wrong = shop.penstock("plan", ".")
    assert (wrong.code, said in wrong.err) == (2, True), wrong.err
