"""Tables between Penstock and Spark, each writing what the other reads and adds to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from keyed import COLUMNS, as_delta_rs_reads, ids, written

from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import open_catalog
from penstock.connectors.delta.table import DeltaTable
from penstock.engines.embedded import deleting
from penstock.errors import NotSupportedError
from penstock.tables import Design


def asked(spark: Any, *statements: str) -> list[list[dict[str, Any]]]:
    """The rows of each statement."""
    return [spark.sql(text).toArrow().to_pylist() for text in statements]


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
        *(f"DELETE FROM delta.`{theirs}` WHERE id % 100 = {i}" for i in range(4)),
        f"DELETE FROM delta.`{theirs}` WHERE id BETWEEN 500 AND 1200",
        f"SELECT v FROM delta.`{ours.location}` WHERE id = 1",
        f"UPDATE delta.`{theirs}` SET v = 'changed' WHERE id = 1999",
    )
    assert [r["id"] for r in read_before] == mine
    assert changed == [{"v": "changed"}]
    assert ids(ours) == as_delta_rs_reads(ours) == [i for i in mine if i not in (5, 50)]
    table = DeltaTable("ops.theirs", str(theirs), AwsSettings())
    left = [i for i in range(2000) if i % 100 > 3 and not 500 <= i <= 1200]
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
