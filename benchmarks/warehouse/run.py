"""The local Redshift, measured on this machine: COPY, UNLOAD, statements by wire and by the Data API, pruning, and insert_missing beside the size of its table.

`python benchmarks/warehouse/run.py`: a stack of its own in a temporary folder; each figure beside what was asked of it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "ssb"))

import boto3
import duckdb
import psycopg
from duckdb_extensions import import_extension
from generate import generate

from penstock.connectors.redshift.publishing import publish
from penstock.connectors.redshift.sql import Layout, Target
from penstock.infra.local.control import LocalAws, down, up
from penstock.schema import Column

BUCKET, ROLE = "bench", "IAM_ROLE default"
SCHEMA = (Path(__file__).parents[2] / "examples" / "ssb" / "schema.sql").read_text()


def seconds(act: Callable[[], Any]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def median(repeat: int, act: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> float:
    found = []
    for _ in range(repeat):
        before()
        found.append(seconds(act))
    return statistics.median(found)


def show(what: str, value: str, wanted: str) -> None:
    print(f"| {what} | {value} | {wanted} |", flush=True)


class Bench:
    def __init__(self, found: LocalAws, folder: Path, repeat: int) -> None:
        self.aws, self.folder, self.repeat = found, folder, repeat
        self.keys = {"endpoint_url": found.endpoint_url, "region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.s3 = boto3.client("s3", **self.keys)
        self.s3.create_bucket(Bucket=BUCKET)
        self.connection = psycopg.connect(found.redshift_dsn, autocommit=True)

    def run(self, sql: str) -> list[Any]:
        cursor = self.connection.execute(sql)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []

    def loads(self) -> None:
        """One million line orders of 17 columns."""
        generate(self.folder, 1 / 6, ("lineorder",))
        with duckdb.connect() as duck:
            duck.execute(f"COPY (FROM '{self.folder}/lineorder.parquet' LIMIT 1000000) TO '{self.folder}/m.parquet' (FORMAT parquet)")
            duck.execute(f"COPY (FROM '{self.folder}/m.parquet') TO '{self.folder}/m.csv.gz' (FORMAT csv, HEADER false, COMPRESSION gzip)")
        for name in ("m.parquet", "m.csv.gz"):
            self.s3.upload_file(str(self.folder / name), BUCKET, name)
        self.run("CREATE SCHEMA ssb")
        self.run(SCHEMA)
        for name, options, wanted in (("m.parquet", "FORMAT AS PARQUET", "2.5"), ("m.csv.gz", "CSV GZIP", "4")):
            took = median(
                self.repeat,
                lambda n=name, o=options: self.run(f"COPY ssb.lineorder FROM 's3://{BUCKET}/{n}' {ROLE} {o}"),
                lambda: self.run("TRUNCATE ssb.lineorder"),
            )
            assert self.run("SELECT COUNT(*) FROM ssb.lineorder") == [(1_000_000,)]
            show(f"COPY {options}, 1 M rows x 17 columns", f"{took:.2f} s", f"under {wanted} s")
        took = median(self.repeat, lambda: self.run(f"UNLOAD ('SELECT * FROM ssb.lineorder') TO 's3://{BUCKET}/out/' {ROLE} FORMAT AS PARQUET ALLOWOVERWRITE"))
        show("UNLOAD FORMAT AS PARQUET, the same rows", f"{took:.2f} s", "under 2.5 s")

    def statements(self) -> None:
        api = boto3.client("redshift-data", **self.keys)

        def once() -> None:
            asked = api.execute_statement(Sql="SELECT 1", Database="dev", WorkgroupName="local")["Id"]
            while api.describe_statement(Id=asked)["Status"] not in ("FINISHED", "FAILED"):
                time.sleep(0.005)
            api.get_statement_result(Id=asked)

        show("a statement by the Data API, with its rows", f"{1000 * median(30, once):.1f} ms", "under 50 ms")
        sql = "SELECT NVL(lo_shipmode, '?'), DATEADD(day, 1, DATE '2024-01-01') FROM ssb.lineorder LIMIT 1"
        with psycopg.connect(self.aws.redshift_dsn, autocommit=True) as wire:
            (port,) = wire.execute("SELECT inet_server_port() FROM pg_class LIMIT 1").fetchone() or (0,)
            own = "SELECT coalesce(lo_shipmode, '?'), rs.dateadd('day', 1, DATE '2024-01-01') FROM ssb.lineorder LIMIT 1"
            with psycopg.connect(f"host=127.0.0.1 port={port} user=postgres dbname=dev", autocommit=True) as plain:
                wire.execute(sql), plain.execute(own)
                through = median(500, lambda: wire.execute(sql).fetchall())
                straight = median(500, lambda: plain.execute(own).fetchall())
        show(
            "a statement seen before, by wire, more than PostgreSQL's own",
            f"{1000 * (through - straight):.2f} ms ({1000 * straight:.2f} without)",
            "under 0.5 ms",
        )

    def pruning(self) -> None:
        """20 M rows in 84 partitions, a filter on two."""
        with duckdb.connect() as duck:
            duck.execute(f"""COPY (SELECT (i % 84)::INTEGER AS part, i::BIGINT AS id, (hash(i) % 100000)::INTEGER AS amount, 'note ' || (hash(i, 1) % 1000) AS note
              FROM range(20000000) r(i)) TO '{self.folder}/parts' (FORMAT parquet, PARTITION_BY (part))""")
        for file in (self.folder / "parts").rglob("*.parquet"):
            self.s3.upload_file(str(file), BUCKET, f"parts/{file.parent.name}/{file.name}")
        self.run(f"CREATE EXTERNAL SCHEMA lake FROM DATA CATALOG DATABASE 'bench' {ROLE} CREATE EXTERNAL DATABASE IF NOT EXISTS")
        self.run(
            f"CREATE EXTERNAL TABLE lake.rows (id BIGINT, amount INTEGER, note VARCHAR(20)) PARTITIONED BY (part INTEGER) STORED AS PARQUET LOCATION 's3://{BUCKET}/parts/'"
        )
        for p in range(84):
            self.run(f"ALTER TABLE lake.rows ADD PARTITION (part='{p}') LOCATION 's3://{BUCKET}/parts/part={p}/'")
        ask = "SELECT COUNT(*), SUM(amount) FROM lake.rows"
        two, all_of_it = f"{ask} WHERE part IN (7, 42)", ask
        cold, whole = seconds(lambda: self.run(two)), seconds(lambda: self.run(all_of_it))
        warm, warm_whole = median(self.repeat, lambda: self.run(two)), median(self.repeat, lambda: self.run(all_of_it))
        peer, peer_cold = self.by_duckdb()
        show(
            "an aggregate over 2 of 84 partitions of 20 M rows, read for the first time",
            f"{1000 * cold:.0f} ms, all of it {1000 * whole:.0f} ms: {whole / cold:.0f} times",
            "20 times",
        )
        show("the same, read before", f"{1000 * warm:.0f} ms, all of it {1000 * warm_whole:.0f} ms: {warm_whole / warm:.0f} times", "20 times")
        show(
            "the same beside DuckDB over the two on S3, first and again",
            f"{cold / peer_cold:.1f} and {warm / peer:.1f} times its {1000 * peer_cold:.0f} and {1000 * peer:.0f} ms",
            "2 times",
        )

    def by_duckdb(self) -> tuple[float, float]:
        """(median, first) seconds of DuckDB reading the two partitions from the same S3."""
        with duckdb.connect() as duck:
            import_extension("httpfs", con=duck)
            duck.execute("LOAD httpfs")
            end = self.aws.endpoint_url.removeprefix("http://")
            duck.execute(f"CREATE SECRET (TYPE s3, KEY_ID 'test', SECRET 'test', REGION 'us-east-1', ENDPOINT '{end}', USE_SSL false, URL_STYLE 'path')")
            names = [f"s3://{BUCKET}/{o['Key']}" for p in (7, 42) for o in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"parts/part={p}/")["Contents"]]
            ask = f"SELECT count(*), sum(amount) FROM read_parquet({names})"
            first = seconds(lambda: duck.execute(ask).fetchall())
            return median(self.repeat, lambda: duck.execute(ask).fetchall()), first

    def missing(self, rows: int) -> None:
        """Insert what is missing into a table, and into one ten times as large."""
        columns = (Column.parse("id", "bigint!"), Column.parse("name", "string"))
        took = []
        for size in (rows, 10 * rows):
            target = Target("ssb", f"set_{size}", columns, (), Layout(sort_by=("id",)))
            self.run(f"CREATE TABLE {target.name} (id BIGINT NOT NULL, name VARCHAR(40)) SORTKEY (id)")
            with duckdb.connect() as duck:
                duck.execute(f"COPY (SELECT i AS id, 'name ' || i AS name FROM range({size}) r(i)) TO '{self.folder}/set.parquet' (FORMAT parquet)")
            self.s3.upload_file(str(self.folder / "set.parquet"), BUCKET, f"set/{size}")
            self.run(f"COPY {target.name} FROM 's3://{BUCKET}/set/{size}' {ROLE} FORMAT AS PARQUET")
            self.run(f"ANALYZE {target.name}")
            stage = f"ssb.stage_{size}"
            self.run(f"CREATE TABLE {stage} (id BIGINT NOT NULL, name VARCHAR(40))")
            self.run(
                f"INSERT INTO {stage} SELECT {rows // 2} + n, CASE WHEN n % 2 = 0 THEN 'name ' || ({rows // 2} + n) ELSE 'other' END FROM generate_series(1, 20000) g(n)"
            )
            (statement,) = publish(target, stage, "insert_missing")
            before = self.run(f"SELECT COUNT(*) FROM {target.name}")
            took.append(median(self.repeat, lambda: (self.run("BEGIN"), self.run(statement), self.run("ROLLBACK"))))  # noqa: B023
            self.run(statement)
            assert self.run(f"SELECT COUNT(*) - {before[0][0]} FROM {target.name}") == [(10_000,)]
        show(
            f"insert_missing of 20,000 rows into {rows:,} and {10 * rows:,}",
            f"{1000 * took[0]:.0f} and {1000 * took[1]:.0f} ms: {took[1] / took[0]:.2f} times",
            "1.2 times",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    said = parser.parse_args()
    with TemporaryDirectory(prefix="penstock-warehouse-") as folder:
        base = Path(folder)
        started = time.perf_counter()
        found = up(base / "aws")
        ready = time.perf_counter() - started
        down(base / "aws")
        again = seconds(lambda: up(base / "aws"))
        found = up(base / "aws")
        try:
            print("| what | measured | wanted |\n| --- | --- | --- |")
            show("`penstock local up` to ready, the first time and again", f"{ready:.1f} and {again:.1f} s", "under 3 s")
            bench = Bench(found, base, said.repeat)
            bench.loads()
            bench.statements()
            bench.pruning()
            bench.missing(1_000_000)
        finally:
            down(base / "aws")


if __name__ == "__main__":
    main()
