"""What a new user does: `penstock init`, run, look, add a file, break something."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pipelines import Project


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    made = Project(tmp_path).penstock("init", "shop")
    assert made.code == 0, made.err
    return Project(tmp_path / "shop")


def test_the_made_pipeline_runs_as_it_is_and_takes_more(shop: Project) -> None:
    first = shop.penstock("run", ".")
    assert first.code == 0, first.err
    assert shop.rows("lake.shop.by_country") == [
        {"country": "CH", "orders": 1, "amount": "120.50"},
        {"country": "DE", "orders": 2, "amount": "94.99"},
        {"country": "FR", "orders": 1, "amount": "42.00"},
    ]
    (kept,) = shop.rows("lake.shop.orders__quarantine", "__reason, __position")
    assert kept["__reason"] == "amount: expect_column_values_to_be_between (min_value=0)"
    assert kept["__position"].endswith("2026-01-01.csv#5")
    shop.write("landing/orders/2026-01-02.csv", "order_id,country,amount,ordered_on\n6,CH,1.00,2026-01-03\n")
    assert shop.penstock("run", ".").code == 0
    assert shop.rows("lake.shop.by_country", "country, orders")[0] == {"country": "CH", "orders": 2}
    done = shop.penstock("run", ".")
    assert "nothing to do: no new input" in done.out


def test_a_python_transform_does_the_same(shop: Project) -> None:
    text = (shop.folder / "pipeline.yaml").read_text()
    shop.write("pipeline.yaml", text.replace("sql: by_country.sql", "python: by_country.py, inputs: [lake.shop.orders]"))
    shop.write(
        "by_country.py",
        "from pyspark.sql import functions as f\n\n\ndef build(spark, inputs):\n"
        "    orders = inputs['lake.shop.orders']\n"
        "    return orders.groupBy('country').agg(f.count('*').alias('orders'), f.sum('amount').cast('decimal(18,2)').alias('amount'))\n",
    )
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err
    assert [r["orders"] for r in shop.rows("lake.shop.by_country")] == [1, 2, 1]
    shop.write("by_country.py", "def build(spark, inputs):\n    return inputs['lake.shop.ordrs']\n")
    broken = shop.penstock("run", ".")
    assert (broken.code, "by_country.py, line 2: KeyError" in broken.err) == (1, True), broken.err


def test_a_gate_that_stops_keeps_the_table_and_exits_with_3(shop: Project) -> None:
    text = (shop.folder / "pipeline.yaml").read_text()
    shop.write("pipeline.yaml", text.replace("on_failure: quarantine", "on_failure: stop"))
    done = shop.penstock("run", ".")
    assert (done.code, "kept" in done.err or "found 1 bad rows" in done.err) == (3, True), done.err
    assert shop.rows("lake.shop.orders") == []
    assert "found 1 bad rows" in shop.penstock("batch", "show", ".", "orders", "1").out
    shop.write("pipeline.yaml", text)
    assert shop.penstock("run", ".").code == 0
    assert len(shop.rows("lake.shop.orders")) == 4


def test_an_empty_file_does_not_pass_a_gate(shop: Project) -> None:
    assert shop.penstock("run", ".").code == 0
    shop.write("landing/orders/2026-01-02.csv", "order_id,country,amount,ordered_on\n")
    done = shop.penstock("run", ".")
    assert (done.code, "there is no row to judge" in done.err) == (3, True), done.err
    assert shop.penstock("batch", "skip", ".", "orders", "2").code == 0
    assert shop.penstock("run", ".").code == 0


def test_queries(shop: Project) -> None:
    shop.penstock("run", ".")
    assert shop.penstock("query", "SELECT country, orders FROM lake.shop.by_country ORDER BY 1", "--csv").out.split() == [
        "country,orders",
        "CH,1",
        "DE,2",
        "FR,1",
    ]
    for sql, message in (
        ("SELECT * FROM lake.shop.order", "did you mean 'lake.shop.orders'"),
        ("SELECT nothing FROM lake.shop.orders", "nothing"),
        ("SELEC 1", "does not parse"),
        ("DROP TABLE lake.shop.orders", "a query only reads"),
    ):
        done = shop.penstock("query", sql)
        assert done.code in (1, 2)
        assert message in done.err, done.err


def test_doctor_and_help_say_what_there_is(tmp_path: Path) -> None:
    done = Project(tmp_path).penstock("doctor")
    assert (done.code, "duckdb" in done.out, "PostgreSQL" in done.out) == (0, True, True)
    helped = subprocess.run(
        [sys.executable, "-c", "from penstock.cli import main; main()", "--help"], capture_output=True, text=True, check=True, env=os.environ
    )
    assert all(verb in helped.stdout for verb in ("run", "plan", "state", "query", "schema", "init", "doctor", "batch", "local"))


def test_a_wrong_name_for_a_pipeline_is_refused(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert project.penstock("init", "no way").code == 2
    project.penstock("init", "shop")
    assert "exists already" in project.penstock("init", "shop").err


def test_the_launcher_for_spark_submit_runs_the_same(shop: Project) -> None:
    launcher = Path(__file__).parents[2] / "jobs" / "bin" / "launch.py"
    done = subprocess.run(
        [sys.executable, str(launcher), ".", "--select", "order_files+", "--log", "json"], cwd=shop.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "done"


def test_a_copied_or_moved_folder_does_not_touch_the_first(shop: Project, tmp_path: Path) -> None:
    assert shop.penstock("run", ".").code == 0
    before = shop.rows("lake.shop.orders")
    copied = Project(tmp_path / "copied")
    shutil.copytree(shop.folder, copied.folder)
    copied.write("landing/orders/2.csv", "order_id,country,amount,ordered_on\n9,CH,1.00,2026-01-02\n")
    done = copied.penstock("run", ".")
    assert (done.code, "was moved or copied" in done.err, "Traceback" in done.err) == (1, True, False), done.err
    assert shop.rows("lake.shop.orders") == before


def test_a_folder_without_files_says_so_and_what_needs_them_waits(shop: Project) -> None:
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("landing/orders/", "landing/oders/"))
    done = shop.penstock("run", ".")
    assert (done.code, "no file lies below landing/oders/" in done.out) == (0, True), done.err
    asked = shop.penstock("query", "SELECT * FROM lake.shop.by_country")
    assert "lake.shop.by_country is declared, but no run has made it yet" in asked.err


def test_a_file_without_a_declared_column_names_those_it_has(shop: Project) -> None:
    shop.write("landing/orders/2.csv", "order_id,land,amount,ordered_on\n9,CH,1.00,2026-01-02\n")
    done = shop.penstock("run", ".")
    assert "column 'country' is declared but the header has only order_id, land, amount, ordered_on" in done.err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("bigint!", "bigin!", "column 'order_id': type 'bigin' is not one of"),
        ('"decimal(12,2)"', "decimal(12,2)", 'a type with a comma is quoted: "decimal(10,2)"'),
        ("months(ordered_on)", "weeks(ordered_on)", "'weeks(ordered_on)' is no partition: a column, or years(c)"),
    ],
)
def test_a_wrong_type_or_partition_is_said_in_the_files_own_words(shop: Project, old: str, new: str, said: str) -> None:
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace(old, new, 1))
    done = shop.penstock("plan", ".")
    assert (done.code, said in done.err) == (2, True), done.err


def test_a_misspelt_expectation_is_found_without_running(shop: Project) -> None:
    shop.write("orders.json", shop.text("orders.json").replace("to_be_between", "to_be_betwen"))
    done = shop.penstock("plan", ".")
    assert "'expect_column_values_to_be_betwen' is no expectation of Great Expectations; did you mean 'expect_column_values_to_be_between'?" in done.err
