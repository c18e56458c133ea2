"""Feeds of a user's own, which say by Spark SQL conditions what deletes and what empties."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipelines import SHOP, Project

PIPELINE = (
    SHOP
    + """  lake.shop.orders:
    format: FORMAT
    columns: {id: bigint!, v: bigint!, name: string!, item: "struct<size: int>"}
    keys: [id]
steps:
  - id: files
    read:
      {from: raw/orders/, format: json, columns: {id: bigint!, v: bigint!, name: string!, item: "struct<size: int>", op: string!}, batch: {max_files: 1}}
  - id: orders
    merge:
      from: files
      into: lake.shop.orders
      sequence_by: v
      apply_as_deletes: "`op` RLIKE '^D' OR item.size < :least"
      apply_as_truncates: 'op = "T"'
params: {least: 0}
"""
)


def put(project: Project, name: str, *rows: dict[str, object]) -> dict[str, int]:
    """Deliver rows and merge them; returns the counts."""
    project.write(f"landing/orders/{name}.json", "".join(json.dumps(row) + "\n" for row in rows))
    done, steps = project.record()
    assert done.code == 0, done.err
    counts: dict[str, int] = steps["orders"]["counts"]
    return {outcome: n for outcome, n in counts.items() if n}


def row(number: int | None, v: int | None, op: str | None, name: str | None = None, size: int | None = None) -> dict[str, object]:
    return {"id": number, "v": v, "op": op, "name": name, "item": {"size": size}}


def test_a_delete_needs_its_key_alone_and_a_truncate_not_even_that(tmp_path: Path, table_format: str) -> None:
    shop = Project(tmp_path)
    shop.write("pipeline.yaml", PIPELINE.replace("FORMAT", table_format))
    assert put(shop, "1", *(row(i, 5, "I", "x") for i in range(1, 5))) == {"read": 4, "applied": 4}
    assert put(shop, "2", row(1, 6, "D"), row(2, 6, "U", "y", -1), row(3, 6, "U", "z", 1)) == {"read": 3, "applied": 3}
    assert [(r["id"], r["name"]) for r in shop.rows("lake.shop.orders", "id, name")] == [(3, "z"), (4, "x")]
    bad = (row(5, 7, "U"), row(None, 7, "D"), row(4, None, "D"), row(None, None, "T"), row(6, 7, None, "w"))
    assert put(shop, "3", row(5, 8, "I", "new"), *bad) == {"read": 6, "applied": 1, "quarantined": 5}
    reasons = [r["__reason"].split("'")[1] for r in shop.rows("lake.shop.orders__quarantine", "__position, __reason")]
    assert reasons == ["name", "id", "v", "v", "op"]
    assert put(shop, "4", row(None, 7, "T"))["read"] == 1
    assert [(r["id"], r["name"]) for r in shop.rows("lake.shop.orders", "id, name")] == [(5, "new")]


@pytest.mark.parametrize("conditions", [True, False])
def test_a_read_step_with_columns_of_its_own_lets_no_null_into_a_column_that_has_none(tmp_path: Path, table_format: str, conditions: bool) -> None:
    text = PIPELINE.replace("FORMAT", table_format).replace(
        '{id: bigint!, v: bigint!, name: string!, item: "struct<size: int>", op', "{id: bigint, v: bigint!, name: string, op"
    )
    text = text.replace(', item: "struct<size: int>"', "").replace(" OR item.size < :least", "")
    shop = Project(tmp_path)
    shop.write("pipeline.yaml", text if conditions else "".join(line for line in text.splitlines(keepends=True) if "apply_as" not in line))
    assert put(shop, "1", row(1, 5, "I", "x"), row(2, 5, "I"), row(None, 5, "I", "x")) == {"read": 3, "applied": 1, "quarantined": 2}
    assert shop.rows("lake.shop.orders") == [{"id": 1, "v": 5, "name": "x"}]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("op RLIKE", "nosuch RLIKE", "20:7: steps[1].merge.apply_as_deletes: column 'nosuch' is not one of id, item, name, op, v"),
        ("op RLIKE", "op RLIKE OR", "20:7: steps[1].merge.apply_as_deletes: the SQL does not parse"),
        ('op = "T"', "op = (SELECT 1)", "21:7: steps[1].merge.apply_as_truncates: one expression over a row is expected"),
        ('op = "T"', "op AS x", "21:7: steps[1].merge.apply_as_truncates: one expression over a row is expected"),
        ('op = "T"', "op LIMIT 1", "21:7: steps[1].merge.apply_as_truncates: one expression over a row is expected"),
        (":least", ":lest", "20:7: steps[1].merge.apply_as_deletes: parameter :lest has no value"),
    ],
)
def test_a_condition_is_checked_by_plan(tmp_path: Path, old: str, new: str, said: str) -> None:
    shop, text = Project(tmp_path), PIPELINE.replace("FORMAT", "iceberg").replace("`op`", "op")
    shop.write("pipeline.yaml", text)
    assert shop.penstock("plan", ".").code == 0
    shop.write("pipeline.yaml", text.replace(old, new))
    planned = shop.penstock("plan", ".")
    assert (planned.code, f"pipeline.yaml:{said}" in planned.err) == (2, True), planned.err


@pytest.mark.parametrize("conditions", [("CAST(name AS INT) < 0", "FALSE"), ("FALSE", "1 / item.size < 0")])
def test_a_condition_without_a_value_stops_the_batch_and_try_is_false(tmp_path: Path, table_format: str, conditions: tuple[str, str]) -> None:
    written = PIPELINE.replace("FORMAT", table_format)
    deletes, truncates = "`op` RLIKE '^D' OR item.size < :least", 'op = "T"'
    assert deletes in written
    assert truncates in written
    shop = Project(tmp_path)
    shop.write("pipeline.yaml", written.replace(deletes, conditions[0]).replace(truncates, conditions[1]))
    rows = (row(1, 5, "I", "-1", 1), row(2, 5, "I", "none", 0))
    shop.write("landing/orders/1.json", "".join(json.dumps(r) + "\n" for r in rows))
    stopped = shop.penstock("run", ".")
    assert (stopped.code, "step orders" in stopped.err, "next: TRY_CAST and try_divide give NULL" in stopped.err) == (1, True, True), stopped.err
    tried = [c.replace("CAST", "TRY_CAST").replace("1 / item.size", "try_divide(1, item.size)") for c in conditions]
    shop.write("pipeline.yaml", written.replace(deletes, tried[0]).replace(truncates, tried[1]))
    done, steps = shop.record()
    assert (done.code, steps["orders"]["counts"]["applied"]) == (0, 2), done.err
    assert [r["id"] for r in shop.rows("lake.shop.orders", "id")] == ([2] if tried[0] != "FALSE" else [1, 2])
