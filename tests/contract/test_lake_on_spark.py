"""Tables between Penstock and Spark, each writing what the other reads and adds to."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import spark_server
from keyed import COLUMNS, as_delta_rs_reads, ids, written
from pipelines import SHOP, Project, lake
from spark_server import open_lake

from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import open_catalog
from penstock.connectors.delta.table import DeltaTable
from penstock.engines import deleting
from penstock.engines.spark.arrow import to_arrow
from penstock.errors import NotSupportedError
from penstock.tables import Design

PIPELINE = (
    SHOP
    + """  lake.shop.orders:
    format: iceberg
    columns: {id: bigint!, version: bigint!, state: string}
    keys: [id]
    readers: [spark]
steps:
  - id: files
    read: {from: raw/orders/, format: csv, batch: {max_files: 1}}
  - id: orders
    merge: {from: files, into: lake.shop.orders, sequence_by: version, apply_as_deletes: state = 'gone'}
"""
)


def asked(spark: Any, *statements: str) -> list[list[dict[str, Any]]]:
    """The rows of each statement."""
    session = spark_server.reopened(spark)
    return [to_arrow(session.sql(text)).to_pylist() for text in statements]


def test_each_reads_the_vectors_of_the_other_and_adds_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spark: Any) -> None:
    monkeypatch.setattr(deleting, "LARGE_ROWS", 1)
    monkeypatch.setattr(deleting, "MOST_DELETED", 0.9)
    catalog = open_catalog(CatalogConnection(kind="catalog", catalog="sqlite", warehouse="warehouse"), AwsSettings(), tmp_path)
    ours = catalog.create("ops", "ours", "delta", COLUMNS, design=Design(position_deletes=True))
    written(ours, [{"id": i, "part": "a", "v": "new"} for i in range(100)])
    written(ours, [{"id": 1, "part": "a", "v": "changed"}], deleted=[0, 3])
    for i in range(20, 40):
        written(ours, deleted=[i])
    theirs = tmp_path / "theirs"
    properties = "'delta.enableDeletionVectors' = 'true', 'delta.checkpointPolicy' = 'v2', 'delta.checkpointInterval' = '3'"
    mine = sorted(set(range(1, 100)) - {3, *range(20, 40)})
    read_before, *_, changed, _ = asked(
        spark,
        f"SELECT id FROM delta.`{ours.location}` ORDER BY id",
        f"DELETE FROM delta.`{ours.location}` WHERE id IN (5, 50)",
        f"CREATE TABLE delta.`{theirs}` (id bigint, part string, v string) USING delta PARTITIONED BY (part) TBLPROPERTIES ({properties})",
        f"INSERT INTO delta.`{theirs}` SELECT /*+ COALESCE(1) */ id, concat('p ', id % 2), 'new' FROM range(2000)",
        *(f"DELETE FROM delta.`{theirs}` WHERE id % 100 = {i}" for i in range(2)),
        f"DELETE FROM delta.`{theirs}` WHERE id BETWEEN 500 AND 1200",
        f"SELECT v FROM delta.`{ours.location}` WHERE id = 1",
        f"UPDATE delta.`{theirs}` SET v = 'changed' WHERE id = 1999",
    )
    assert [r["id"] for r in read_before] == mine
    assert changed == [{"v": "changed"}]
    assert ids(ours) == as_delta_rs_reads(ours) == [i for i in mine if i not in (5, 50)]
    table = DeltaTable("ops.theirs", str(theirs), AwsSettings())
    left = [i for i in range(2000) if i % 100 > 1 and not 500 <= i <= 1200]
    assert list((theirs / "_delta_log").glob("*.checkpoint.*-*.*")), "a checkpoint of the newer form"
    assert ids(table) == as_delta_rs_reads(table) == left
    assert table.design.position_deletes
    written(table, [{"id": 1999, "part": "p 1", "v": "again"}], deleted=[4, 1300])
    written(ours, deleted=[60])
    ((last,), theirs_now, ours_now) = asked(
        spark,
        f"SELECT count(*) AS n, max(v) AS v FROM delta.`{theirs}` WHERE id = 1999",
        f"SELECT id FROM delta.`{theirs}` ORDER BY id",
        f"SELECT id FROM delta.`{ours.location}` ORDER BY id",
    )
    assert last == {"n": 1, "v": "again"}
    assert [r["id"] for r in theirs_now] == ids(table) == [i for i in left if i not in (4, 1300)]
    assert [r["id"] for r in ours_now] == ids(ours)


def test_column_mapping_of_spark_is_refused_by_name(tmp_path: Path, spark: Any) -> None:
    mapped = tmp_path / "mapped"
    asked(spark, f"CREATE TABLE delta.`{mapped}` USING delta TBLPROPERTIES ('delta.columnMapping.mode' = 'name') AS SELECT id FROM range(3)")
    with pytest.raises(NotSupportedError, match="column mapping"):
        DeltaTable("ops.mapped", str(mapped), AwsSettings()).pin()


@pytest.fixture
def shop(tmp_path: Path, spark: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Rows 0 to 39 in one file, and a Spark that has the catalog."""
    monkeypatch.setattr(deleting, "LARGE_ROWS", 1)
    monkeypatch.setattr(deleting, "MOST_DELETED", 0.9)
    project = Project(tmp_path)
    project.write("pipeline.yaml", PIPELINE)
    deliver(project, 1, *((i, 1, "new") for i in range(40)))
    open_lake(spark, tmp_path / "warehouse")
    return project


def deliver(shop: Project, number: int, *rows: tuple[int, int, str]) -> None:
    shop.write(f"landing/orders/{number}.csv", "id,version,state\n" + "".join(f"{i},{version},{state}\n" for i, version, state in rows))
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err


def states(shop: Project) -> dict[int, str]:
    return {r["id"]: r["state"] for r in shop.rows("lake.shop.orders", "id, state")}


def test_spark_reads_what_runs_by_other_clocks_wrote(shop: Project, spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day ahead, then a day behind: Iceberg's own library refuses metadata whose times go back."""
    real = time.time
    for number, ahead in enumerate((86_400, -86_400), start=2):
        monkeypatch.setattr(time, "time", lambda ahead=ahead: real() + ahead)
        deliver(shop, number, (number, number, "changed"))
    ((found,),) = asked(spark, "SELECT count(*) AS rows, count_if(state = 'changed') AS changed FROM penstock.shop.orders")
    assert found == {"rows": 40, "changed": 2}


def as_spark_reads(spark: Any) -> dict[int, str]:
    (rows,) = asked(spark, "SELECT id, state FROM penstock.shop.orders")
    return {r["id"]: r["state"] for r in rows}


def stands_at(shop: Project, batch: int) -> None:
    """The ledger says so, in the state and by what the next run does."""
    (state,) = json.loads(shop.penstock("state", ".", "--json").out)
    assert (state["applied"], state["waiting"]) == (batch, 0)
    assert shop.record()[1]["orders"]["status"] == "nothing to do"


def test_a_merge_goes_on_over_what_spark_merged_deleted_and_inserted(shop: Project, spark: Any) -> None:
    """A row that bears no sequence is older than every event; one that Spark changed keeps its own."""
    on_read = ", ".join(f"'write.{what}.mode' = 'merge-on-read'" for what in ("delete", "update", "merge"))
    columns, no = ("id, version, state, __sequence_1", ", NULL") if spark_server.IS_BEFORE_4 else ("id, version, state", "")
    asked(
        spark,
        f"ALTER TABLE penstock.shop.orders SET TBLPROPERTIES ({on_read})",
        "DELETE FROM penstock.shop.orders WHERE id IN (2, 3)",
        f"""MERGE INTO penstock.shop.orders t USING (SELECT explode(array(4, 5, 50)) AS id) s ON t.id = s.id
          WHEN MATCHED AND t.id = 5 THEN DELETE WHEN MATCHED THEN UPDATE SET state = 'merged'
          WHEN NOT MATCHED THEN INSERT ({columns}) VALUES (s.id, 9, 'merged'{no})""",
        f"INSERT INTO penstock.shop.orders ({columns}) VALUES (60, 9, 'theirs'{no}), (61, 9, 'theirs'{no})",
    )
    table = lake(shop, "shop", "orders")
    assert sum(f.deleted for f in table.files(table.pin())) == 4, "position deletes of Spark's"
    expected = {i: "new" for i in range(40) if i not in (2, 3, 5)} | {4: "merged", 50: "merged", 60: "theirs", 61: "theirs"}
    assert states(shop) == expected
    deliver(shop, 2, (1, 2, "paid"), (3, 2, "back"), (4, 2, "paid"), (6, 2, "gone"), (60, 1, "paid"), (61, 2, "gone"), (7, 0, "late"))
    for gone in (6, 61):
        del expected[gone]
    expected |= {1: "paid", 3: "back", 4: "paid", 60: "paid"}
    assert states(shop) == as_spark_reads(spark) == expected
    assert shop.batches("lake.shop.orders") == [2, 1]
    stands_at(shop, 2)


def test_a_merge_goes_on_after_spark_kept_the_table_small(shop: Project, spark: Any) -> None:
    """Files rewritten, manifests too, and every snapshot of Penstock's expired: what was applied is still known."""
    for number in range(2, 5):
        deliver(shop, number, (number, number, "paid"), (number + 10, number, "gone"), (100 + number, number, "new"))
    expected = {i: "new" for i in (*range(40), 102, 103, 104) if i not in (12, 13, 14)} | dict.fromkeys((2, 3, 4), "paid")
    rewritten, _, expired = asked(
        spark,
        "CALL penstock.system.rewrite_data_files(table => 'shop.orders', options => map('rewrite-all', 'true'))",
        "CALL penstock.system.rewrite_manifests('shop.orders')",
        "CALL penstock.system.expire_snapshots(table => 'shop.orders', older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1)",
    )
    assert rewritten[0]["rewritten_data_files_count"] > 1
    assert expired[0]["deleted_data_files_count"] > 1
    assert states(shop) == expected
    assert shop.batches("lake.shop.orders") == []
    stands_at(shop, 4)
    for path in (shop.folder / "warehouse").rglob("*"):
        os.utime(path, (0, 0))  # all of it is old enough to be an orphan
    assert shop.penstock("maintain", "lake.shop.orders").code == 0
    assert as_spark_reads(spark) == expected, "no file that is needed is an orphan, Spark spells local paths otherwise"
    deliver(shop, 5, (1, 5, "paid"), (104, 5, "gone"), (2, 1, "late"))
    del expected[104]
    assert states(shop) == as_spark_reads(spark) == expected | {1: "paid"}
    assert shop.batches("lake.shop.orders") == [5]
    stands_at(shop, 5)
