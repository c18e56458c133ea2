"""What `penstock plan` finds without running anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.errors import ArgumentError, PipelineFileError
from penstock.parse import load
from penstock.plan import Plan, compile_plan

FLIGHTS = Path(__file__).parents[2] / "dags" / "pipelines" / "flights"
BASE = """pipeline: small
connections:
  raw: {kind: files, path: landing}
  cloud: {kind: s3, bucket: my-bucket}
  lake: {kind: catalog, catalog: sqlite, warehouse: w}
  warehouse: {kind: redshift, workgroup: g}
tables:
  lake.a.orders: {format: iceberg, columns: {id: bigint!, day: date!, amount: "decimal(12,2)", at: timestamp!}, keys: [id], partition_by: [months(day)]}
  lake.a.days: {format: delta, columns: {day: date!, amount: double}, keys: [day]}
  warehouse.mart.days: {columns: {day: date!, amount: double}, keys: [day]}
steps:
  - {id: files, read: {from: raw/x/, format: csv}}
  - {id: orders, merge: {from: files, into: lake.a.orders, sequence_by: at}, gate: {suite: suite}}
  - {id: days, transform: {sql: days.sql, into: lake.a.days}}
  - {id: load, copy: {from: lake.a.days, into: warehouse.mart.days, write: merge}}
  - {id: publish, call: {on: warehouse, procedure: mart.publish}}
  - {id: export, unload: {from: warehouse, sql: export.sql, into: cloud/out/, partition_by: [day]}}
  - {id: check, reconcile: {left: lake.a.days, right: warehouse.mart.days}}
"""
FILES = {
    "days.sql": "SELECT day, CAST(sum(amount) AS DOUBLE) AS amount FROM lake.a.orders GROUP BY day",
    "export.sql": "SELECT day, amount FROM mart.days",
    "suite.json": json.dumps({"name": "suite", "expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "id"}}]}),
    "build.py": "def build(spark, inputs):\n    return inputs['lake.a.orders'].groupBy('day').sum('amount')\n",
}


def plan_of(folder: Path, text: str = BASE, **files: str) -> Plan:
    (folder / "pipeline.yaml").write_text(text)
    for name, content in (FILES | {k.replace("_", ".", 1): v for k, v in files.items()}).items():
        (folder / name).write_text(content)
    return compile_plan(load(folder, environment={}))


def test_edges_come_from_what_steps_read_and_write(tmp_path: Path) -> None:
    after = {s.id: set(s.after) for s in plan_of(tmp_path).steps}
    assert after == {
        "files": set(), "orders": {"files"}, "days": {"orders"}, "load": {"days"}, "publish": {"load"},
        "export": {"load", "publish"}, "check": {"days", "load", "publish"},
    }  # fmt: skip


def test_the_file_may_name_steps_in_any_order(tmp_path: Path) -> None:
    head, steps = BASE.split("steps:\n")
    lines = steps.splitlines(keepends=True)
    found = plan_of(tmp_path, head + "steps:\n" + "".join([lines[2], lines[1], lines[0], *lines[3:]]))
    assert [s.id for s in found.steps][:3] == ["files", "orders", "days"]


def test_selection(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    ids = lambda text: [s.id for s in plan.select(text)]  # noqa: E731
    assert ids("days") == ["days"]
    assert ids("load+") == ["load", "publish", "export", "check"]
    assert ids("+days") == ["files", "orders", "days"]
    assert ids("files, days") == ["files", "days"]
    with pytest.raises(ArgumentError, match="did you mean 'days'"):
        plan.select("dais")


CASES = {
    "a partition of a wrong type": ("[months(day)]", '["truncate(2, at)"]', "truncate(2, at) is not made of a timestamp; truncate takes"),
    "a bucket without a number": ("[months(day)]", '["bucket(day)"]', "'bucket(day)' is no partition: a column, or years(c), months(c)"),
    "an unknown order": ("keys: [id],", "keys: [id], sort_by: [dey],", "sort_by: dey not among the columns id, day"),
    "an order by a struct": ('"decimal(12,2)", at: timestamp!},', '"struct<a: int>", at: timestamp!}, sort_by: [amount],', "sort_by takes columns that"),
    "a key twice": ("keys: [id],", "keys: [id, id],", "keys: id is there twice"),
    "a partition twice": ("[months(day)]", "[day, day]", "partition_by: day and day have one name, day"),
    "two partitions of a name": ("[months(day)]", '["bucket(4, id)", "bucket(8, id)"]', "bucket(8, id) and bucket(4, id) have one name, id_bucket"),
    "a partition of a column's name": ("day: date!, am", "day: date!, Day_Month: int, am", "months(day) and the column Day_Month have one name, day_month"),
    "unknown connection": ("from: raw/x/", "from: row/x/", "connection 'row' is not one of cloud, lake, raw, warehouse; did you mean 'raw'?"),
    "a table is no path": ("from: raw/x/", "from: lake.a.orders", "is not a connection/path/"),
    "unknown read step": ("merge: {from: files", "merge: {from: fils", "did you mean 'files'?"),
    "unknown table": ("into: lake.a.days}", "into: lake.a.dayz}", "did you mean 'lake.a.days'?"),
    "merge without keys": ("keys: [id], partition_by", "partition_by", "has no keys; a merge needs them"),
    "no order": (", sequence_by: at", "", "name the column that orders a key's rows with sequence_by"),
    "order of a feed that has one": ("format: csv}", "format: debezium}", "has its own order"),
    "an order that may be NULL": ("at: timestamp!", "at: timestamp", "a sequence is never NULL"),
    "an order by text": ("sequence_by: at", "sequence_by: amount", "a sequence is an int"),
    "a partition that the format lacks": ("double}, keys: [day]}\n  w", "double}, partition_by: [years(day)]}\n  w", "delta tables cannot be"),
    "no column that is no partition": ("double}, keys: [day]}\n  w", "double}, partition_by: [day, amount]}\n  w", "partitioned by all of its columns; delta"),
    "a reader that cannot read the format": ("amount: double}, keys: [day]}\n  w", "amount: double}, readers: [snowflake]}\n  w", "snowflake cannot read"),
    "two writers": ("into: lake.a.days}", "into: lake.a.orders}", "is written by step 'orders' already"),
    "a suite that is not there": ("suite: suite", "suite: sweet", "the suite's file is not there"),
    "a window into Redshift": ("write: merge}", "write: merge, window: {column: day, from: a, until: b}}", "a window goes with a lake table"),
    "a history without columns": ("write: merge}", "write: scd2}", "needs a column valid_from: timestamp"),
    "unload to a folder": ("into: cloud/out/", "into: raw/out/", "Redshift unloads to S3"),
    "an unload's partition": ("partition_by: [day]}}", "partition_by: [dai]}}", "column 'dai' is not in the query's output"),
    "no keys to compare": ("right: warehouse.mart.days}", "right: warehouse.mart.days, keys: [id]}", "the columns of both"),
    "a renamed step that lives": ("id: days,", "id: days, renamed_from: files,", "it was not renamed"),
    "two steps of a name": ("id: check", "id: load", "2 steps are called 'load'"),
    "a procedure's definition": ("mart.publish}", "mart.publish, definition: no.sql}", "there is no file no.sql"),
    "a Python transform that names no inputs": ("sql: days.sql", "python: build.py", "names what it reads in inputs"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_wrong_is_said_where_it_stands(tmp_path: Path, case: str) -> None:
    old, new, message = CASES[case]
    assert old in BASE
    with pytest.raises(PipelineFileError) as raised:
        plan_of(tmp_path, BASE.replace(old, new, 1))
    assert message in str(raised.value)
    assert all(p.file and (p.line or p.file.endswith(".json")) for p in raised.value.problems)


SQL = {
    "does not parse": ("SELECT day frm lake.a.orders WHERE", "the SQL does not parse"),
    "unknown column": ("SELECT day,\n  dey AS amount FROM lake.a.orders", "Column 'dey' could not be resolved"),
    "unknown table": ("SELECT day, amount FROM lake.a.order", "did you mean 'lake.a.orders'?"),
    "missing output": ("SELECT day FROM lake.a.orders", "wants the columns amount"),
    "output too many": ("SELECT day, 1D AS amount, id FROM lake.a.orders", "gives id, which lake.a.days does not have"),
    "type": ("SELECT day, CAST(id AS STRING) AS amount FROM lake.a.orders", "is a string in the query but lake.a.days declares double"),
    "parameter": ("SELECT day, CAST(sum(amount) AS DOUBLE) AS amount FROM lake.a.orders WHERE day > :since GROUP BY day", "parameter :since is not declared"),
    "two statements": ("SELECT 1; SELECT 2", "found 2 statements"),
}


@pytest.mark.parametrize("case", SQL, ids=str)
def test_sql_is_checked_against_the_declared_tables(tmp_path: Path, case: str) -> None:
    sql, message = SQL[case]
    with pytest.raises(PipelineFileError) as raised:
        plan_of(tmp_path, days_sql=sql)
    assert message in str(raised.value)
    assert raised.value.problems[0].file == "days.sql"
    if case == "unknown column":
        assert (raised.value.problems[0].line, raised.value.problems[0].column) == (2, 3)


@pytest.mark.parametrize(
    ("code", "message"),
    [("def build(spark):\n    pass\n", "no function build(spark, inputs)"), ("def build(", "not valid Python"),
     ("def build(spark, inputs):\n    return spark.sparkContext.parallelize([1])\n", ".sparkContext does not exist in Spark Connect")],
)  # fmt: skip
def test_python_transforms_are_read_and_never_imported(tmp_path: Path, code: str, message: str) -> None:
    text = BASE.replace("sql: days.sql", "python: build.py, inputs: [lake.a.orders]")
    assert plan_of(tmp_path, text).steps
    with pytest.raises(PipelineFileError, match=r"build\.py") as raised:
        plan_of(tmp_path, text, build_py=code)
    assert message in str(raised.value)


def test_an_engine_is_asked_whether_it_can_write_a_table(tmp_path: Path) -> None:
    text = BASE.replace("steps:", "environments: {large: {engine: spark}}\nsteps:").replace("format: csv", "format: json")
    text = text.replace("{id: bigint!, day: date!", "{id: bigint!, day: date!, tags: array<string>")
    plan_of(tmp_path, text)
    with pytest.raises(PipelineFileError) as raised:
        compile_plan(load(tmp_path, env="large", environment={}))
    (problem,) = raised.value.problems
    assert problem.message == ("lake.a.orders has the column tags array<string>, which the engine spark does not write; give the step `engine: embedded`")
    plan_of(tmp_path, text.replace("id: orders,", "id: orders, engine: embedded,"))
    assert load(tmp_path, env="large", environment={}).environment.engine == "spark"
    assert [s.engine for s in compile_plan(load(tmp_path, env="large", environment={})).steps][:3] == ["", "embedded", "spark"]


def test_a_suite_must_be_able_to_fail(tmp_path: Path) -> None:
    for content, message in (("{", "not valid JSON"), ('{"name": "s", "expectations": []}', "could not fail"), ("[]", "not a suite")):
        with pytest.raises(PipelineFileError, match=message):
            plan_of(tmp_path, suite_json=content)
    wrong = {"name": "s", "expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "idd"}}]}
    with pytest.raises(PipelineFileError, match="did you mean 'id'"):
        plan_of(tmp_path, suite_json=json.dumps(wrong))


def test_a_cycle_is_shown_as_a_path(tmp_path: Path) -> None:
    text = """pipeline: round
connections: {lake: {kind: catalog, catalog: sqlite, warehouse: w}}
tables:
  lake.a.x: {format: delta, columns: {n: int}}
  lake.a.y: {format: delta, columns: {n: int}}
steps:
  - {id: x, transform: {sql: x.sql, into: lake.a.x}}
  - {id: y, transform: {sql: y.sql, into: lake.a.y}}
"""
    with pytest.raises(PipelineFileError, match="form a cycle: x -> y -> x"):
        plan_of(tmp_path, text, x_sql="SELECT n FROM lake.a.y", y_sql="SELECT n FROM lake.a.x")


def test_the_example_has_no_problem() -> None:
    assert len(compile_plan(load(FLIGHTS, environment={})).steps) == 16
