"""Merges on Spark, warm, in one session on two cores: Penstock's beside a MERGE INTO written by hand that does the same work, in turns, batch by batch."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "merge"))

import generate
import pyarrow.parquet as pq
from cases import apply
from generate import COLUMNS, MONTH
from peers import PACKAGES, SETTINGS
from scenarios import Layout
from tables import KEY, Place, fill

from penstock.config import AwsSettings
from penstock.engines.base import Work
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.engines.opening import light_mb
from penstock.engines.spark.engine import SparkEngine
from penstock.engines.spark.session import SparkBatchSession
from penstock.tables import Design

FORMATS = ("iceberg", "delta")


@dataclass(frozen=True)
class Case:
    """A table, where its changes lie, and how it is written."""

    title: str
    layout: Layout = "flat"
    spread: generate.Spread = "uniform"
    on_write: bool = False


CASES = {
    "flat": Case("uniform, unpartitioned, merge-on-read"),
    "months": Case("uniform, partitioned by month, merge-on-read", "months"),
    "hot": Case("all changes among the last 400,000 rows, merge-on-read", spread="hot"),
    "flat-on-write": Case("uniform, unpartitioned, copy-on-write", on_write=True),
    "months-on-write": Case("uniform, partitioned by month, copy-on-write", "months", on_write=True),
    "hot-on-write": Case("all changes among the last 400,000 rows, copy-on-write", spread="hot", on_write=True),
}


def started(folder: Path, more: Mapping[str, str] = MappingProxyType({})) -> Any:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.jars.packages", ",".join(PACKAGES.values())).config("spark.driver.memory", "8g")
    quiet = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.sql.shuffle.partitions": "4", "spark.sql.session.timeZone": "UTC"}
    extensions = ",".join(found["spark.sql.extensions"] for found in SETTINGS.values())
    for name, value in {**quiet, **SETTINGS["iceberg"], **SETTINGS["delta"], "spark.sql.extensions": extensions, **more}.items():
        builder = builder.config(name, value)
    spark = builder.config("spark.sql.catalog.bench.warehouse", str(folder)).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


class Ours:
    """Penstock's table, merged by its Spark engine."""

    def __init__(self, spark: Any, place: Place, from_mb: int) -> None:
        aws, self.place = AwsSettings(), place
        self._engine, self._batches = SparkEngine(aws, lambda: nullcontext(spark.newSession()), EmbeddedEngine(aws), from_mb * 1_000_000), 1

    @classmethod
    def filled(cls, spark: Any, folder: Path, case: Case, table_format: str, orders: Path, from_mb: int) -> Ours:
        fill(folder, case.layout, table_format, orders)
        place = Place.at(folder, case.layout, table_format)
        for table in (place.table, place.memory) if case.on_write else ():
            table.redesign(table.pin(), Design())
        return cls(spark, place, from_mb)

    def merge(self, batch: Path) -> None:
        self._batches += 1
        with self._engine.session(work=Work(lambda: batch.stat().st_size, self.place.table, self.place.table.pin())) as session:
            if isinstance(session, SparkBatchSession):
                session.compute("changes", lambda spark: spark.read.parquet(str(batch)))
            else:
                session.load("changes", pq.read_table(batch))
            apply(session, self.place, self._batches)


class ByHand:
    """A table of Spark's own, with the same rows, and one of its deletes, merged by SQL."""

    def __init__(self, spark: Any, folder: Path, case: Case, table_format: str, ours: Place) -> None:
        how, by = "copy-on-write" if case.on_write else "merge-on-read", MONTH if table_format == "delta" else "months(o_orderdate)"
        modes = ", ".join(f"'write.{kind}.mode' = '{how}'" for kind in ("merge", "update", "delete"))
        vectors = f"'delta.enableDeletionVectors' = '{str(not case.on_write).lower()}'"
        options = vectors if table_format == "delta" else f"'format-version' = '2', 'write.parquet.compression-codec' = 'zstd', {modes}"
        self._spark, self._columns = spark, [c.name for c in ours.shape.columns]
        self.table, self._memory = (f"delta.`{folder}/{n}`" if table_format == "delta" else f"bench.{folder.name}.{n}" for n in ("orders", "memory"))
        spark.read.parquet(*(f.uri for f in ours.table.files(ours.table.pin()))).createOrReplaceTempView("ours")
        month = f", year(o_orderdate) * 12 + month(o_orderdate) - 1 AS {MONTH}" if MONTH in self._columns else ""
        partitioned = f"PARTITIONED BY ({by})" if case.layout == "months" else ""
        rows = ", ".join(c for c in self._columns if c != MONTH)
        spark.sql(f"CREATE TABLE {self.table} USING {table_format} {partitioned} TBLPROPERTIES ({options}) AS SELECT {rows}{month} FROM ours")
        spark.sql(f"CREATE TABLE {self._memory} ({KEY} BIGINT, __sequence_1 BIGINT) USING {table_format} TBLPROPERTIES ({options})")

    def merge(self, batch: Path) -> None:
        columns = self._columns
        newest = self._spark.sql(f"""SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY {KEY} ORDER BY __sequence_1 DESC, CASE __op WHEN 'd' THEN 0 ELSE 1 END) AS place
          FROM parquet.`{batch}`) WHERE place = 1""").cache()
        newest.createOrReplaceTempView("newest")
        every, values = ", ".join(f"t.{c} = s.{c}" for c in columns), ", ".join(f"s.{c}" for c in columns)
        self._spark.sql(f"""MERGE INTO {self.table} t
          USING (SELECT n.* FROM newest n LEFT JOIN {self._memory} m ON n.{KEY} = m.{KEY} WHERE m.{KEY} IS NULL OR n.__sequence_1 > m.__sequence_1) s
          ON t.{KEY} = s.{KEY}
          WHEN MATCHED AND s.__sequence_1 > t.__sequence_1 AND s.__op = 'd' THEN DELETE
          WHEN MATCHED AND s.__sequence_1 > t.__sequence_1 THEN UPDATE SET {every}
          WHEN NOT MATCHED AND s.__op <> 'd' THEN INSERT ({", ".join(columns)}) VALUES ({values})""").collect()
        self._spark.sql(f"""MERGE INTO {self._memory} t USING (SELECT {KEY}, __sequence_1 FROM newest WHERE __op = 'd') s ON t.{KEY} = s.{KEY}
          WHEN MATCHED AND s.__sequence_1 > t.__sequence_1 THEN UPDATE SET t.__sequence_1 = s.__sequence_1
          WHEN NOT MATCHED THEN INSERT ({KEY}, __sequence_1) VALUES (s.{KEY}, s.__sequence_1)""").collect()
        newest.unpersist()


def seconds(act: Callable[[], None]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def differing(spark: Any, ours: Ours, theirs: ByHand) -> int:
    """Rows that only one of the two tables has."""
    engine = SparkEngine(AwsSettings(), lambda: nullcontext(spark))
    with engine.session() as session:
        session.scan("ours_now", ours.place.table, ours.place.table.pin())
        rows, others = (f"SELECT {', '.join(COLUMNS)}, __sequence_1 FROM {name}" for name in ("ours_now", theirs.table))
        return int(spark.sql(f"SELECT count(*) FROM (({rows} EXCEPT ALL {others}) UNION ALL ({others} EXCEPT ALL {rows}))").collect()[0][0])


def measure(spark: Any, base: Path, name: str, table_format: str, rows: int, changes: int, turns: int, from_mb: int) -> str:
    case, folder, orders = CASES[name], base / f"{name.replace('-', '_')}_{table_format}", base / "orders.parquet"
    ours = Ours.filled(spark, folder / "ours", case, table_format, orders, from_mb)
    theirs = ByHand(spark, folder, case, table_format, ours.place)
    pairs = []
    for turn in range(turns + 1):
        batch = base / "batch.parquet"
        generate.changes(batch, rows, changes, case.spread, salt=turn)
        spark.catalog.clearCache()
        acts = [lambda: ours.merge(batch), lambda: theirs.merge(batch)]  # noqa: B023
        took = [seconds(act) for act in (acts if turn % 2 else reversed(acts))]
        pairs.append(took if turn % 2 else took[::-1])
        print(f"{name} {table_format} {turn}: {pairs[-1]}", file=sys.stderr, flush=True)
    wrong = differing(spark, ours, theirs)
    if wrong:
        sys.exit(f"{name}, {table_format}: {wrong} rows differ")
    warm = pairs[1:]
    times = statistics.median(b / a for a, b in warm)
    mine, hand = (statistics.median(p[i] for p in warm) for i in (0, 1))
    return f"| {name}: {case.title} | {table_format} | {mine:.1f} | {hand:.1f} | {times:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--changes", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--from-mb", type=int, default=light_mb(), help="`spark_from_mb` of the pipeline; 0 has Spark do everything")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--folder", help="where tables are made: some 3 GB a case for 10 M rows")
    said = parser.parse_args()
    lines = []
    with TemporaryDirectory(prefix="penstock-spark-", dir=said.folder) as base:
        generate.orders(Path(base) / "orders.parquet", said.rows)
        spark = started(Path(base))
        for name in said.cases:
            lines += [measure(spark, Path(base), name, table_format, said.rows, said.changes, said.repeat, said.from_mb) for table_format in said.formats]
        spark.stop()
    print(f"{said.rows:,} rows x 12 columns, {said.changes:,} changes, Spark on local[2], warm, median of {said.repeat} batches; rows that differ: 0")
    print(f"spark_from_mb: {said.from_mb}\n")
    print("| case | format | Penstock, s | MERGE by hand, s | times |\n| --- | --- | ---: | ---: | ---: |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
