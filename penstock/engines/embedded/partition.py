"""Partition transforms as SQL: integers counted from 1970 as Iceberg's spec has them, before it too."""

from __future__ import annotations

from penstock.schema import quote
from penstock.tables import PartitionField

_EXPRESSIONS = {
    "identity": "{0}",
    "years": "CAST(year({0}) - 1970 AS INTEGER)",
    "months": "CAST((year({0}) - 1970) * 12 + month({0}) - 1 AS INTEGER)",
    "days": "CAST(CAST({0} AS DATE) - DATE '1970-01-01' AS INTEGER)",
    "hours": "CAST(floor(epoch({0}) / 3600) AS INTEGER)",
}


def partition_value(field: PartitionField) -> str:
    return _EXPRESSIONS[field.transform].format(quote(field.column))
