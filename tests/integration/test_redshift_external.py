"""External tables of the local warehouse: pruned, pushed down, written; over Glue's tables and files on S3."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from penstock.config import AwsSettings
from penstock.connectors.s3.access import client
from penstock.infra.local.control import LocalAws


class Lake:
    """A database of Glue, its external schema `lake`, a bucket, and a connection."""

    def __init__(self, aws: AwsSettings, bucket: str, connection: psycopg.Connection[Any]) -> None:
        self.s3, self.glue, self.bucket, self._connection = client("s3", aws), client("glue", aws), bucket, connection
        self.database = bucket.replace("-", "_")
        self.run(f"CREATE EXTERNAL SCHEMA lake FROM DATA CATALOG DATABASE '{self.database}' IAM_ROLE default CREATE EXTERNAL DATABASE IF NOT EXISTS")

    def run(self, sql: str) -> list[Any]:
        cursor = self._connection.execute(sql)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []

    def put(self, key: str, rows: pa.Table) -> None:
        sink = io.BytesIO()
        orc.write_table(rows, sink) if key.endswith(".orc") else pq.write_table(rows, sink)
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=sink.getvalue())

    def last_scans(self, count: int = 1) -> list[tuple[int, int, int]]:
        """(all partitions, those read, files) of the newest scans."""
        rows = self.run("SELECT total_partitions, qualified_partitions, files FROM svl_s3query_summary ORDER BY query DESC LIMIT " + str(count))
        return [tuple(r) for r in rows]

    def sales(self) -> None:
        """Twelve months of ten rows each, by month."""
        self.run(f"""CREATE EXTERNAL TABLE lake.sales (id INTEGER, customer INTEGER, amount DECIMAL(8,2), note VARCHAR(20))
          PARTITIONED BY (month DATE) STORED AS PARQUET LOCATION 's3://{self.bucket}/sales/' TABLE PROPERTIES ('numRows' = '120')""")
        for m in range(1, 13):
            day, ids = f"2024-{m:02d}-01", range(m * 10, m * 10 + 10)
            amounts = pa.array([Decimal(i).scaleb(-1) for i in ids], pa.decimal128(8, 2))
            rows = pa.table(
                {"id": pa.array(ids, pa.int32()), "customer": pa.array([i % 4 for i in ids], pa.int32()), "amount": amounts, "note": [f"n{i}" for i in ids]}
            )
            self.put(f"sales/month={day}/part.parquet", rows)
            self.run(f"ALTER TABLE lake.sales ADD IF NOT EXISTS PARTITION (month='{day}') LOCATION 's3://{self.bucket}/sales/month={day}/'")


@pytest.fixture
def lake(local_aws: LocalAws, local_bucket: Callable[[str], str]) -> Iterator[Lake]:
    with psycopg.connect(local_aws.redshift_dsn, autocommit=True) as connection:
        found = Lake(AwsSettings.from_environment(local_aws.environment()), local_bucket("lake"), connection)
        connection.execute("CREATE SCHEMA external_tests")
        connection.execute("SET search_path TO external_tests")
        yield found
        connection.execute("ROLLBACK")
        connection.execute("DROP SCHEMA lake")
        connection.execute("DROP SCHEMA external_tests CASCADE")


def test_partitions_are_pruned_by_filters(lake: Lake) -> None:
    lake.sales()
    assert lake.run("SELECT COUNT(*), SUM(amount), MIN(note) FROM lake.sales") == [(120, Decimal("834.00"), "n10")]
    assert lake.last_scans() == [(12, 12, 12)]
    assert lake.run("SELECT SUM(id) FROM lake.sales WHERE month BETWEEN '2024-02-01' AND '2024-03-01' AND id <> 20") == [(570,)]
    assert lake.last_scans() == [(12, 2, 2)]
    assert lake.run("SELECT id, month FROM lake.sales s WHERE s.month = '2024-05-01' AND amount > 5.7 ORDER BY 1") == [
        (58, date(2024, 5, 1)),
        (59, date(2024, 5, 1)),
    ]
    assert lake.last_scans() == [(12, 1, 1)]
    assert lake.run("SELECT COUNT(*) FROM lake.sales WHERE month = '1999-01-01'") == [(0,)]
    assert lake.last_scans() == [(12, 0, 0)]


def test_partitions_are_pruned_by_the_values_of_a_joined_table(lake: Lake) -> None:
    lake.sales()
    lake.run(
        "CREATE TABLE months AS SELECT DATE '2024-01-01' AS day, 'winter' AS season "
        "UNION ALL SELECT '2024-07-01', 'summer' UNION ALL SELECT '2024-08-01', 'summer'"
    )
    query = "SELECT m.season, COUNT(*), SUM(s.amount) FROM lake.sales s JOIN months m ON s.month = m.day WHERE m.season = 'summer' GROUP BY 1"
    assert lake.run(query) == [("summer", 20, Decimal("159.00"))]
    assert lake.last_scans() == [(12, 2, 2)]


def test_a_left_join_keeps_its_rows(lake: Lake) -> None:
    lake.sales()
    lake.run("CREATE TABLE wanted AS SELECT 10 AS id UNION ALL SELECT 999")
    rows = lake.run("SELECT w.id, s.note FROM wanted w LEFT JOIN lake.sales s ON w.id = s.id AND s.month = '2024-01-01' ORDER BY 1")
    assert rows == [(10, "n10"), (999, None)]
    assert lake.run("SELECT w.id FROM wanted w LEFT JOIN lake.sales s ON w.id = s.id WHERE s.id IS NULL") == [(999,)]


def test_aggregates_go_below_joins(lake: Lake) -> None:
    lake.sales()
    lake.run("CREATE TABLE customers AS SELECT 0 AS id, 'a' AS name UNION ALL SELECT 1, 'b' UNION ALL SELECT 2, 'b'")
    query = "SELECT c.name, COUNT(*) AS n, SUM(s.amount), MAX(s.id) FROM lake.sales s, customers c WHERE s.customer = c.id GROUP BY c.name ORDER BY n"
    assert lake.run(query) == [("a", 30, Decimal("210.00"), 128), ("b", 60, Decimal("417.00"), 126 + 3)]
    returned = lake.run("SELECT s3query_returned_rows FROM svl_s3query_summary ORDER BY query DESC LIMIT 1")
    assert returned == [(4,)], "four customers, and no rows of theirs, come out of the scan"
    assert lake.run("SELECT customer, COUNT(*) FROM lake.sales GROUP BY 1 HAVING COUNT(*) > 29 ORDER BY COUNT(*) DESC, 1 LIMIT 2") == [(0, 30), (1, 30)]


def test_what_cannot_go_down_is_right_all_the_same(lake: Lake) -> None:
    lake.sales()
    assert lake.run("SELECT COUNT(DISTINCT customer), AVG(id), MEDIAN(id) FROM lake.sales") == [(4, 69, 69.5)]
    assert lake.run("SELECT id FROM lake.sales QUALIFY ROW_NUMBER() OVER (ORDER BY amount DESC) <= 2 ORDER BY id") == [(128,), (129,)]
    assert lake.run("SELECT COUNT(*) FROM (SELECT * FROM lake.sales WHERE month > '2024-11-01') q WHERE LEN(note) = 4") == [(10,)]
    lake.run("CREATE TABLE hot AS SELECT id, amount FROM lake.sales WHERE month = '2024-01-01'")
    both = "SELECT id, amount FROM hot UNION ALL SELECT id, amount FROM lake.sales WHERE month = '2024-02-01'"
    assert lake.run(f"SELECT COUNT(*), SUM(amount) FROM ({both}) q") == [(20, Decimal("39.00"))]


@pytest.mark.parametrize("kind", ["csv", "json", "orc"])
def test_other_formats(lake: Lake, kind: str) -> None:
    columns = "(a INTEGER, b VARCHAR(10), d DATE)"
    if kind == "csv":
        how = "ROW FORMAT DELIMITED FIELDS TERMINATED BY ';' STORED AS TEXTFILE"
        lake.s3.put_object(Bucket=lake.bucket, Key="x/1.csv", Body=b"a;b;d\n1;x;2024-01-01\n2;;\n")
    elif kind == "json":
        how = "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' STORED AS TEXTFILE"
        lake.s3.put_object(Bucket=lake.bucket, Key="x/1.json", Body=b'{"a": 1, "b": "x", "d": "2024-01-01"}\n{"a": 2, "b": ""}\n')
    else:
        how = "STORED AS ORC"
        lake.put("x/1.orc", pa.table({"a": pa.array([1, 2], pa.int32()), "b": ["x", ""], "d": pa.array([date(2024, 1, 1), None])}))
    properties = " TABLE PROPERTIES ('skip.header.line.count' = '1')" if kind == "csv" else ""
    lake.run(f"CREATE EXTERNAL TABLE lake.x {columns} {how} LOCATION 's3://{lake.bucket}/x/'{properties}")
    assert lake.run("SELECT a, b, d FROM lake.x ORDER BY a") == [(1, "x", date(2024, 1, 1)), (2, "", None)]
    assert lake.run("SELECT SUM(a) FROM lake.x WHERE d = '2024-01-01'") == [(1,)]


def test_iceberg_tables_of_glue(lake: Lake, local_aws: LocalAws) -> None:
    from pyiceberg.catalog import load_catalog

    end = local_aws.endpoint_url
    keys = {
        f"{p}.{k}": v for p in ("glue", "s3") for k, v in {"endpoint": end, "access-key-id": "test", "secret-access-key": "test", "region": "us-east-1"}.items()
    }
    catalog = load_catalog("glue", type="glue", warehouse=f"s3://{lake.bucket}/iceberg", **keys)
    rows = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "name": ["a", "b", "c"]})
    table = catalog.create_table(f"{lake.database}.ice", rows.schema)
    table.append(rows)
    assert lake.run("SELECT id, name FROM lake.ice WHERE id > 1 ORDER BY id") == [(2, "b"), (3, "c")]
    table.append(pa.table({"id": pa.array([9], pa.int64()), "name": ["z"]}))
    assert lake.run("SELECT COUNT(*), MAX(name) FROM lake.ice") == [(4, "z")]


def test_delta_by_its_manifest_alone(lake: Lake) -> None:
    rows = pa.table({"id": pa.array([1, 2], pa.int32())})
    lake.put("delta/live.parquet", rows)
    lake.put("delta/removed.parquet", rows)
    lake.s3.put_object(Bucket=lake.bucket, Key="delta/_symlink_format_manifest/manifest", Body=f"s3://{lake.bucket}/delta/live.parquet\n".encode())
    lake.run(f"""CREATE EXTERNAL TABLE lake.delta (id INTEGER) ROW FORMAT SERDE 'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe'
      STORED AS INPUTFORMAT 'org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat' OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'
      LOCATION 's3://{lake.bucket}/delta/_symlink_format_manifest/'""")
    assert lake.run("SELECT COUNT(*) FROM lake.delta") == [(2,)]
    entry = json.dumps({"add": {"path": "live.parquet", "deletionVector": {"storageType": "u"}}}).replace(": {", ":{").encode()
    lake.s3.put_object(Bucket=lake.bucket, Key="delta/_delta_log/00000000000000000001.json", Body=entry)
    with pytest.raises(psycopg.Error, match="deletion vectors"):
        lake.run("SELECT COUNT(*) FROM lake.delta")


def test_external_tables_are_written(lake: Lake) -> None:
    lake.run("CREATE TABLE local_rows AS SELECT 1 AS id, 'x'::VARCHAR(5) AS kind UNION ALL SELECT 2, 'y' UNION ALL SELECT 3, 'y'")
    lake.run(f"CREATE EXTERNAL TABLE lake.made PARTITIONED BY (kind) STORED AS PARQUET LOCATION 's3://{lake.bucket}/made/' AS SELECT id, kind FROM local_rows")
    assert lake.run("SELECT id, kind FROM lake.made ORDER BY id") == [(1, "x"), (2, "y"), (3, "y")]
    lake.run("INSERT INTO lake.made SELECT id + 10, 'z' FROM local_rows")
    assert lake.run("SELECT kind, COUNT(*) FROM lake.made GROUP BY 1 ORDER BY 1") == [("x", 1), ("y", 2), ("z", 3)]
    assert lake.run("SELECT COUNT(*) FROM lake.made WHERE kind = 'z'") == [(3,)]
    assert lake.last_scans() == [(3, 1, 1)]


def test_views_that_bind_late_over_external_tables(lake: Lake) -> None:
    lake.sales()
    lake.run("CREATE VIEW recent AS SELECT id, month FROM lake.sales WHERE month >= '2024-11-01' WITH NO SCHEMA BINDING")
    assert lake.run("SELECT COUNT(*) FROM recent WHERE id > 115") == [(14,)]
    assert lake.last_scans() == [(12, 2, 2)]
    lake.run("DROP VIEW recent")
    with pytest.raises(psycopg.Error, match="does not exist"):
        lake.run("SELECT * FROM recent")


def test_in_a_procedure_and_from_a_copy_of_rows(lake: Lake) -> None:
    lake.sales()
    lake.run("CREATE TABLE loaded (id INTEGER, amount DECIMAL(8,2))")
    lake.run("""CREATE PROCEDURE take(n INOUT BIGINT) AS $$ BEGIN
      INSERT INTO loaded SELECT id, amount FROM lake.sales WHERE month = '2024-03-01';
      SELECT INTO n COUNT(*) FROM loaded;
    END; $$ LANGUAGE plpgsql""")
    assert lake.run("CALL take(0)") == [(10,)]


def test_system_views_tell_of_them(lake: Lake) -> None:
    lake.sales()
    assert lake.run("SELECT schemaname, databasename FROM svv_external_schemas WHERE schemaname = 'lake'") == [("lake", lake.database)]
    assert lake.run("SELECT tablename, location FROM svv_external_tables WHERE schemaname = 'lake'") == [("sales", f"s3://{lake.bucket}/sales/")]
    assert lake.run("SELECT columnname, external_type, part_key FROM svv_external_columns WHERE columnnum > 3 AND schemaname = 'lake'") == [
        ("note", "varchar(20)", 0), ("month", "date", 1)]  # fmt: skip
    assert lake.run("SELECT COUNT(*) FROM svv_external_partitions WHERE tablename = 'sales' AND schemaname = 'lake'") == [(12,)]


def test_bad_input(lake: Lake) -> None:
    with pytest.raises(psycopg.Error, match="does not exist"):
        lake.run("SELECT * FROM lake.nothing")
    with pytest.raises(psycopg.Error, match="needs LOCATION"):
        lake.run("CREATE EXTERNAL TABLE lake.x (a INTEGER) STORED AS PARQUET")
    with pytest.raises(psycopg.Error, match="not supported locally: external tables STORED AS RCFILE"):
        lake.run(f"CREATE EXTERNAL TABLE lake.x (a INTEGER) STORED AS RCFILE LOCATION 's3://{lake.bucket}/x/'")
    lake.sales()
    with pytest.raises(psycopg.Error, match="already exists"):
        lake.run(f"ALTER TABLE lake.sales ADD PARTITION (month='2024-01-01') LOCATION 's3://{lake.bucket}/x/'")
    lake.s3.put_object(Bucket=lake.bucket, Key="sales/month=2024-01-01/part.parquet", Body=b"no parquet")
    with pytest.raises(psycopg.Error, match="Spectrum Scan Error"):
        lake.run("SELECT COUNT(*) FROM lake.sales")
