"""Tables in Redshift vacuumed and analyzed as far as they need it, and materialised views refreshed, in the course of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipelines import Project

from penstock.config import AwsSettings
from penstock.connectors.redshift import upkeep
from penstock.connectors.redshift.sql import Target
from penstock.connectors.s3.access import client
from penstock.infra.local.control import LocalAws
from penstock.maintenance import Maintain
from penstock.schema import Column

PIPELINE = """
pipeline: NAME
connections:
  raw: {kind: s3, bucket: BUCKET}
  warehouse: {kind: redshift, workgroup: local}
tables:
  warehouse.NAME.sales: {columns: {id: bigint!, region: string}, keys: [id], maintain: {max_delete_share: 0.3}}
steps:
  - {id: files, read: {from: raw/sales/, format: csv}}
  - {id: load, copy: {from: files, into: warehouse.NAME.sales, write: merge}}
  - {id: refresh, sql: {on: warehouse, file: refresh.sql}}
  - {id: keep, maintain: {tables: [warehouse.NAME.sales]}}
environments:
  local: {aws: local}
"""
REFRESH = "REFRESH MATERIALIZED VIEW NAME.by_region"
TARGET = Target("Mart", "sales", (Column.parse("id", "bigint!"),))


@pytest.mark.parametrize(
    ("found", "due"),
    [
        ({"unsorted": None, "stats_off": 0, "rows": 100, "visible": 100}, []),
        ({"unsorted": 5, "stats_off": 10, "rows": 100, "visible": 90}, []),
        ({"unsorted": 5.1, "stats_off": 10, "rows": 100, "visible": 100}, ['VACUUM SORT ONLY "Mart"."sales" TO 95 PERCENT']),
        ({"unsorted": 0, "stats_off": 10.5, "rows": 100, "visible": 89}, ['VACUUM DELETE ONLY "Mart"."sales" TO 95 PERCENT', 'ANALYZE "Mart"."sales"']),
        ({"unsorted": 50, "stats_off": None, "rows": 100, "visible": 10}, ['VACUUM FULL "Mart"."sales" TO 95 PERCENT']),
    ],
)
def test_what_is_due(found: dict[str, Any], due: list[str]) -> None:
    assert upkeep.statements(TARGET, found, Maintain()) == due


def test_a_table_is_kept_after_its_load_and_a_view_refreshed(tmp_path: Path, local_aws: LocalAws, local_bucket: Callable[[str], str]) -> None:
    project, bucket = Project(tmp_path), local_bucket("upkeep")
    name, s3 = bucket.replace("-", "_"), client("s3", AwsSettings.from_environment(local_aws.environment()))
    project.write("pipeline.yaml", PIPELINE.replace("NAME", name).replace("BUCKET", bucket))
    define = f"CREATE MATERIALIZED VIEW {name}.by_region AS SELECT region, COUNT(*) AS n FROM {name}.sales GROUP BY region; "
    project.write("refresh.sql", define + REFRESH.replace("NAME", name))

    def run(key: str, rows: range, region: str) -> dict[str, Any]:
        s3.put_object(Bucket=bucket, Key=f"sales/{key}", Body="".join(["id,region\n", *(f"{i},{region}\n" for i in rows)]).encode())
        done, steps = project.record("--env", "local")
        assert done.code == 0, done.err
        return steps

    steps = run("1.csv", range(40), "north")
    assert (steps["keep"]["status"], steps["keep"]["note"]) == ("done", f'ANALYZE "{name}"."sales"')
    project.write("refresh.sql", REFRESH.replace("NAME", name))
    steps = run("2.csv", range(30), "south")
    assert steps["keep"]["note"] == f'VACUUM DELETE ONLY "{name}"."sales" TO 95 PERCENT; ANALYZE "{name}"."sales"'
    assert project.rows(f"{name}.by_region", connection="warehouse") == [{"region": "north", "n": 10}, {"region": "south", "n": 30}]
    assert run("3.csv", range(40, 41), "north")["keep"]["status"] == "nothing to do"
