"""Iceberg's buckets as functions of a Spark session; its executors run them in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.engines.buckets import FUNCTIONS, bucketed


def make_buckets_known(spark: Any) -> None:
    for name, (_, hashes) in FUNCTIONS.items():
        spark.udf.register(name, _function(hashes))


def _function(hashes: Callable[[Any], Any]) -> Any:
    import pyarrow as pa
    from pyspark.sql import functions

    def buckets(values, widths):  # type: ignore[no-untyped-def]
        return bucketed(hashes, values, widths)

    def bucket(value, width):  # type: ignore[no-untyped-def]
        return None if value is None else bucketed(hashes, pa.array([value]), pa.array([width]))[0].as_py()

    buckets.__annotations__ = {"values": pa.Array, "widths": pa.Array, "return": pa.Array}  # pyspark looks at what they are, not at their names
    if arrow_udf := getattr(functions, "arrow_udf", None):
        return arrow_udf(buckets, "int")
    return functions.udf(bucket, "int")  # before 4.1, value by value
