"""Files that go into Redshift as they lie, by COPY, through the command line."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
from pipelines import Project

from penstock.config import AwsSettings
from penstock.connectors.s3.access import client
from penstock.infra.local.control import LocalAws

PIPELINE = """
pipeline: SCHEMA
connections:
  raw: {kind: s3, bucket: BUCKET, prefix: in}
  warehouse: {kind: redshift, workgroup: local}
tables:
  warehouse.SCHEMA.sales:
    columns: {id: bigint!, day: date, name: string, amount: "decimal(12,2)"}
    keys: [id]
    partition_by: [day]
steps:
  - id: files
    read: {from: raw/sales/, format: FORMAT, batch: {max_files: 10}READ}
  - id: load
    copy: {from: files, into: warehouse.SCHEMA.sales, write: WRITEOPTIONS}
environments:
  local: {aws: local}
"""
HEADER = "id,day,name,amount\n"


class Sales:
    """A pipeline of one load, and a bucket that files come to."""

    def __init__(self, folder: Path, aws: LocalAws, bucket: str) -> None:
        self.project, self.bucket, self.schema = Project(folder), bucket, bucket.replace("-", "_")
        self.s3 = client("s3", AwsSettings.from_environment(aws.environment()))
        self.declare()

    def declare(self, kind: str = "csv", write: str = "append", read: str = "", options: str = "") -> None:
        said = {"SCHEMA": self.schema, "BUCKET": self.bucket, "FORMAT": kind, "WRITE": write, "READ": read, "OPTIONS": options and f", options: {{{options}}}"}
        text = PIPELINE
        for name in ("SCHEMA", "BUCKET", "FORMAT", "READ", "WRITE", "OPTIONS"):
            text = text.replace(name, said[name])
        self.project.write("pipeline.yaml", text)

    def deliver(self, name: str, data: str | bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=f"in/sales/{name}", Body=data.encode() if isinstance(data, str) else data)

    def run(self) -> dict[str, Any]:
        done, steps = self.project.record("--env", "local")
        assert done.code == 0, done.err
        return steps["load"]["counts"] | {"status": steps["load"]["status"]}

    def refused(self, command: str = "run", *options: str) -> str:
        done = self.project.penstock(command, ".", "--env", "local", *options)
        assert done.code, done.out
        return done.err + done.out

    def held(self, table: str = "sales", columns: str = "*") -> list[list[Any]]:
        return [list(r.values()) for r in self.project.rows(f"{self.schema}.{table}", columns, connection="warehouse")]


@pytest.fixture
def sales(tmp_path: Path, local_aws: LocalAws, local_bucket: Callable[[str], str]) -> Sales:
    return Sales(tmp_path, local_aws, local_bucket("files"))


ONE, TWO = [1, "2026-01-01", "a, 'b'", "1.50"], [2, "2026-01-02", None, None]
DAYS, AMOUNTS = pa.array(["2026-01-01", "2026-01-02"]).cast(pa.date32()), pa.array(["1.50", None]).cast(pa.decimal128(12, 2))
TABLE = pa.table({"amount": AMOUNTS, "id": [1, 2], "day": DAYS, "name": ["a, 'b'", None]})


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(TABLE, sink)
    return sink.getvalue()


def orc_file() -> bytes:
    sink = io.BytesIO()
    orc.write_table(TABLE, sink)
    return sink.getvalue()


CSV = "amount,ID,day,name\n1.50,1,2026-01-01,\"a, 'b'\"\n,2,2026-01-02,\n"
JSON = "\n".join(json.dumps(r) for r in ({"Id": 1, "day": "2026-01-01", "name": "a, 'b'", "amount": 1.5, "more": []}, {"Id": 2, "day": "2026-01-02"}))


@pytest.mark.parametrize(
    ("kind", "name", "data"),
    [
        ("csv", "1.csv", CSV), ("csv", "1.csv", b"\xef\xbb\xbf" + CSV.encode()), ("csv", "1.gz", gzip.compress(CSV.encode())),
        ("json", "1.json", JSON), ("json", "1.bz2", bz2.compress(JSON.encode())), ("parquet", "1.parquet", parquet()), ("orc", "1.orc", orc_file()),
    ],
    ids=["csv", "csv with a mark", "csv.gz", "json", "json.bz2", "parquet", "orc"],
)  # fmt: skip
def test_each_format_by_the_names_of_its_columns(sales: Sales, kind: str, name: str, data: str | bytes) -> None:
    sales.declare(kind)
    sales.deliver(name, data)
    assert (sales.run()["applied"], sales.held()) == (2, [ONE, TWO])
    assert sales.run()["status"] == "nothing to do"
    listed = sales.s3.list_objects_v2(Bucket=sales.bucket)["Contents"]
    assert [o["Key"] for o in listed] == [f"in/sales/{name}"]


def test_batches_are_merged_by_key_and_what_is_not_read_stays(sales: Sales) -> None:
    sales.declare(write="merge")
    sales.deliver("1.csv", HEADER + "1,2026-01-01,a,1.00\n2,2026-01-01,b,2.00\n")
    sales.run()
    sales.declare(write="merge", read=", columns: {id: bigint!, amount: 'decimal(12,2)'}")
    sales.deliver("2.csv", "id,amount\n2,9.00\n3,3.00\n")
    assert sales.run()["applied"] == 2
    assert sales.held() == [[1, "2026-01-01", "a", "1.00"], [2, "2026-01-01", "b", "9.00"], [3, None, None, "3.00"]]
    sales.deliver("3.csv", "id,amount\n4,1.00\n4,2.00\n")
    assert "1 keys" in sales.refused()
    assert len(sales.held()) == 3


def test_versions_of_rows_are_kept_and_what_is_not_delivered_stays_open(sales: Sales) -> None:
    sales.declare(write="scd2, history: [since, until]")
    text = sales.project.text("pipeline.yaml")
    sales.project.write("pipeline.yaml", text.replace('amount: "decimal(12,2)"}', 'amount: "decimal(12,2)", since: timestamp_ntz!, until: timestamp_ntz}'))
    for name, rows in {"1.csv": "1,2026-01-01,a,1.00\n2,2026-01-01,b,\n", "2.csv": "2,2026-01-01,b,\n1,2026-01-02,a,1.00\n3,2026-01-02,c,1.00\n"}.items():
        sales.deliver(name, HEADER + rows)
        sales.run()
    held = sales.held(columns="id, day, name, amount, until IS NULL AS open")
    assert sorted(held) == [
        [1, "2026-01-01", "a", "1.00", False], [1, "2026-01-02", "a", "1.00", True], [2, "2026-01-01", "b", None, True], [3, "2026-01-02", "c", "1.00", True],
    ]  # fmt: skip


def test_partitions_that_are_in_the_files_are_replaced(sales: Sales) -> None:
    sales.declare(write="overwrite_partitions")
    sales.deliver("1.csv", HEADER + "1,2026-01-01,a,1.00\n2,2026-01-02,b,2.00\n3,,c,3.00\n")
    sales.run()
    sales.deliver("2.csv", HEADER + "4,2026-01-02,d,4.00\n5,,e,5.00\n")
    sales.run()
    assert [(r[0], r[1]) for r in sales.held()] == [(1, "2026-01-01"), (4, "2026-01-02"), (5, None)]


def test_bad_rows_are_put_aside_with_their_reasons_and_not_twice(sales: Sales) -> None:
    sales.declare(options="maxerror: 3")
    sales.deliver("1.csv", HEADER + "1,2026-01-01,a,1.00\nx,2026-01-01,'b\\,1.00\n3,tomorrow,c,1.00\n")
    counts = sales.run()
    assert (counts["read"], counts["applied"], counts["quarantined"]) == (3, 1, 2)
    kept = sales.held("sales__quarantine")
    assert [(r[1], r[2].rpartition("/")[2], r[4]) for r in kept] == [(1, "1.csv#3", "x,2026-01-01,'b\\,1.00"), (1, "1.csv#4", "3,tomorrow,c,1.00")]
    assert "column id" in kept[0][3]
    sales.deliver("2.csv", HEADER + "".join("x,2026-01-01,b,1.00\n" for _ in range(4)))
    said = sales.refused()
    assert "2.csv, line 2, column id" in said, said
    sales.declare(options="maxerror: 7")
    assert sales.run()["quarantined"] == 4
    assert len(sales.held("sales__quarantine")) == 6
    assert sales.project.penstock("run", ".", "--env", "local", "--full-refresh").code == 0
    assert (len(sales.held()), len(sales.held("sales__quarantine"))) == (1, 6)


def test_files_that_are_not_what_is_declared_publish_nothing(sales: Sales) -> None:
    sales.deliver("1.csv", "id,day,name\n1,2026-01-01,a\n")
    assert "1.csv has the columns id, day, name where id, day, name, amount are declared" in sales.refused()
    sales.deliver("1.csv", HEADER + "1,2026-01-01,a,1.00\n")
    assert "1.csv changed after its batch was cut" in sales.refused("run", "--select", "load")
    assert sales.project.penstock("batch", "retry", ".", "files", "1", "--env", "local").code == 0
    assert sales.run()["applied"] == 1
    sales.deliver("2.csv", HEADER + "1,2026-01-01,a,1.00\n")
    sales.deliver("3.csv", "day,id,name,amount\n2026-01-01,1,a,1.00\n")
    assert "3.csv have their columns in different orders" in sales.refused()
    assert len(sales.held()) == 1


@pytest.mark.parametrize(("read", "text"), [("", "\nid,day,name,amount\n1,2026-01-01,a,1.00\n"), ("", "")], ids=["an empty first line", "nothing"])
def test_a_file_without_names_is_refused(sales: Sales, read: str, text: str) -> None:
    sales.deliver("1.csv", text)
    assert "has no first line with the names of its columns" in sales.refused()


def test_a_batch_that_lost_its_only_file_is_a_batch_without_rows(sales: Sales) -> None:
    sales.deliver("1.csv", HEADER + "x,y\n")
    sales.refused()
    sales.s3.delete_object(Bucket=sales.bucket, Key="in/sales/1.csv")
    assert sales.project.penstock("batch", "retry", ".", "files", "1", "--env", "local").code == 0
    assert sales.run()["applied"] == 0


def test_names_that_begin_as_a_packed_file_does(sales: Sales) -> None:
    sales.project.write("pipeline.yaml", sales.project.text("pipeline.yaml").replace("{id: bigint!", "{BZ: string, id: bigint!"))
    sales.deliver("1.csv", "BZ," + HEADER + "z,1,2026-01-01,a,1.00\n")
    assert sales.run()["applied"] == 1


@pytest.mark.parametrize("at", ["after_stage", "after_publish"])
def test_a_load_killed_anywhere_puts_each_row_where_it_belongs_once(sales: Sales, at: str) -> None:
    sales.declare(options="maxerror: 2, encoding: utf16le")
    text = HEADER + "1,2026-01-01,a,1.00\nx,2026-01-01,\u20ac,1.00\n"
    sales.deliver("1.csv", text.encode("utf-16-le"))
    killed = sales.project.process("run", ".", "--env", "local", PENSTOCK_KILL_AT=at)
    assert killed.code == -signal.SIGKILL, killed.err
    sales.run()
    assert sales.held(columns="id") == [[1]]
    assert [r[4] for r in sales.held("sales__quarantine")] == ["x,2026-01-01,\u20ac,1.00"]


def test_a_truncated_file_and_one_that_vanished(sales: Sales) -> None:
    sales.declare("parquet")
    sales.deliver("1.parquet", parquet()[:-20])
    assert "1.parquet is no parquet file" in sales.refused()
    sales.s3.delete_object(Bucket=sales.bucket, Key="in/sales/1.parquet")
    assert "1.parquet is no longer there" in sales.refused()


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"options": "delimiter: '|'", "kind": "json"}, "options.delimiter: it does not go with json"),
        ({"options": "maxerror: 5", "kind": "parquet"}, "it does not go with parquet"),
        ({"options": "timefmt: auto"}, "timefmt"),
        ({"options": "maxerror: -1"}, "greater than or equal to 0"),
        ({"kind": "debezium"}, "merge it into a lake table, and copy that one into Redshift"),
        ({"write": "overwrite"}, "overwrite from files needs `take: all`"),
        ({"read": ", columns: {id: bigint!, nmae: string}"}, "did you mean 'name'"),
        ({"read": ", columns: {name: string}"}, "that may not be NULL: id"),
        ({"read": ", bad_files: quarantine"}, "COPY takes no part of a batch whose files are bad"),
        ({"write": "scd2"}, "needs a column valid_from: timestamp, for when a version of a row began or ended; it has none"),
        ({"write": "scd2, history: [day, amount]"}, "it has date"),
        ({"write": "merge, history: [day, amount]"}, "only write: scd2 keeps a history"),
        ({"write": "insert_missing", "read": ", columns: {id: bigint!}"}, "does not read day, name, amount"),
    ],
)
def test_what_cannot_be_is_told_by_plan(sales: Sales, declared: dict[str, str], message: str) -> None:
    sales.declare(**declared)
    assert message in sales.refused("plan")
