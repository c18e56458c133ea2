"""The Star Schema Benchmark on the local Redshift: COPY, the 13 queries, and four ways of ELT, each answer checked against DuckDB on the same files.

`python examples/ssb/run.py --scale 0.1`; a stack is started in the present folder where none is up.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import duckdb
import psycopg
from generate import TABLES, generate

from penstock.infra.local.control import LocalAws, up

HERE = Path(__file__).parent
BUCKET, ROLE = "penstock-ssb", "IAM_ROLE default"
QUERIES = {f.stem: f.read_text() for f in sorted((HERE / "queries").glob("*.sql"))}
BY_YEAR = "SELECT d_year, s_region, SUM(lo_revenue) AS revenue, COUNT(*) AS orders FROM lineorder, dwdate, supplier WHERE lo_orderdate = d_datekey AND lo_suppkey = s_suppkey GROUP BY 1, 2"


class Benchmark:
    """A warehouse with the five tables, and DuckDB over the files that they came from."""

    def __init__(self, found: LocalAws, folder: Path) -> None:
        self.connection = psycopg.connect(found.redshift_dsn, autocommit=True)
        for name, value in found.environment().items():
            __import__("os").environ[name] = value
        self.s3, self.folder, self.duck = boto3.client("s3", endpoint_url=found.endpoint_url), folder, duckdb.connect()
        for table in TABLES:
            self.duck.execute(f"CREATE VIEW {table} AS SELECT * FROM '{folder / table}.parquet'")

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(sql)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []

    def load(self) -> None:
        """COPY each table from its file, and count."""
        self.run("DROP SCHEMA IF EXISTS ssb CASCADE; CREATE SCHEMA ssb; SET search_path TO ssb")
        self.run((HERE / "schema.sql").read_text())
        if BUCKET not in [b["Name"] for b in self.s3.list_buckets()["Buckets"]]:
            self.s3.create_bucket(Bucket=BUCKET)
        for found in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
            self.s3.delete_object(Bucket=BUCKET, Key=found["Key"])
        for table in TABLES:
            self.s3.upload_file(str(self.folder / f"{table}.parquet"), BUCKET, f"in/{table}/1.parquet")
            self.run(f"COPY {table} FROM 's3://{BUCKET}/in/{table}/' {ROLE} FORMAT AS PARQUET")
            self.same(f"rows of {table}", f"SELECT COUNT(*) FROM {table}", f"SELECT COUNT(*) FROM {table}")

    def same(self, title: str, sql: str, other: str) -> None:
        """Both give the same rows; raises SystemExit where they do not."""
        start = time.perf_counter()
        mine = self.run(sql)
        seconds = time.perf_counter() - start
        theirs = [tuple(int(v) if hasattr(v, "bit_length") else v for v in row) for row in self.duck.execute(other).fetchall()]
        if [tuple(int(v) if hasattr(v, "as_integer_ratio") else v for v in row) for row in mine] != theirs:
            sys.exit(f"{title}: {mine[:3]} where DuckDB has {theirs[:3]}")
        print(f"  {title:<44} {len(mine):>5} rows {seconds:>7.3f} s")


def pre_aggregated(b: Benchmark) -> None:
    """Aggregate in Redshift, UNLOAD by year, and read it by Spectrum: one year's file alone."""
    b.run(f"CREATE MATERIALIZED VIEW by_year AS {BY_YEAR}")
    b.run("REFRESH MATERIALIZED VIEW by_year")
    b.run(f"UNLOAD ('SELECT s_region, revenue, orders, d_year FROM by_year') TO 's3://{BUCKET}/by_year/' {ROLE} FORMAT AS PARQUET PARTITION BY (d_year)")
    b.run("DROP SCHEMA IF EXISTS cold DROP EXTERNAL DATABASE CASCADE") if b.run("SELECT 1 FROM svv_external_schemas WHERE schemaname = 'cold'") else None
    b.run(f"CREATE EXTERNAL SCHEMA cold FROM DATA CATALOG DATABASE 'ssb_cold' {ROLE} CREATE EXTERNAL DATABASE IF NOT EXISTS")
    b.run(f"DROP TABLE IF EXISTS cold.by_year; CREATE EXTERNAL TABLE cold.by_year (s_region VARCHAR(12), revenue BIGINT, orders BIGINT) PARTITIONED BY (d_year INTEGER) "
          f"STORED AS PARQUET LOCATION 's3://{BUCKET}/by_year/'")  # fmt: skip
    for year in range(1992, 1999):
        b.run(f"ALTER TABLE cold.by_year ADD IF NOT EXISTS PARTITION (d_year='{year}') LOCATION 's3://{BUCKET}/by_year/d_year={year}/'")
    b.same("1. pre-aggregated, unloaded, by Spectrum", "SELECT s_region, revenue FROM cold.by_year WHERE d_year = 1995 ORDER BY 1",
           f"SELECT s_region, revenue FROM ({BY_YEAR}) WHERE d_year = 1995 ORDER BY 1")  # fmt: skip
    assert b.run("SELECT total_partitions, qualified_partitions FROM svl_s3query_summary ORDER BY query DESC LIMIT 1") == [(7, 1)]


def within(b: Benchmark) -> None:
    """CTAS, then ELT within Redshift: update, delete, window."""
    b.run(
        "CREATE TABLE best DISTKEY (lo_partkey) AS SELECT lo_partkey, p_brand1, SUM(lo_revenue) AS revenue FROM lineorder, part WHERE lo_partkey = p_partkey GROUP BY 1, 2"
    )
    b.run("DELETE FROM best USING part WHERE best.lo_partkey = part.p_partkey AND part.p_size < 25")
    ranked = "SELECT p_brand1, lo_partkey, revenue FROM best QUALIFY ROW_NUMBER() OVER (PARTITION BY p_brand1 ORDER BY revenue DESC, lo_partkey) = 1 ORDER BY 1 LIMIT 50"
    source = "(SELECT lo_partkey, p_brand1, SUM(lo_revenue) AS revenue FROM lineorder, part WHERE lo_partkey = p_partkey AND p_size >= 25 GROUP BY 1, 2)"
    b.same("2. CTAS and ELT within Redshift", ranked, ranked.replace("FROM best", f"FROM {source}"))


def hot_and_cold(b: Benchmark) -> None:
    """The last year in Redshift, the years before on S3, one late-binding view over both."""
    b.run(f"UNLOAD ('SELECT lo_orderdate, lo_revenue, lo_orderdate / 10000 AS year FROM lineorder WHERE lo_orderdate < 19980101') TO 's3://{BUCKET}/lineorder/' {ROLE} "
          "FORMAT AS PARQUET PARTITION BY (year)")  # fmt: skip
    b.run(f"DROP TABLE IF EXISTS cold.lineorder; CREATE EXTERNAL TABLE cold.lineorder (lo_orderdate INTEGER, lo_revenue INTEGER) PARTITIONED BY (year INTEGER) "
          f"STORED AS PARQUET LOCATION 's3://{BUCKET}/lineorder/'")  # fmt: skip
    for year in range(1992, 1998):
        b.run(f"ALTER TABLE cold.lineorder ADD IF NOT EXISTS PARTITION (year='{year}') LOCATION 's3://{BUCKET}/lineorder/year={year}/'")
    b.run("CREATE TABLE hot AS SELECT lo_orderdate, lo_revenue, lo_orderdate / 10000 AS year FROM lineorder WHERE lo_orderdate >= 19980101")
    b.run("CREATE OR REPLACE VIEW ssb.all_lines AS SELECT lo_orderdate, lo_revenue, year FROM ssb.hot UNION ALL SELECT lo_orderdate, lo_revenue, year FROM cold.lineorder "
          "WITH NO SCHEMA BINDING")  # fmt: skip
    b.same("3. hot rows here, cold ones on S3", "SELECT year, SUM(lo_revenue), COUNT(*) FROM ssb.all_lines WHERE year >= 1997 GROUP BY 1 ORDER BY 1",
           "SELECT lo_orderdate // 10000 AS year, SUM(lo_revenue), COUNT(*) FROM lineorder WHERE lo_orderdate >= 19970101 GROUP BY 1 ORDER BY 1")  # fmt: skip


def by_spark(b: Benchmark) -> None:
    """ETL by Spark, then COPY of what it wrote; left out where there is no Spark."""
    try:
        from pyspark.sql import SparkSession

        spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    except Exception as error:
        print(f"  4. ETL by Spark, then COPY: left out, there is no Spark here ({type(error).__name__})")
        return
    for table in ("lineorder", "dwdate", "supplier"):
        spark.read.parquet(str(b.folder / f"{table}.parquet")).createOrReplaceTempView(table)
    out = b.folder / "by_spark"
    spark.sql(BY_YEAR).coalesce(1).write.parquet(str(out))
    spark.stop()
    (written,) = out.glob("*.parquet")
    b.s3.upload_file(str(written), BUCKET, "by_spark/1.parquet")
    b.run("CREATE TABLE by_spark (d_year INTEGER, s_region VARCHAR(12), revenue BIGINT, orders BIGINT)")
    b.run(f"COPY by_spark FROM 's3://{BUCKET}/by_spark/' {ROLE} FORMAT AS PARQUET")
    b.same("4. ETL by Spark, then COPY", "SELECT * FROM by_spark ORDER BY 1, 2", f"{BY_YEAR} ORDER BY 1, 2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=0.1, help="1 is six million line orders")
    parser.add_argument("--without-spark", action="store_true")
    said = parser.parse_args()
    patterns: list[Callable[[Benchmark], None]] = [pre_aggregated, within, hot_and_cold, *([] if said.without_spark else [by_spark])]
    with TemporaryDirectory(prefix="penstock-ssb-") as folder:
        generate(Path(folder), said.scale)
        b = Benchmark(up(), Path(folder))
        print(f"loaded at scale {said.scale}")
        b.load()
        print("the 13 queries")
        for name, sql in QUERIES.items():
            b.same(name, sql, sql)
        print("four ways of ELT")
        for pattern in patterns:
            pattern(b)
    print("all answers are DuckDB's")


if __name__ == "__main__":
    main()
