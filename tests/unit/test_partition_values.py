"""Partition values in SQL are those of Iceberg's own library."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.transforms import DayTransform, HourTransform, MonthTransform, YearTransform
from pyiceberg.types import DateType, TimestampType, TimestamptzType

from penstock.engines.embedded.duck import connected
from penstock.engines.embedded.partition import partition_value
from penstock.schema import DataType
from penstock.tables import PartitionField

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
    with connected() as connection:
        connection.register("rows", pa.table({"at": column}))
        found = [v for (v,) in connection.execute(f"SELECT {partition_value(PartitionField(transform, 'at'))} FROM rows").fetchall()]
    counted = column.cast(pa.int32() if kind == "date" else pa.int64()).to_pylist()
    assert found == [TRANSFORMS[transform].transform(iceberg)(v) for v in counted], "seed 1"
