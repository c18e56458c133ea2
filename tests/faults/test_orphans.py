"""What killed runs and lost races leave behind goes with maintenance: the files that lie there are those that tables name. Fault 1 of the catalogue."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from foreign import TOOLS
from pipelines import EVENTS, Project, append_as_others, event, events, lake

TABLES = ("orders", "orders__memory", "orders__quarantine")
EXPECTED = [(1, "paid"), (3, "new"), (4, "new"), (100, "theirs")]


def lying(location: str) -> set[str]:
    """The files of a table, but for the entries of Delta's log, which are the table."""
    return {str(p) for p in Path(location).rglob("*") if p.is_file() and p.parent.name != "_delta_log"}


def named(table: Any) -> set[str]:
    """The files that a table's kept states name, as the format's own library reads them."""
    if hasattr(table, "file_uris"):
        states = [type(table)(table.table_uri, version=version) for version in range(table.version() + 1)]
        return {uri.removeprefix("file://") for state in states for uri in state.file_uris()}
    data = {*table.inspect.all_files()["file_path"].to_pylist(), *table.inspect.all_manifests()["path"].to_pylist()}
    lists = {snapshot.manifest_list for snapshot in table.metadata.snapshots}
    metadata = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
    return {uri.removeprefix("file://") for uri in data | lists | metadata}


@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
def test_maintenance_leaves_the_files_that_tables_name_and_no_other(tmp_path: Path, table_format: str) -> None:
    """Young files stay, for they may be of a run at work; a week later they go."""
    shop = Project(tmp_path)
    shop.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format))
    shop.write("landing/orders/1.json", events(*(event("c", i, i, "new") for i in (1, 2, 3)), event("d", 9, 9), "{"))
    shop.write("landing/orders/2.json", events(event("d", 2, 20), event("u", 1, 21, "paid"), event("c", 4, 22, "new"), "["))
    for point in ("before_commit:1", "before_commit:2", "before_commit:3"):
        killed = shop.process("run", ".", PENSTOCK_KILL_AT=point)
        assert killed.code == -signal.SIGKILL, (point, killed.out, killed.err)
    with shop.stopped("run", ".", at="before_commit:3") as woken:
        append_as_others(lake(shop, "shop", "orders"), {"id": 100, "state": "theirs"})
        done = woken()
    assert done.code == 0, done.err

    tool = TOOLS[table_format](shop)
    places = {name: tool.location(f"shop.{name}") for name in TABLES}
    strays = {name: lying(place) - named(tool.table(f"shop.{name}")) for name, place in places.items()}
    assert all(strays.values()), strays
    assert table_format == "delta" or any(file.endswith(".avro") for file in strays["orders"]), "of the race that it lost"
    for days, left in ((2, strays), (8, {name: set() for name in TABLES})):
        for file in set().union(*map(lying, places.values())):
            os.utime(file, (then := time.time() - 86_400 * days, then))
        done = shop.penstock("maintain", "--all")
        assert done.code == 0, done.err
        assert {name: lying(place) - named(tool.table(f"shop.{name}")) for name, place in places.items()} == left
        assert all(named(tool.table(f"shop.{name}")) <= lying(place) for name, place in places.items())
    assert [(r["id"], r["state"]) for r in shop.rows("lake.shop.orders", "id, state")] == EXPECTED
    assert shop.record()[1]["orders"]["status"] == "nothing to do"
