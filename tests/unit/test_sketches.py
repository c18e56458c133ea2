"""Theta sketches, beside what the library of Apache DataSketches (5.2, for Python) writes of the same values."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from penstock.schema import Column
from penstock.sketches import Sketch, joined, sketched


def of(values: Sequence[Any], kind: str, batches: int = 1) -> Sketch:
    column = Column.parse("x", kind)
    step = -(-len(values) // batches) or 1
    parts = [pa.record_batch([pa.array(values[i : i + step], column.type.arrow())], ["x"]) for i in range(0, len(values), step)]
    return sketched(parts, (column,))["x"]


@pytest.mark.parametrize(
    ("values", "kind", "written"),
    [
        ([], "bigint", "01030300001ecc93"),
        ([None, None], "string", "01030300001ecc93"),
        ([5, 5], "bigint", "01030300001acc93bd3273724691cc14"),
        ([2, 1], "bigint", "02030300001acc93020000000000000015f97dcbbd86a105c397fc1281709d1e"),
        (["b", None, "a", ""], "string", "02030300001acc930200000000000000857f40b689c7e53417c11d528507017b"),
    ],
)
def test_few_values_make_the_bytes_that_others_write(values: list[Any], kind: str, written: str) -> None:
    assert of(values, kind).compact.hex() == written


def test_strings_of_all_lengths_make_the_bytes_that_others_write() -> None:
    texts = ["é" * i + "x" * (i % 3) for i in range(60)]
    written = "047dcfe039388b31ae5c107f9bfba9427ac6753d91c453d4537e1237c87c4a2e"
    assert hashlib.sha256(of(texts, "string").compact).hexdigest() == hashlib.sha256(of(texts[::-1] * 2, "string", 7).compact).hexdigest() == written


@pytest.mark.parametrize(
    ("value", "kind", "as_bytes"),
    [
        (True, "boolean", b"\1"),
        (-5, "int", struct.pack("<i", -5)),
        (0.5, "float", struct.pack("<f", 0.5)),
        (-1e300, "double", struct.pack("<d", -1e300)),
        (dt.date(1960, 1, 1), "date", struct.pack("<i", -3653)),
        (dt.datetime(2020, 1, 1, tzinfo=dt.UTC), "timestamp", struct.pack("<q", 1_577_836_800_000_000)),
        (dt.datetime(1960, 1, 1), "timestamp_ntz", struct.pack("<q", -315_619_200_000_000)),
        *((Decimal(n), "decimal(38,0)", n.to_bytes(length, "big", signed=True)) for n, length in ((0, 1), (127, 1), (128, 2), (-128, 1), (-129, 2), (-1, 1))),
        *((Decimal(n), "decimal(38,0)", n.to_bytes(16, "big", signed=True)) for n in (10**37, -(10**37))),
        (Decimal("-327.69"), "decimal(5,2)", (-32769).to_bytes(3, "big", signed=True)),
    ],
    ids=str,
)
def test_a_value_counts_as_its_bytes_in_iceberg(value: object, kind: str, as_bytes: bytes) -> None:
    assert of([value, None], kind).compact == of([as_bytes], "binary").compact


def test_a_part_of_a_column_counts_alone() -> None:
    """Arrow's slices have the buffers of the whole."""
    for kind, values in (
        ("decimal(9,2)", [Decimal(i) for i in range(9)]),
        ("string", [str(i) * i for i in range(9)]),
        ("date", [dt.date(1970, 1, 1 + i) for i in range(9)]),
    ):
        column = Column.parse("x", kind)
        whole = pa.record_batch([pa.array([None, *values], column.type.arrow())], ["x"])
        assert sketched([whole.slice(4, 5)], (column,))["x"].compact == of(values[3:8], kind).compact


def test_many_values_are_counted_within_a_few_percent_however_they_are_divided(seed: int) -> None:
    r = random.Random(seed)
    values = [r.randrange(50_000) for _ in range(200_000)]
    there = len(set(values))
    whole = of(values, "bigint", 3)
    divided = joined({"x": Sketch.read(of(values[i::4], "bigint", 2).compact)} for i in range(4))["x"]
    assert whole.compact == divided.compact, f"seed {seed}"
    assert abs(whole.estimate - there) < 0.08 * there, f"seed {seed}"
    assert (len(whole.hashes), Sketch.read(whole.compact).compact) == (4096, whole.compact)
