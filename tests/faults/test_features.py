"""What readers get wrong without an error is refused by name. Fault 33 of the catalogue; further cases in tests/contract/test_lake_peers.py."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pipelines import EVENTS, Project, event, events, lake


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", "delta"))
    project.write("landing/orders/1.json", events(event("c", 1, 10, "new")))
    assert project.record()[0].code == 0
    return project


@pytest.mark.parametrize("verb", [("query", "SELECT * FROM lake.shop.orders"), ("run", "."), ("maintain", "--all")])
def test_a_table_whose_columns_have_other_names_in_its_files_is_refused_not_read_as_nulls(shop: Project, verb: tuple[str, ...]) -> None:
    """delta-rs 1.6.6 itself makes such a table and reads it back as NULLs: the files know the columns by their own names."""
    location = lake(shop, "shop", "orders").location
    rows = pa.table({"id": [1], "state": ["new"]})
    shutil.rmtree(location)
    write_deltalake(location, rows, configuration={"delta.columnMapping.mode": "name"})
    done = shop.penstock(*verb)
    assert (done.code, "with column mapping is not supported" in done.err, "Traceback" in done.err) == (2, True, False), (done.out, done.err)
