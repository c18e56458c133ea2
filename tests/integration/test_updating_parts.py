"""An update keeps the promises that a table made, also those of the parts of its columns. Iceberg alone makes such promises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipelines import SHOP, Project

PIPELINE = (
    SHOP
    + """  lake.shop.orders:
    format: iceberg
    columns:
      id: bigint!
      who: "struct<name: string, `home at`: struct<zip: string!, n: int>>"
      lines: "array<struct<sku: string!, n: int>!>"
      attrs: "map<string, int!>"
      days: "array<array<int!>>"
steps:
  - {id: files, read: {from: raw/orders/, format: json}}
  - {id: orders, copy: {from: files, into: lake.shop.orders}}
  - {id: changed, update: {into: lake.shop.orders, set: SET, where: WHERE}}
"""
)
FULL = {"id": 1, "who": {"name": "a", "home at": {"zip": "1", "n": 1}}, "lines": [{"sku": "x", "n": 1}], "attrs": {"a": 1}, "days": [[1], None]}
EMPTY = {"id": 2, "who": {"name": None, "home at": None}, "lines": [], "attrs": None, "days": None}
NOTHING = {"id": 3, "who": None, "lines": None, "attrs": {}, "days": [[]]}

BROKEN = {
    "id": ("IF(id = 1, NULL, id)", 1, "bigint!"),
    "who.home at.zip": ("IF(id = 3, NULL, named_struct('name', 'b', 'home at', IF(id = 2, NULL, named_struct('zip', NULL, 'n', 1))))", 1, "string!"),
    "lines.element": ("array(NULL)", 3, "struct<sku: string!, n: int>!"),
    "lines.element.sku": ("IF(id = 2, array(), array(named_struct('sku', 'a', 'n', 1), named_struct('sku', NULL, 'n', 1)))", 2, "string!"),
    "attrs.value": ("map('a', 1, 'b', IF(id = 3, NULL, 2))", 1, "int!"),
    "days.element.element": ("array(NULL, array(1, NULL))", 3, "int!"),
}
KEPT = {
    "who": "IF(id = 3, NULL, named_struct('name', who.name, 'home at', IF(id = 2, NULL, named_struct('zip', who.`home at`.zip, 'n', NULL))))",
    "lines": "IF(id = 1, lines, NULL)",
    "attrs": "IF(id = 1, attrs, NULL)",
    "days": "IF(id = 1, array(array(1), NULL), NULL)",
}


def shop(folder: Path, values: dict[str, str], where: str) -> Project:
    project = Project(folder)
    project.write("pipeline.yaml", PIPELINE.replace("SET", json.dumps(values)).replace("WHERE", json.dumps(where)))
    project.write("landing/orders/1", "".join(json.dumps(row) + "\n" for row in (FULL, EMPTY, NOTHING)))
    return project


@pytest.mark.parametrize("name", BROKEN)
def test_a_part_that_is_never_null_does_not_become_so(tmp_path: Path, name: str) -> None:
    value, rows, kind = BROKEN[name]
    project = shop(tmp_path, {name.split(".")[0]: value}, "id > 0")
    refused = project.penstock("run", ".")
    said = f"the update would set column {name!r} of {rows} rows of lake.shop.orders to NULL; it is {kind}"
    assert (refused.code, said in refused.err) == (1, True), refused.err
    assert project.rows("lake.shop.orders") == [FULL, EMPTY, NOTHING]


def test_parts_that_may_be_null_become_so(tmp_path: Path) -> None:
    project = shop(tmp_path, KEPT, "days IS NOT NULL AND (id <> 1 OR who.`home at`.n = 1)")
    done = project.penstock("run", ".")
    assert done.code == 0, done.err
    first = FULL | {"who": {"name": "a", "home at": {"zip": "1", "n": None}}}
    assert project.rows("lake.shop.orders") == [first, EMPTY, NOTHING | {"attrs": None, "days": None}]
