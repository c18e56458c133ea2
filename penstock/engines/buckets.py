"""Iceberg's buckets: the 32-bit Murmur3 hash of its spec, over whole columns. Engines know them as functions of a value and the number of buckets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def bucketed(hashes: Callable[[Any], Any], values: Any, widths: Any) -> Any:
    """The buckets of an Arrow array's values, NULL for NULL; `widths` repeats the number of buckets, `hashes` takes an array without NULLs."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(values):
        return pa.nulls(0, pa.int32())
    (width,) = widths.unique().to_pylist()
    known = values.is_valid()
    mask = known.combine_chunks() if isinstance(known, pa.ChunkedArray) else known
    found = (np.asarray(hashes(values.drop_null()), np.int64) & 0x7FFFFFFF) % width
    return pc.replace_with_mask(pa.nulls(len(values), pa.int32()), mask, pa.array(found, pa.int32()))


def _of_longs(values: Any) -> Any:
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


def _of_bytes(values: Any) -> list[int]:
    import mmh3

    return [mmh3.hash(v) for v in values.to_pylist()]


def _of_unscaled(values: Any) -> list[int]:
    """Of decimals' digits as text: the least bytes that hold the number, the greatest first."""
    import mmh3

    return [mmh3.hash(n.to_bytes(((n if n >= 0 else -n - 1).bit_length() + 8) // 8, "big", signed=True)) for n in map(int, values.to_pylist())]


# name: the type that it takes besides the number of buckets, in DuckDB's words, and the hashes
FUNCTIONS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "bucket_of_long": ("BIGINT", _of_longs),
    "bucket_of_bytes": ("BLOB", _of_bytes),
    "bucket_of_unscaled": ("VARCHAR", _of_unscaled),
}
