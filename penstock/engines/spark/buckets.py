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
    from pyspark.sql.functions import arrow_udf

    def buckets(values, widths):  # type: ignore[no-untyped-def]
        return bucketed(hashes, values, widths)

    buckets.__annotations__ = {"values": pa.Array, "widths": pa.Array, "return": pa.Array}  # pyspark looks at what they are, not at their names
    return arrow_udf(buckets, "int")
