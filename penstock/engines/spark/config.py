"""What the Spark engine is able to write."""

from penstock.capabilities import EngineCapabilities

# Spark gives no numbers to fields inside arrays and maps
CAPABILITIES = EngineCapabilities(
    partition_transforms=frozenset({"identity", "years", "months", "days", "hours", "bucket", "truncate"}),
    clusterings=frozenset({"binpack", "sort", "zorder"}),
    nested_columns=frozenset({"delta"}),
)
