"""Lake tables copied into Redshift by each way of writing, from one snapshot to the next, through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipelines import Project, event, events

from penstock.config import AwsSettings
from penstock.connectors.redshift.sql import stage_of
from penstock.connectors.s3.access import client
from penstock.infra.local.control import LocalAws

PIPELINE = """
pipeline: SCHEMA
connections:
  raw: {kind: s3, bucket: BUCKET}
  lake: {kind: catalog, catalog: glue, warehouse: "s3://BUCKET/lake"}
  warehouse: {kind: redshift, workgroup: local}
tables:
  lake.SCHEMA.orders: &orders
    format: FORMAT
    columns: {id: bigint!, state: string, amount: "decimal(12,2)"}
    keys: [id]
  lake.SCHEMA.log:
    format: FORMAT
    columns: {id: bigint!, name: string}
  warehouse.SCHEMA.orders: {columns: {id: bigint!, state: string}, keys: [id], distkey: id, sort_by: [id], encode: {state: zstd}}
  warehouse.SCHEMA.states: {columns: {id: bigint!, state: string}, sort_by: [id], diststyle: all}
  warehouse.SCHEMA.by_state: {columns: {state: string, id: bigint}, partition_by: [state]}
  warehouse.SCHEMA.log: {columns: {id: bigint!, name: string}}
  warehouse.SCHEMA.versions: {columns: {id: bigint!, state: string, valid_from: timestamp_ntz!, valid_to: timestamp_ntz}, keys: [id]}
steps:
  - id: changes
    read: {from: raw/orders/, format: debezium, decimal_handling_mode: string, batch: {max_files: 1}}
  - {id: orders, merge: {from: changes, into: lake.SCHEMA.orders}}
  - id: lines
    read: {from: raw/log/, format: csv}
  - {id: log, copy: {from: lines, into: lake.SCHEMA.log}}
  - {id: load, copy: {from: lake.SCHEMA.orders, into: warehouse.SCHEMA.orders, write: merge}}
  - {id: load_states, copy: {from: lake.SCHEMA.orders, into: warehouse.SCHEMA.states, write: insert_missing}}
  - {id: load_by_state, copy: {from: lake.SCHEMA.orders, into: warehouse.SCHEMA.by_state, write: overwrite_partitions}}
  - {id: load_versions, copy: {from: lake.SCHEMA.orders, into: warehouse.SCHEMA.versions, write: scd2}}
  - {id: load_log, copy: {from: lake.SCHEMA.log, into: warehouse.SCHEMA.log, write: append}}
  - {id: count, sql: {on: warehouse, file: count.sql}}
environments:
  local: {aws: local}
"""
COUNT = """-- semicolons; in comments; divide nothing
CREATE TABLE IF NOT EXISTS SCHEMA.counted (run INTEGER, orders BIGINT, note VARCHAR(20));
INSERT INTO SCHEMA.counted SELECT NVL(MAX(run), 0) + 1, (SELECT COUNT(*) FROM SCHEMA.orders), 'a;b' FROM SCHEMA.counted;
/* the last; one */ DELETE FROM SCHEMA.counted WHERE run < 0"""


class Shop:
    def __init__(self, folder: Path, aws: LocalAws, bucket: str, table_format: str) -> None:
        self.project, self.bucket, self.schema = Project(folder), bucket, bucket.replace("-", "_")
        self.s3 = client("s3", AwsSettings.from_environment(aws.environment()))
        for name, text in {"pipeline.yaml": PIPELINE, "count.sql": COUNT}.items():
            self.project.write(name, text.replace("SCHEMA", self.schema).replace("BUCKET", bucket).replace("FORMAT", table_format))

    def deliver(self, key: str, text: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode())

    def run(self) -> dict[str, dict[str, Any]]:
        done, steps = self.project.record("--env", "local")
        assert done.code == 0, done.err
        return steps

    def loaded(self, step: str) -> list[list[str]]:
        """Of each COPY that a step had done, the files' URIs, without the bucket's."""
        stage = stage_of(f"{self.schema}/{step}", 0).split('"')[1].removesuffix("0")
        query = "SELECT d.file_name, h.query_id FROM sys_load_detail d JOIN sys_load_history h USING (query_id)"
        rows = self.project.penstock("query", f"{query} WHERE h.table_name LIKE '{stage}%'", "--json", "--connection", "warehouse").json()
        return [sorted(r["file_name"].split("/", 3)[3] for r in rows if r["query_id"] == q) for q in sorted({r["query_id"] for r in rows})]

    def held(self, table: str) -> list[list[Any]]:
        return [list(r.values()) for r in self.project.rows(f"{self.schema}.{table}", connection="warehouse")]


@pytest.fixture
def shop(tmp_path: Path, local_aws: LocalAws, local_bucket: Callable[[str], str], table_format: str) -> Shop:
    return Shop(tmp_path, local_aws, local_bucket("loads"), table_format)


def test_from_snapshot_to_snapshot(shop: Shop) -> None:
    shop.deliver("orders/1", events(*(event("c", i, 10 + i, "new", "1.00") for i in range(1, 6))))
    shop.deliver("log/1.csv", "id,name\n1,a\n2,b\n")
    steps = shop.run()
    assert [steps[s]["counts"]["applied"] for s in ("load", "load_states", "load_by_state", "load_log")] == [5, 5, 5, 2]
    assert shop.held("orders") == [[i, "new"] for i in range(1, 6)]
    shop.deliver("orders/2", events(event("u", 2, 30, "paid", "1.00"), event("d", 3, 31), event("c", 6, 32, "new", "2.00"), event("u", 1, 33, "new", "9.00")))
    shop.deliver("log/2.csv", "id,name\n2,b\n3,c\n")
    steps = shop.run()
    assert shop.held("orders") == [[1, "new"], [2, "paid"], [4, "new"], [5, "new"], [6, "new"]]
    assert shop.held("states") == [[1, "new"], [2, "new"], [2, "paid"], [3, "new"], [4, "new"], [5, "new"], [6, "new"]]
    assert sorted(shop.held("by_state")) == [["new", 1], ["new", 4], ["new", 5], ["new", 6], ["paid", 2]]
    assert sorted(shop.held("log")) == [[1, "a"], [2, "b"], [2, "b"], [3, "c"]]
    assert steps["load"]["counts"]["applied"] == 3, "a changed row, a new one, and a key that is gone; what differs in other columns alone is no change"
    assert steps["load_log"]["counts"]["applied"] == 2
    assert [r[1:] for r in shop.held("counted")] == [[5, "a;b"], [5, "a;b"]]
    assert "3 statements" in steps["count"]["note"]
    again = shop.run()
    assert {s: again[s]["status"] for s in ("load", "load_log", "count")} == dict.fromkeys(("load", "load_log", "count"), "nothing to do")


def test_files_of_the_lake_that_hold_just_the_rows_are_loaded_as_they_are(shop: Shop) -> None:
    declared = shop.project.text("pipeline.yaml")
    shop.deliver("orders/1", events(event("c", 1, 10, "new", "1.00")))
    for number, name in enumerate("ab"):
        shop.deliver(f"log/{number}.csv", f"id,name\n{number},{name}\n")
        shop.run()
    first, second = shop.loaded("load_log")
    assert [len(files) for files in (first, second)] == [1, 1]
    assert all(uri.startswith("lake/") and "_penstock" not in uri for uri in first + second), "a whole snapshot, then the files that came since"
    assert all("_penstock/staging/" in uri for files in shop.loaded("load") for uri in files), "orders have a column that the target has not"
    shop.project.write("pipeline.yaml", declared.replace("write: append", "write: overwrite"))
    shop.deliver("log/3.csv", "id,name\n3,c\n")
    shop.run()
    assert sorted(shop.loaded("load_log")[-1])[:2] == sorted(first + second)[:2]
    assert sorted(shop.held("log")) == [[0, "a"], [1, "b"], [3, "c"]]


@pytest.mark.parametrize("table_format", ["iceberg"])
def test_rows_written_out_are_cut_to_the_slices_of_a_cluster(shop: Shop) -> None:
    """The local cluster has two."""
    declared = shop.project.text("pipeline.yaml").replace("workgroup: local", "cluster: local")
    shop.project.write("pipeline.yaml", declared.replace("log: {columns: {id: bigint!, name: string}}", "log: {columns: {name: string, id: bigint!}}"))
    shop.deliver("orders/1", events(event("c", 1, 10, "new", "1.00")))
    shop.deliver("log/1.csv", "id,name\n" + "".join(f"{i},n{i}\n" for i in range(60_000)))
    shop.run()
    assert [len(f) for f in shop.loaded("load_log")] == [2]
    assert [len(f) for f in shop.loaded("load")] == [1], "a row is not worth two"
    told = shop.project.rows(f"{shop.schema}.log", "COUNT(*) AS n, SUM(id) AS s, MAX(name) AS m", connection="warehouse")
    assert told == [{"n": 60_000, "s": 60_000 * 59_999 // 2, "m": "n9999"}]


def test_every_version_of_a_row_is_kept(shop: Shop) -> None:
    deliveries = [
        [event("c", i, 10 + i, "new", "1.00") for i in range(1, 4)],
        [event("u", 1, 30, "paid", "1.00"), event("u", 2, 31, "new", "9.00"), event("d", 3, 32), event("c", 4, 33, None, "1.00")],
        [event("u", 4, 40, "paid", "1.00"), event("c", 3, 41, "again", "1.00")],
    ]
    shop.deliver("log/1.csv", "id,name\n1,a\n")
    for number, said in enumerate(deliveries):
        shop.deliver(f"orders/{number}", events(*said))
        steps = shop.run()
    assert steps["load_versions"]["counts"]["applied"] == 2
    assert shop.run()["load_versions"]["status"] == "nothing to do"
    versions = shop.project.rows(f"{shop.schema}.versions", "id, state, valid_from, valid_to", connection="warehouse")
    by_key = {i: sorted(([r["state"], r["valid_from"], r["valid_to"]] for r in versions if r["id"] == i), key=lambda r: r[1]) for i in range(1, 5)}
    assert {i: [r[0] for r in rows] for i, rows in by_key.items()} == {1: ["new", "paid"], 2: ["new"], 3: ["new", "again"], 4: [None, "paid"]}
    assert all(rows[-1][2] is None for rows in by_key.values())
    assert by_key[1][0][2] == by_key[1][1][1] == by_key[3][0][2], "one time for a batch: one version ends as the next begins"
    assert by_key[3][0][2] < by_key[3][1][1]


def test_an_append_of_what_was_changed_is_refused(shop: Shop) -> None:
    text = shop.project.text("pipeline.yaml")
    appended = f"copy: {{from: lake.{shop.schema}.orders, into: warehouse.{shop.schema}.orders, write: append}}"
    shop.project.write("pipeline.yaml", text.replace(appended.replace("append", "merge"), appended))
    shop.deliver("orders/1", events(event("c", 1, 10, "new", "1.00")))
    shop.deliver("log/1.csv", "id,name\n1,a\n")
    shop.run()
    shop.deliver("orders/2", events(event("c", 2, 20, "new", "1.00")))
    shop.run()
    assert shop.held("orders") == [[1, "new"], [2, "new"]]
    shop.deliver("orders/3", events(event("u", 1, 30, "paid", "1.00")))
    done = shop.project.penstock("run", ".", "--env", "local")
    assert (done.code, "1 rows of" in done.err, "write: merge" in done.err) == (1, True, True), done.err
    assert shop.held("orders") == [[1, "new"], [2, "new"]]


@pytest.mark.parametrize("table_format", ["delta"])
def test_a_table_is_laid_out_as_declared(shop: Shop) -> None:
    shop.deliver("orders/1", events(event("c", 1, 10, "new", "1.00")))
    shop.deliver("log/1.csv", "id,name\n1,a\n")
    shop.run()
    found = shop.project.rows("svv_table_info", '"table", diststyle, sortkey1', connection="warehouse")
    laid_out = {r["table"]: (r["diststyle"], r["sortkey1"]) for r in found if r["table"] in ("orders", "states")}
    assert laid_out == {"orders": ("KEY(id)", "id"), "states": ("ALL", "id")}

    def encodings() -> dict[str, str]:
        told = shop.project.rows("svv_redshift_columns", "column_name, encoding, schema_name, table_name", connection="warehouse")
        return {r["column_name"]: r["encoding"] for r in told if (r["schema_name"], r["table_name"]) == (shop.schema, "orders")}

    assert encodings() == {"id": "none", "state": "zstd"}
    changed = "encode: {state: lzo, id: raw, note: bytedict}"
    text = shop.project.text("pipeline.yaml").replace("encode: {state: zstd}", changed)
    shop.project.write(
        "pipeline.yaml",
        text.replace(f"warehouse.{shop.schema}.orders: {{columns: {{", f"warehouse.{shop.schema}.orders: {{columns: {{note: string, ").replace(
            'amount: "decimal(12,2)"}', 'amount: "decimal(12,2)", note: string}'
        ),
    )
    shop.deliver("orders/2", events(event("c", 2, 20, "new", "1.00")))
    shop.run()
    assert encodings() == {"id": "none", "state": "lzo", "note": "bytedict"}


@pytest.mark.parametrize("table_format", ["iceberg"])
def test_plan_shows_what_a_run_makes_of_the_tables_that_are_there(shop: Shop) -> None:
    declared, of = shop.project.text("pipeline.yaml"), f"{shop.schema}.orders"

    def compared(text: str) -> tuple[int, dict[str, tuple[list[str], str]]]:
        shop.project.write("pipeline.yaml", text)
        done = shop.project.penstock("plan", ".", "--env", "local", "--compare", "--json")
        return done.code, {c["table"]: (c["changes"], c["refused"]) for line in done.json() for c in line}

    code, found = compared(declared)
    assert (code, found[f"lake.{of}"]) == (0, (["CREATE TABLE"], ""))
    assert found[f"warehouse.{of}"][0][1].startswith(f'CREATE TABLE IF NOT EXISTS "{shop.schema}"."orders" ("id" BIGINT NOT NULL')
    shop.deliver("orders/1", events(event("c", 1, 10, "new", "1.00")))
    shop.deliver("log/1.csv", "id,name\n1,a\n")
    shop.run()
    assert set(map(str, compared(declared)[1].values())) == {"([], '')"}
    wider = declared.replace("encode: {state: zstd}", "encode: {state: lzo}").replace("state: string}, keys", "state: string, note: date}, keys")
    code, found = compared(wider.replace('amount: "decimal(12,2)"}', 'amount: "decimal(14,2)", note: date}'))
    assert (code, found[f"lake.{of}"][0]) == (0, ["ADD COLUMN note date", "ALTER COLUMN amount TYPE decimal(14,2)"])
    assert "  ADD COLUMN note date" in shop.project.penstock("plan", ".", "--env", "local", "--compare").out.splitlines()
    table = f'ALTER TABLE "{shop.schema}"."orders"'
    assert found[f"warehouse.{of}"][0] == [f'{table} ADD COLUMN "note" DATE', f'{table} ALTER COLUMN "state" ENCODE lzo']
    code, found = compared(declared.replace("{id: bigint!, name: string}", "{id: bigint!, name: bigint}"))
    assert (code, found[f"warehouse.{of}"]) == (1, ([], ""))
    assert "it has name string where name bigint is declared" in found[f"lake.{shop.schema}.log"][1]
    assert "but id bigint, name bigint are declared" in found[f"warehouse.{shop.schema}.log"][1]


@pytest.mark.parametrize("table_format", ["iceberg"])
def test_a_script_that_fails_leaves_nothing(shop: Shop) -> None:
    shop.deliver("orders/1", events(event("c", 1, 10, "new", "1.00")))
    shop.deliver("log/1.csv", "id,name\n1,a\n")
    shop.project.write("count.sql", f"CREATE TABLE {shop.schema}.made (a INTEGER); INSERT INTO {shop.schema}.made VALUES (1); SELECT 1/0")
    done = shop.project.penstock("run", ".", "--env", "local")
    assert (done.code, "division by zero" in done.err) == (1, True), done.err
    assert shop.project.penstock("query", f"SELECT * FROM {shop.schema}.made", "--connection", "warehouse").code == 1
    shop.project.write("count.sql", f"DROP TABLE IF EXISTS {shop.schema}.made; CREATE TABLE {shop.schema}.made AS SELECT 7 AS a")
    shop.run()
    assert shop.held("made") == [[7]]


@pytest.mark.parametrize("table_format", ["delta"])
def test_plan_names_what_a_script_lacks(shop: Shop) -> None:
    (shop.project.folder / "count.sql").unlink()
    done = shop.project.penstock("plan", ".", "--env", "local")
    assert (done.code, "count.sql" in done.err) == (2, True), done.err
    shop.project.write("count.sql", "SELECT 1;" * 40)
    done = shop.project.penstock("plan", ".", "--env", "local")
    assert (done.code, "40 statements" in done.err) == (2, True), done.err
