"""What Delta tables can do, for whoever plans; imports no client."""

from __future__ import annotations

from penstock.tables import FormatCapabilities, Reader

# Snowflake reads Delta only through an external volume of its own.
CAPABILITIES = FormatCapabilities(
    readers={
        "spark": Reader(position_deletes=True, source="https://docs.delta.io/latest/delta-deletion-vectors.html"),
        "athena": Reader(position_deletes=False, source="https://docs.aws.amazon.com/athena/latest/ug/delta-lake-tables.html"),
        "trino": Reader(position_deletes=True, source="https://trino.io/docs/current/connector/delta-lake.html"),
        "redshift": Reader(
            position_deletes=False,
            needs_lists=True,
            source="https://docs.aws.amazon.com/redshift/latest/dg/c-spectrum-external-tables.html#c-spectrum-column-mapping-delta",
        ),
        "duckdb": Reader(position_deletes=True, source="https://duckdb.org/docs/stable/core_extensions/delta"),
    },
    partition_transforms=frozenset({"identity"}),
    module="penstock.connectors.delta.table",
    deletes="deletion vectors",
    is_ordered_by_store=True,
    has_required_parts=False,  # pyarrow, by which delta-rs gives rows, refuses such a part of a struct that is NULL
    has_partition_columns_in_files=False,
)
