"""Change streams through Spark onto tables, and through Spark and the embedded engine in turns, end as the model does."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import spark_server
from changes_model import HISTORY, SOFT, SPEC, batches, stream
from merged import Merged
from pipelines import APPENDED, EVENTS, SHOP, Project, event, events, truncate

from penstock.changes.facts import MergeSpec
from penstock.config import AwsSettings
from penstock.connectors.catalogs import Catalog
from penstock.engines import deleting, opening
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.engines.spark import by_key, executing
from penstock.engines.spark import session as spark_session
from penstock.engines.spark.engine import SparkEngine
from penstock.engines.spark.packing import apart
from penstock.engines.spark.session import SparkBatchSession
from penstock.engines.spark.slot_writing import SlotWriting
from penstock.tables import PartitionField

# a history's batch without truncates is settled key by key, by short rules or by the general ones
CASES = [(SPEC, 0.2, 0.03), (SPEC, 0.0, 0.0), (SOFT, 0.2, 0.03), (HISTORY, 0.2, 0.03), (HISTORY, 0.2, 0.0)]


@pytest.mark.parametrize(("spec", "partial", "truncates"), CASES, ids=["scd1", "scd1_whole_rows", "soft_delete", "scd2", "scd2_by_key"])
def test_engines_in_turns_end_as_the_model(
    lake: Catalog, table_format: str, spec: MergeSpec, partial: float, truncates: float, on_spark: SparkEngine, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of a few rows stay where they are, so that each engine reads the deleted positions of the other, and writes upon them.

    To the driver every batch is light, and every table heavy: executors find the rows for it, and rewrite files. On Spark a batch has many parts, and slots are
    shared out.
    """
    monkeypatch.setattr(deleting, "LARGE_ROWS", 1)
    monkeypatch.setattr(by_key, "PART_ROWS", 25)
    monkeypatch.setattr(spark_session, "FILE_ROWS", 15)
    r = random.Random(seed)
    for module in (by_key, spark_session):
        monkeypatch.setattr(module, "MANY_TIMES", r.choice((0, 4)))
    events = stream(seed, partial=partial, truncates=truncates, events_a_key=20)
    merged = Merged(lake, table_format, PartitionField("identity", "order"), spec=spec, position_deletes=True)
    engines = {"spark": on_spark, "driver": replace(on_spark, least_bytes=1), "embedded": EmbeddedEngine(AwsSettings())}
    cut = [*batches(seed, events)[:2], events]
    turns = islice(cycle(engines), first := r.randint(0, 2), first + len(cut))
    for number, (turn, batch) in enumerate(zip(turns, cut, strict=True), 1):
        merged.engine = engines[turn]
        if r.random() < 0.3:
            merged.apply(batch, number, crash=True)
        merged.apply(batch, number)
    merged.agrees(events, seed)
    merged.engine = on_spark
    merged.agrees(events, seed)


PIPELINE = (
    SHOP
    + """  lake.shop.orders:
    format: MERGED
    columns: {id: bigint!, state: string, amount: "decimal(12,2)"}
    keys: [id]
    partition_by: [state]
  lake.shop.seen:
    format: WRITTEN
    columns: {id: bigint!, state: string}
  lake.shop.totals:
    format: WRITTEN
    columns: {state: string, orders: bigint!, amount: "decimal(18,2)"}
steps:
  - id: changes
    read: {from: raw/orders/, format: debezium, decimal_handling_mode: string, batch: {max_files: 1}}
  - id: orders
    merge: {from: changes, into: lake.shop.orders, retention: 30 days}
    gate: {suite: orders, on_failure: quarantine}
  - id: seen
    transform: {sql: seen.sql, into: lake.shop.seen, write: overwrite}
  - id: totals
    transform: {sql: totals.sql, into: lake.shop.totals, write: overwrite}
  - id: renamed
    update: {into: lake.shop.seen, set: {state: "'was new'"}, where: state = 'new'}
environments:
  large: {engine: spark, spark_from_mb: 0}
"""
)
SUITE = {"name": "orders", "expectations": [{"type": "expect_column_values_to_be_between", "kwargs": {"column": "amount", "min_value": 0}}]}
TABLES = ("lake.shop.orders", "lake.shop.seen", "lake.shop.totals", "lake.shop.orders__quarantine")


def shop(folder: Path, merged: str, written: str) -> Project:
    project = Project(folder)
    project.write("pipeline.yaml", PIPELINE.replace("MERGED", merged).replace("WRITTEN", written))
    project.write("orders.json", json.dumps(SUITE))
    project.write("seen.sql", "SELECT id, state FROM lake.shop.orders")
    project.write("totals.sql", "SELECT state, count(*) AS orders, sum(amount) AS amount FROM lake.shop.orders GROUP BY state")
    return project


DELIVERED = (
    [event("c", i, i, "new", f"{i}.50") for i in range(1, 9)],
    [event("u", 1, 20, "paid", "7.00"), event("d", 2, 21, "new", "2.50"), event("u", 3, 22, "new", "-1.00")],
    [
        event("u", 1, 19, "late", "9.00"),
        event("c", 9, 30, "paid", "9.00"),
        event("d", 4, 31, "new", "4.50"),
        event("c", 2, 40, "back", "2.00"),
        event("u", 5, 41, "paid", "5.00"),
        event("d", 6, 50),
        event("c", 10, 50, "__debezium_unavailable_value", "6.75"),
    ],
)


def test_plan_says_which_steps_are_on_spark(tmp_path: Path) -> None:
    project = shop(tmp_path, "delta", "iceberg")
    assert "on Spark: orders, seen, totals, renamed\n" in project.penstock("plan", ".", "--env", "large").out
    assert "on Spark" not in project.penstock("plan", ".").out
    project.write("pipeline.yaml", (tmp_path / "pipeline.yaml").read_text().replace("- id: totals", "- id: totals\n    engine: spark"))
    assert "on Spark: totals\n" in project.penstock("plan", ".").out


@pytest.mark.skipif(bool(spark_server.missing()), reason=spark_server.missing())
def test_a_run_starts_a_spark_of_its_own(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", "iceberg") + "environments:\n  here: {spark_from_mb: 0}\n")
    project.write("landing/orders/1.json", events(event("c", 1, 1, "new"), event("c", 2, 2, "new"), event("d", 1, 3)))
    quick = {k: v for k, v in spark_server.SETTINGS.items() if k.startswith(("spark.sql.shuffle", "spark.sql.codegen", "spark.ui", "spark.driver.extra"))}
    project.write("conf/spark-defaults.conf", "".join(f"{k} {v}\n" for k, v in quick.items()))
    done = project.process("run", ".", "--env", "here", "--runtime", "local[1]", "--log", "json", SPARK_CONF_DIR=str(tmp_path / "conf"), SPARK_REMOTE="")
    assert done.code == 0, done.err
    assert [s["counts"]["applied"] for s in json.loads(done.out.splitlines()[-1])["steps"]][-1] == 2
    assert project.rows("lake.shop.orders", "id, state") == [{"id": 2, "state": "new"}]


@pytest.mark.skipif(spark_server.IS_BEFORE_4, reason="transforms on one machine need pyspark 4, the client of Sail")
def test_a_pipeline_of_both_formats_changes_its_engine_between_runs(tmp_path: Path, spark_address: str, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Merge, gate, quarantine, copy, transform and update: the tables are those of a pipeline that stayed on one machine."""
    monkeypatch.setenv("SPARK_REMOTE", spark_address)
    formats = ("iceberg", "delta")[:: (1, -1)[seed % 2]]
    turning, staying = shop(tmp_path / "turning", *formats), shop(tmp_path / "staying", *formats)
    for number, (said, environment) in enumerate(zip(DELIVERED, ("large", None, "large"), strict=True)):
        for project in (turning, staying):
            project.write(f"landing/orders/{number}.json", events(*said))
        done = turning.penstock("run", ".", *(["--env", environment] if environment else []))
        assert done.code == 0, done.err
    done = staying.penstock("run", ".")
    assert done.code == 0, done.err
    for table in TABLES:
        columns = "*" if "quarantine" not in table else "__reason, __payload"
        assert turning.rows(table, columns) == staying.rows(table, columns), table
    done, steps = turning.record("--env", "large")
    assert (done.code, {s["status"] for s in steps.values()}) == (0, {"nothing to do"})


def test_an_update_stops_as_it_does_on_one_machine(tmp_path: Path, spark_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_REMOTE", spark_address)
    update = "  - {id: changed, engine: spark, update: {into: lake.a.rows, set: {name: VALUE}, where: TRY_CAST(name AS INT) IS NULL}}\n"
    text = (APPENDED + update + "environments:\n  large: {spark_from_mb: 0}\n").replace("FORMAT", "delta").replace("name: string", "name: string!")
    project = Project(tmp_path)
    project.write("landing/rows/1.csv", "id,name\n1,new\n2,new\n")
    divided = "division by zero" if spark_server.IS_BEFORE_4 else "USER_RAISED_EXCEPTION"
    stops = {"CAST(name AS INT)": "CAST_INVALID_INPUT", "id / (id - 2)": divided, "IF(id = 2, NULL, 'x')": "column 'name' of 1 rows"}
    for value, said in stops.items():
        project.write("pipeline.yaml", text.replace("VALUE", f'"{value}"'))
        stopped = project.penstock("run", ".", "--env", "large")
        assert (stopped.code, said in stopped.err) == (1, True), stopped.err
    assert project.rows("lake.a.rows", "id, name") == [{"id": 1, "name": "new"}, {"id": 2, "name": "new"}]


def test_of_a_heavy_table_executors_read_and_rewrite_what_a_light_batch_touches(
    tmp_path: Path, table_format: str, spark_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_REMOTE", spark_address)
    monkeypatch.setattr(opening, "MB", 1)
    executed: list[str] = []
    for owner, name in ((SparkBatchSession, "gather"), (SlotWriting, "of"), (SparkBatchSession, "settle")):
        done_so_far = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given, done=done_so_far, name=name: [executed.append(name), done(*given)][1])
    project = Project(tmp_path)
    columns = 'columns: {id: bigint!, state: string, amount: "decimal(12,2)"}'
    text = EVENTS.replace("FORMAT", table_format).replace(columns, columns + "\n    partition_by: [state]")
    project.write("pipeline.yaml", text + "environments:\n  large: {engine: spark, spark_from_mb: 1200}\n")
    deliveries: list[tuple[set[str], list[str]]] = [
        (set(), [event("c", i, i, "new" if i % 3 else "old's", f"{i}.50") for i in range(1, 301)]),
        ({"gather", "of"}, [event("u", 1, 400, "old's", "7.00"), event("d", 2, 401), event("c", 301, 402, "new", "1.00"), event("u", 3, 1, "late")]),
        ({"gather", "of"}, [event("u", 4, 410, "old's", "8.00")]),
        ({"settle", "of"}, [truncate(500), event("c", 7, 501, "new", "2.00")]),
    ]
    for number, (who, said) in enumerate(deliveries):
        executed.clear()
        if number == 2:  # what cannot be sent to executors the driver writes
            monkeypatch.setattr(executing, "_SENT_BYTES", 1)
        project.write(f"landing/orders/{number}.json", events(*said))
        done, steps = project.record(*(["--env", "large"] if who else []))
        assert (done.code, set(executed)) == (0, who), done.err
        assert steps["orders"]["counts"]["read"] == len(said)
        if number == 1:
            rows = {r["id"]: (r["state"], str(r["amount"])) for r in project.rows("lake.shop.orders", "id, state, amount")}
            assert (len(rows), rows[1], rows.get(2), rows[3], rows[301]) == (300, ("old's", "7.00"), None, ("old's", "3.50"), ("new", "1.00"))
        if number == 2:
            assert {"id": 4, "state": "old's"} in project.rows("lake.shop.orders", "id, state")
    assert project.rows("lake.shop.orders", "id, state") == [{"id": 7, "state": "new"}]


def test_what_is_light_needs_no_cluster(tmp_path: Path, table_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:1")  # where nobody answers
    project = Project(tmp_path)
    declared = EVENTS.replace("FORMAT", table_format) + "environments:\n  large: {engine: spark}\n"
    project.write("pipeline.yaml", declared)
    project.write("landing/orders/1.json", events(event("c", 1, 1, "new"), event("c", 2, 2, "new"), event("d", 1, 3)))
    done = project.penstock("run", ".", "--env", "large")
    assert done.code == 0, done.err
    assert project.rows("lake.shop.orders", "id, state") == [{"id": 2, "state": "new"}]


def test_spark_sends_each_part_to_a_partition_of_its_own(spark: Any) -> None:
    for count in (1, 2, 7, 30):
        parts = spark.createDataFrame([(number,) for number in apart(count)], "part INT").repartition(count, "part")
        assert len({row[0] for row in parts.selectExpr("spark_partition_id()").collect()}) == count
