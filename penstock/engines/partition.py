"""Partition transforms as SQL: integers counted from 1970 as Iceberg's spec has them, before it too."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.schema import DataType, quote
from penstock.tables import PartitionField

_EXPRESSIONS = {
    "identity": "{0}",
    "years": "CAST(year({0}) - 1970 AS INTEGER)",
    "months": "CAST((year({0}) - 1970) * 12 + month({0}) - 1 AS INTEGER)",
    "days": "CAST(CAST({0} AS DATE) - DATE '1970-01-01' AS INTEGER)",
    "hours": "CAST(CAST({0} AS DATE) - DATE '1970-01-01' AS INTEGER) * 24 + CAST(hour({0}) AS INTEGER)",
}
_UNSCALED = "replace(CAST({0} AS VARCHAR), '.', '')"
# what a bucket is the hash of, as the spec has it: a long for numbers and times, bytes for the others
_HASHED = {
    "int": "bucket_of_long(CAST({0} AS BIGINT), {1})",
    "bigint": "bucket_of_long({0}, {1})",
    "date": "bucket_of_long(CAST(CAST({0} - DATE '1970-01-01' AS INTEGER) AS BIGINT), {1})",
    "timestamp": "bucket_of_long(epoch_us({0}), {1})",
    "timestamp_ntz": "bucket_of_long(epoch_us({0}), {1})",
    "string": "bucket_of_bytes(encode({0}), {1})",
    "binary": "bucket_of_bytes({0}, {1})",
    "decimal": f"bucket_of_unscaled({_UNSCALED}, {{1}})",
}
_REST = f"lpad(CAST((CAST({_UNSCALED} AS HUGEINT) % {{1}} + {{1}}) % {{1}} AS VARCHAR), 40, '0')"
_CUT = {
    "int": "CAST({0} - ((CAST({0} AS BIGINT) % {1}) + {1}) % {1} AS INTEGER)",
    "bigint": "{0} - (({0} % {1}) + {1}) % {1}",
    "string": "left({0}, {1})",
    "decimal": f"CAST({{0}} - CAST(left({_REST}, 40 - {{2}}) || '.' || right({_REST}, {{2}}) AS {{3}}) AS {{3}})",
}
_SIZED: Mapping[str, Mapping[str, str]] = {"bucket": _HASHED, "truncate": _CUT}


def partition_value(field: PartitionField, kind: DataType) -> str:
    """SQL for a row's value of a partition field."""
    if field.transform not in _SIZED:
        return _EXPRESSIONS[field.transform].format(quote(field.column))
    return _SIZED[field.transform][kind.name].format(quote(field.column), field.width, kind.scale, kind.duckdb)
