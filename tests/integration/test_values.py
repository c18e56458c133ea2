"""Values at the ends of their types: through merge, copy, transform and compaction, and the same to pyiceberg and delta-rs."""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from foreign import TOOLS
from pipelines import Project

Z = dt.UTC
VALUES: dict[str, tuple[str, list[Any]]] = {
    "f": ("float", [float("nan"), float("inf"), float("-inf"), -0.0, 0.0, 2.0**-149]),
    "d": ("double", [float("nan"), float("inf"), float("-inf"), -0.0, 0.0, 5e-324, 1.7976931348623157e308]),
    "x": ("decimal(38,10)", [Decimal("1234567890123456789012345678.0123456789"), Decimal("-" + "9" * 28 + "." + "9" * 10), Decimal("0E-10")]),
    "y": ("decimal(38,0)", [Decimal("9" * 38), Decimal("-" + "9" * 38), Decimal(0)]),
    "on": ("date", [dt.date(1, 1, 1), dt.date(1582, 10, 4), dt.date(1899, 12, 31), dt.date(1969, 12, 31), dt.date(9999, 12, 31)]),
    "at": ("timestamp", [dt.datetime(1, 1, 1, tzinfo=Z), dt.datetime(1899, 12, 31, 23, 59, 59, 999999, Z), dt.datetime(9999, 12, 31, 23, 59, 59, 999999, Z)]),
    "local": ("timestamp_ntz", [dt.datetime(1, 1, 1), dt.datetime(1899, 12, 31, 23, 59, 59, 999999), dt.datetime(9999, 12, 31, 23, 59, 59, 999999)]),
    "b": ("binary", [b"", b"\x00", b"a\x00b", b"\xff" * 100]),
    "s": ("string", ["", " ", "NULL", "a\x00b", "\U0001f600", "\ufeff", "'", '"', "\\", "\n\r\t", "x" * 5000]),
    "ok": ("boolean", [True, False]),
    "i": ("int", [-(2**31), 2**31 - 1, 0]),
}  # fmt: skip
COLUMNS = {"id": "bigint!", "version": "bigint!"} | {name: kind for name, (kind, _) in VALUES.items()}
PIPELINE = """
pipeline: ends
connections:
  raw: {kind: files, path: landing}
  lake: {kind: catalog, catalog: sqlite, warehouse: warehouse}
tables:
  lake.ends.merged: {format: FORMAT, columns: COLUMNS, keys: [id], maintain: {min_files: 2}}
  lake.ends.copied: {format: FORMAT, columns: COLUMNS, maintain: {min_files: 2}}
  lake.ends.transformed: {format: FORMAT, columns: COLUMNS}
steps:
  - id: files
    read: {from: raw/in/, format: parquet, batch: {max_files: 1}}
  - id: merged
    merge: {from: files, into: lake.ends.merged, sequence_by: version}
  - id: copied
    copy: {from: files, into: lake.ends.copied, write: append}
  - id: transformed
    transform: {sql: all.sql, into: lake.ends.transformed}
"""
TYPES = {
    "bigint": pa.int64(), "float": pa.float32(), "double": pa.float64(), "decimal(38,10)": pa.decimal128(38, 10), "decimal(38,0)": pa.decimal128(38, 0),
    "date": pa.date32(), "timestamp": pa.timestamp("us", "UTC"), "timestamp_ntz": pa.timestamp("us"), "binary": pa.binary(), "string": pa.string(),
    "boolean": pa.bool_(), "int": pa.int32(),
}  # fmt: skip


def said(rows: pa.Table) -> list[str]:
    """The rows as text, which tells -0.0 from 0.0, and takes NaN for itself."""
    return [repr(r) for r in rows.select(list(COLUMNS)).sort_by("id").to_pylist()]


def parquet(rows: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(rows, sink)
    return sink.getvalue()


@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
def test_values_stay_what_they_are(tmp_path: Path, table_format: str) -> None:
    project = Project(tmp_path)
    project.write("pipeline.yaml", PIPELINE.replace("FORMAT", table_format).replace("COLUMNS", json.dumps(COLUMNS)))
    project.write("all.sql", "SELECT * FROM lake.ends.merged")
    rows = [{"id": k, "version": 1} | {c: [*values, None][k % (len(values) + 1)] for c, (_, values) in VALUES.items()} for k in range(24)]
    given = pa.Table.from_pylist(rows, schema=pa.schema([(c, TYPES[kind.removesuffix("!")]) for c, kind in COLUMNS.items()]))
    for i in range(3):
        project.write(f"landing/in/{i}.parquet", parquet(given.slice(i * 8, 8)))
    done, _ = project.record()
    assert done.code == 0, done.err
    tool = TOOLS[table_format](project)
    for name in ("merged", "copied", "transformed"):
        assert said(tool.rows(f"ends.{name}")) == said(given), name
    maintained = project.penstock("maintain", "lake.ends.copied", "lake.ends.merged")
    assert maintained.code == 0, maintained.err
    assert [line.split()[:3] for line in maintained.out.splitlines() if "copied " in line] == [["lake.ends.copied", "before", "3"]]
    for name in ("merged", "copied"):
        assert said(tool.rows(f"ends.{name}")) == said(given), f"{name}, compacted"
    project.write("landing/in/again.parquet", parquet(given))
    done, steps = project.record("--select", "files+")
    assert (done.code, steps["merged"]["counts"]["unchanged"]) == (0, 24), "a value equals itself, NaN and -0.0 too"
    assert said(tool.rows("ends.merged")) == said(given)
