"""What Delta tables can do, for whoever plans; imports no client."""

from __future__ import annotations

from penstock.tables import FormatCapabilities

# Redshift Spectrum reads Delta only through symlink manifests, which Penstock does not write; Snowflake only through an external volume of its own.
CAPABILITIES = FormatCapabilities(
    readers=frozenset({"spark", "athena", "trino", "duckdb"}),
    partition_transforms=frozenset({"identity"}),
    module="penstock.connectors.delta.table",
    is_ordered_by_store=True,
)
