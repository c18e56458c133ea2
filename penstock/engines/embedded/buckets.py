"""Iceberg's buckets: the 32-bit Murmur3 hash of its spec, as functions of DuckDB over whole columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb


def make_buckets_known(connection: duckdb.DuckDBPyConnection) -> None:
    """Define `bucket_of_long`, `bucket_of_bytes` and `bucket_of_unscaled`, each of a value and the number of buckets.

    The whole database knows them, but they go with this connection: one that lasts as long as the database.
    """
    import mmh3

    def unscaled(text: str) -> bytes:
        number = int(text)
        return number.to_bytes(((number if number >= 0 else -number - 1).bit_length() + 8) // 8, "big", signed=True)

    _define(connection, "bucket_of_long", "BIGINT", _hashes_of_longs)
    _define(connection, "bucket_of_bytes", "BLOB", lambda values: [mmh3.hash(v) for v in values.to_pylist()])
    _define(connection, "bucket_of_unscaled", "VARCHAR", lambda values: [mmh3.hash(unscaled(v)) for v in values.to_pylist()])


def _define(connection: duckdb.DuckDBPyConnection, name: str, kind: str, hashes: Callable[[Any], Any]) -> None:
    """`hashes` takes an array without NULLs."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from duckdb.func import FunctionNullHandling, PythonUDFType

    def buckets(values: Any, widths: Any) -> Any:  # DuckDB evaluates the annotations
        (width,) = widths.unique().to_pylist()
        known = values.is_valid().combine_chunks()
        found = (np.asarray(hashes(values.drop_null()), np.int64) & 0x7FFFFFFF) % width
        return pc.replace_with_mask(pa.nulls(len(values), pa.int32()), known, pa.array(found, pa.int32()))

    connection.create_function(name, buckets, [kind, "INTEGER"], "INTEGER", type=PythonUDFType.ARROW, null_handling=FunctionNullHandling.SPECIAL)


def _hashes_of_longs(values: Any) -> Any:
    """Murmur3 of 8 bytes each, all at once: two rounds and the end."""
    import numpy as np

    longs = values.to_numpy().astype(np.int64).view(np.uint64)

    def turned(x: Any, by: int) -> Any:
        return (x << np.uint32(by)) | (x >> np.uint32(32 - by))

    found = np.zeros(len(longs), np.uint32)
    for part in (longs.astype(np.uint32), (longs >> np.uint64(32)).astype(np.uint32)):
        found = turned(found ^ (turned(part * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)), 13) * np.uint32(5) + np.uint32(0xE6546B64)
    found = found ^ np.uint32(8)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        found = (found ^ (found >> np.uint32(shift))) * np.uint32(factor)
    return found ^ (found >> np.uint32(16))
