"""What the embedded engine is able to write."""

from penstock.capabilities import EngineCapabilities

CAPABILITIES = EngineCapabilities(
    partition_transforms=frozenset({"identity", "years", "months", "days", "hours", "bucket", "truncate"}),
    clusterings=frozenset({"binpack", "sort", "zorder"}),
    nested_columns=frozenset({"iceberg", "delta"}),
)
