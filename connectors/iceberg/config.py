"""What Iceberg tables can do, for whoever plans; imports no client."""

from __future__ import annotations

from penstock.tables import FormatCapabilities, Reader

# Tables are of format 2. Format 3 (row lineage, deletion vectors) is not written: Athena does not read it.
CAPABILITIES = FormatCapabilities(
    readers={
        "spark": Reader(position_deletes=True, source="https://iceberg.apache.org/docs/latest/spark-queries/"),
        "athena": Reader(position_deletes=True, source="https://docs.aws.amazon.com/athena/latest/ug/querying-iceberg-delete.html"),
        "redshift": Reader(position_deletes=True, source="https://docs.aws.amazon.com/redshift/latest/dg/querying-iceberg.html"),
        "trino": Reader(position_deletes=True, source="https://trino.io/docs/current/connector/iceberg.html"),
        "snowflake": Reader(position_deletes=True, source="https://docs.snowflake.com/en/release-notes/bcr-bundles/2026_03/bcr-2279"),
        "duckdb": Reader(position_deletes=True, source="https://duckdb.org/docs/stable/core_extensions/iceberg/overview"),
    },
    partition_transforms=frozenset({"identity", "years", "months", "days", "hours", "bucket", "truncate"}),
    module="penstock.connectors.iceberg.table",
    deletes="position deletes",
    counts_values=True,
)
