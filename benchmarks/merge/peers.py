"""The same merges by others. Events are de-duplicated by DuckDB first, where that is not their own work; it is counted."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from generate import COLUMNS
from tables import KEY, Shape

from penstock.schema import names
from penstock.tables import LakeTable

Act = Callable[[], None]
LISTED = ", ".join(COLUMNS)


def newest(batch: Path, columns: str) -> str:
    """The newest event of each key."""
    chosen = f"{LISTED}, __op, __sequence_1" if columns == "*" else columns
    return f"SELECT {chosen} FROM '{batch}' QUALIFY row_number() OVER (PARTITION BY {KEY} ORDER BY __sequence_1 DESC) = 1"


def pyiceberg_merge(table: LakeTable, batch: Path) -> Act:
    """pyiceberg's upsert and delete."""
    from pyiceberg.expressions import In

    def act() -> None:
        native: Any = table.pin().native
        events = f"({newest(batch, '*')})"
        rows = duckdb.sql(f"SELECT * EXCLUDE (__op) FROM {events} WHERE __op <> 'd'").to_arrow_table().cast(native.schema().as_arrow())
        gone = [k for (k,) in duckdb.sql(f"SELECT {KEY} FROM {events} WHERE __op = 'd'").fetchall()]
        native.upsert(rows, join_cols=[KEY])
        if gone:
            native.delete(In(KEY, gone))

    return act


def delta_rs_merge(location: str, batch: Path, shape: Shape) -> Act:
    """delta-rs's merge; on a partitioned table the partition is among what is compared."""
    from deltalake import DeltaTable

    columns = names(shape.columns)
    on = " AND ".join(f"t.{c} = s.{c}" for c in (KEY, *(p.column for p in shape.partition_by)))

    def act() -> None:
        events = duckdb.sql(newest(batch, ", ".join((*columns, "__op")))).to_arrow_table()
        every = {c: f"s.{c}" for c in columns}
        merger = DeltaTable(location).merge(events, on, source_alias="s", target_alias="t")
        merger.when_matched_delete("s.__op = 'd'").when_matched_update(every).when_not_matched_insert(every, "s.__op <> 'd'").execute()

    return act


def delta_rs_compaction(location: str, *, curved: bool) -> Act:
    from deltalake import DeltaTable, WriterProperties

    writer = WriterProperties(compression="ZSTD", compression_level=1)

    def act() -> None:
        optimize = DeltaTable(location).optimize
        if curved:
            optimize.z_order(["o_custkey", "o_orderdate"], target_size=256 * 1024 * 1024, writer_properties=writer)
        else:
            optimize.compact(target_size=256 * 1024 * 1024, writer_properties=writer)

    return act


def _merge_into(table: str, events: str) -> str:
    chosen = f"SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY {KEY} ORDER BY __sequence_1 DESC) AS place FROM {events}) WHERE place = 1"
    columns = (*COLUMNS, "__sequence_1")
    every, values = ", ".join(f"t.{c} = s.{c}" for c in columns), ", ".join(f"s.{c}" for c in columns)
    return (
        f"MERGE INTO {table} t USING ({chosen}) s ON t.{KEY} = s.{KEY} WHEN MATCHED AND s.__op = 'd' THEN DELETE WHEN MATCHED THEN UPDATE SET {every} "
        f"WHEN NOT MATCHED AND s.__op <> 'd' THEN INSERT ({', '.join(columns)}) VALUES ({values})"
    )


def sail_merge(table: LakeTable, table_format: str, batch: Path) -> Act:
    """Sail's MERGE INTO, on a table that it knows by its place."""
    from penstock.config import AwsSettings
    from penstock.engines.embedded.sail import session

    os.environ.setdefault("SAIL_PARQUET__COMPRESSION", "zstd(1)")
    spark = session(AwsSettings())
    spark.sql(f"CREATE TABLE orders USING {table_format} LOCATION '{table.location}'").collect()
    return lambda: spark.sql(_merge_into("orders", f"parquet.`{batch}`")).collect() and None


PACKAGES = {
    "iceberg": "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.11.0",
    "delta": "io.delta:delta-spark_4.1_2.13:4.2.0",
}
SETTINGS = {
    "iceberg": {
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.bench": "org.apache.iceberg.spark.SparkCatalog", "spark.sql.catalog.bench.type": "hadoop",
    },
    "delta": {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension", "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    },
}  # fmt: skip


def spark_merge(table: LakeTable, folder: Path, table_format: str, batch: Path) -> Act:
    """Spark's MERGE INTO, merge-on-read, in a session that has merged another copy of the table before. Raises RuntimeError without a Java."""
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise RuntimeError("Spark needs Java 17: install it, or leave out the cases of Spark")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.jars.packages", PACKAGES[table_format]).config("spark.driver.memory", "8g")
    settings = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.sql.shuffle.partitions": "4", "spark.sql.session.timeZone": "UTC"}
    for name, value in {**settings, **SETTINGS[table_format], "spark.sql.catalog.bench.warehouse": str(folder / "spark")}.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    places = [_taken_over(spark, table, folder, table_format, name) for name in ("warm", "cold")]
    events = f"parquet.`{batch}`"
    spark.sql(_merge_into(places[0], events)).collect()
    return lambda: spark.sql(_merge_into(places[1], events)).collect() and None


def _taken_over(spark: Any, table: LakeTable, folder: Path, table_format: str, name: str) -> str:
    """A table of Spark's own with the rows of ours, that it merges on read."""
    if table_format == "delta":
        made, options = f"delta.`{folder}/spark/{name}`", "'delta.enableDeletionVectors' = 'true'"
    else:
        made, options = f"bench.db.{name}", "'format-version' = '2', 'write.merge.mode' = 'merge-on-read', 'write.parquet.compression-codec' = 'zstd'"
    spark.read.parquet(*(f.uri for f in table.files(table.pin()))).createOrReplaceTempView("ours")
    spark.sql(f"CREATE TABLE {made} USING {table_format} TBLPROPERTIES ({options}) AS SELECT * FROM ours").collect()
    return made
