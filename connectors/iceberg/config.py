"""What Iceberg tables can do, for whoever plans; imports no client."""

from __future__ import annotations

from penstock.tables import FormatCapabilities

# Readers of format 2: https://iceberg.apache.org/multi-engine-support/ and each vendor's own pages.
CAPABILITIES = FormatCapabilities(
    readers=frozenset({"spark", "athena", "redshift", "trino", "snowflake", "duckdb"}),
    partition_transforms=frozenset({"identity", "years", "months", "days", "hours", "bucket", "truncate"}),
    module="penstock.connectors.iceberg.table",
)
