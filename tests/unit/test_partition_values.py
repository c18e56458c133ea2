"""Partition values in SQL are those of Iceberg's own library."""

from __future__ import annotations

import datetime as dt
import gc
import random
from contextlib import closing
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.transforms import BucketTransform, DayTransform, HourTransform, MonthTransform, TruncateTransform, YearTransform
from pyiceberg.types import BinaryType, DateType, DecimalType, IntegerType, LongType, StringType, TimestampType, TimestamptzType

from penstock.config import AwsSettings
from penstock.engines.embedded.duck import opened
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.engines.partition import partition_value
from penstock.schema import DataType
from penstock.tables import TRANSFORMED, PartitionField

TRANSFORMS: dict[str, Any] = {"years": YearTransform(), "months": MonthTransform(), "days": DayTransform(), "hours": HourTransform()}
EDGES = ("0001-01-01", "1582-10-04", "1582-10-15", "1899-12-31", "1969-12-31", "1970-01-01", "1972-02-29", "2000-03-01", "9999-12-31")


def moments(seed: int) -> list[dt.datetime]:
    """Both ends of days that are known to be difficult, and moments anywhere."""
    r = random.Random(seed)
    ends = [dt.datetime.combine(dt.date.fromisoformat(d), t) for d in EDGES for t in (dt.time.min, dt.time.max)]
    return ends + [dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=r.randint(-(60 * 10**15), 250 * 10**15)) for _ in range(500)]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize(("kind", "iceberg"), [("date", DateType()), ("timestamp", TimestamptzType()), ("timestamp_ntz", TimestampType())], ids=str)
def test_they_are(kind: str, iceberg: Any, transform: str) -> None:
    if (kind, transform) == ("date", "hours"):
        pytest.skip("a date has no hours: Iceberg has no such partitions")
    values: list[Any] = [m.date() if kind == "date" else m for m in moments(seed=1)]
    column = pa.array([*values, None], DataType.parse(kind).arrow())
    with closing(opened()) as connection:
        connection.register("rows", pa.table({"at": column}))
        found = [v for (v,) in connection.execute(f"SELECT {partition_value(PartitionField(transform, 'at'), DataType.parse(kind))} FROM rows").fetchall()]
    counted = column.cast(pa.int32() if kind == "date" else pa.int64()).to_pylist()
    assert found == [TRANSFORMS[transform].transform(iceberg)(v) for v in counted], "seed 1"


VALUES: dict[str, tuple[Any, list[Any]]] = {
    "int": (IntegerType(), [0, 1, -1, 34, 2**31 - 1, -(2**31) + 1000]),
    "bigint": (LongType(), [0, 1, -1, 34, 2**63 - 1, -(2**63) + 1000, 2**31, 2**32 - 1]),
    "string": (StringType(), ["", "a", "iceberg", "ä\u2028日本語", "\U0001f600x\U0001f600", "x" * 1000]),
    "decimal(9,2)": (DecimalType(9, 2), [Decimal(t) for t in ("0.00", "14.20", "-14.20", "-0.01", "1.28", "-1.28", "1.27", "9999999.99")]),
    "decimal(5,0)": (DecimalType(5, 0), [Decimal(t) for t in ("0", "14", "-14", "99999", "-98000")]),
    "decimal(38,10)": (DecimalType(38, 10), [Decimal(t) for t in ("0E-10", "9999999999999999999999999999.9999999999", "-1.0000000001")]),
    "binary": (BinaryType(), [b"", b"\x00", b"\x00\x01\xff"]),
    "date": (DateType(), [dt.date(2017, 11, 16), dt.date(1, 1, 1), dt.date(1969, 12, 31), dt.date(9999, 12, 31)]),
    "timestamp": (TimestamptzType(), [dt.datetime(2017, 11, 16, 22, 31, 8, 1, dt.UTC), dt.datetime(1899, 12, 31, tzinfo=dt.UTC)]),
    "timestamp_ntz": (TimestampType(), [dt.datetime(2017, 11, 16, 22, 31, 8), dt.datetime(9999, 12, 31, 23, 59, 59, 999999)]),
}


@pytest.mark.parametrize("transform", ["bucket", "truncate"])
@pytest.mark.parametrize("kind", VALUES)
def test_buckets_and_truncations_are_too(kind: str, transform: str) -> None:
    declared, (iceberg, values) = DataType.parse(kind), VALUES[kind]
    if declared.name not in TRANSFORMED[transform]:
        pytest.skip(f"plan refuses {transform} of a {kind}")
    column = pa.array([*values, None], declared.arrow())
    for width in (1, 7, 16, 1000):
        with closing(opened()) as connection:
            connection.register("rows", pa.table({"at": column}))
            found = [v for (v,) in connection.execute(f"SELECT {partition_value(PartitionField(transform, 'at', width), declared)} FROM rows").fetchall()]
        counts = column.cast(pa.int32()) if kind == "date" else column.cast(pa.int64()) if kind.startswith("timestamp") else column
        theirs = (BucketTransform(width) if transform == "bucket" else TruncateTransform(width)).transform(iceberg)
        assert found == [None if v is None else theirs(v) for v in counts.to_pylist()], width


def test_every_session_of_an_engine_knows_buckets() -> None:
    """They outlast the session that was the first to ask."""
    engine, found = EmbeddedEngine(AwsSettings()), []
    for _ in range(3):
        with engine.session() as session:
            found.append(session.query("SELECT SUM(bucket_of_long(range, 7)) AS buckets FROM range(100000)").to_pylist())
        gc.collect()
    assert found == found[:1] * 3
