"""How many distinct values a column has, about: theta sketches in the form of Apache DataSketches, of values in the bytes that Iceberg gives each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from penstock.schema import Column, Columns

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Hashes = npt.NDArray[np.uint64]

NOMINAL = 4096  # hashes kept at most: counts are right up to so many values, then with a standard error of 1.6 %
_WHOLE = 1 << 63
_SEED, _SEED_HASH = 9001, 0x93CC
_VERSION, _COMPACT = 3, 3
_READ_ONLY, _EMPTY, _IS_COMPACT, _ORDERED = 2, 4, 8, 16


@dataclass(frozen=True, eq=False)
class Sketch:
    """The least hashes of a column's values, in order, each once and all below `theta`, out of 2^63."""

    hashes: Hashes
    theta: int = _WHOLE

    @property
    def estimate(self) -> int:
        return round(len(self.hashes) * _WHOLE / self.theta)

    def union(self, other: Sketch) -> Sketch:
        """The sketch of the values of both."""
        import numpy as np

        theta = min(self.theta, other.theta)
        hashes = np.union1d(self.hashes, other.hashes)
        hashes = hashes[hashes < np.uint64(theta)]
        return Sketch(hashes, theta) if len(hashes) <= NOMINAL else Sketch(hashes[:NOMINAL], int(hashes[NOMINAL]))

    @property
    def compact(self) -> bytes:
        """A compact, ordered theta sketch (`apache-datasketches-theta-v1`)."""
        count, is_whole = len(self.hashes), self.theta == _WHOLE
        preamble = 3 if not is_whole else 2 if count > 1 else 1
        special = 0 if count else _EMPTY
        head = bytes([preamble, _VERSION, _COMPACT, 0, 0, _READ_ONLY | _IS_COMPACT | _ORDERED | special]) + _SEED_HASH.to_bytes(2, "little")
        counted = count.to_bytes(8, "little") if preamble > 1 else b""
        return head + counted + (b"" if is_whole else self.theta.to_bytes(8, "little")) + self.hashes.astype("<u8").tobytes()

    @classmethod
    def read(cls, data: bytes) -> Sketch:
        """What `compact` wrote."""
        import numpy as np

        theta = int.from_bytes(data[16:24], "little") if data[0] > 2 else _WHOLE
        return cls(np.frombuffer(data, "<u8", offset=8 * data[0]).astype(np.uint64), theta)


def sketched(batches: Iterable[pa.RecordBatch], columns: Columns) -> Mapping[str, Sketch]:
    """A sketch for each of some columns, which are flat, over batches that have them. NULL is no value, nor are the empty string and empty bytes."""
    import numpy as np

    found = {column.name: Sketch(np.empty(0, np.uint64)) for column in columns}
    for batch in batches:
        for column in columns:
            sketch = found[column.name]
            values = _typed(batch.column(column.name), column)
            hashes = _hashed(_values(values.unique() if sketch.theta == _WHOLE else values))  # a column of few values hashes few
            low = hashes[(hashes < np.uint64(sketch.theta)) & (hashes > 0)]  # few, after the first values
            found[column.name] = sketch.union(Sketch(low)) if len(low) else sketch
    return found


def joined(parts: Iterable[Mapping[str, Sketch]]) -> Mapping[str, Sketch]:
    """The sketches of all parts' values, of which there is one at the least."""
    return reduce(lambda a, b: {name: sketch.union(b[name]) for name, sketch in a.items()}, parts)


def _typed(values: pa.Array[Any], column: Column) -> pa.Array[Any]:
    """In the column's own type, text and bytes in one that holds more than 2 GB."""
    import pyarrow as pa

    kind = column.type.arrow()
    return values.cast({pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}.get(kind, kind))


@dataclass(frozen=True)
class _Bytes:
    """Values in Iceberg's single-value serialization: where in `held` each begins, and how long it is. None is empty."""

    held: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


def _values(values: pa.Array[Any]) -> _Bytes:
    import numpy as np
    import pyarrow as pa
    import pyarrow.types as types

    values = values.drop_null()
    kind, count = values.type, len(values)
    if types.is_large_string(kind) or types.is_large_binary(kind):
        ends = _buffer(values, 1, np.int64)[values.offset : values.offset + count + 1]
        lengths = np.diff(ends)
        there = lengths > 0
        return _Bytes(_buffer(values, 2, np.uint8), ends[:-1][there], lengths[there])
    if types.is_decimal(kind):
        return _decimals(_buffer(values, 1, np.uint8).reshape(-1, 16)[values.offset : values.offset + count, ::-1])
    values = values.cast(pa.int32()) if types.is_date32(kind) else values  # numpy's has 64 bits
    plain = np.ascontiguousarray(values.to_numpy(zero_copy_only=False))
    return _Bytes(plain.view(np.uint8), np.arange(count) * plain.itemsize, np.full(count, plain.itemsize))


def _buffer(values: pa.Array[Any], place: int, kind: type[np.generic]) -> npt.NDArray[Any]:
    import numpy as np

    found = values.buffers()[place]
    return np.frombuffer(memoryview(found), kind) if found else np.empty(0, kind)


def _decimals(values: npt.NDArray[np.uint8]) -> _Bytes:
    """Whole numbers of 16 bytes, the greatest first, in as few as hold each."""
    import numpy as np

    sign = (values[:, :1] >> 7) * np.uint8(255)
    spare = np.argmin(np.append(values == sign, np.zeros((len(values), 1), bool), axis=1), axis=1)  # bytes that only repeat the sign
    first = np.take_along_axis(values, np.minimum(spare, 15)[:, None], axis=1)[:, 0]
    left = np.minimum(np.where((spare > 0) & (first >> 7 != sign[:, 0] >> 7), spare - 1, spare), 15)
    return _Bytes(np.ascontiguousarray(values).reshape(-1), np.arange(len(values)) * 16 + left, 16 - left)


def _hashed(values: _Bytes) -> Hashes:
    """Half of MurmurHash3 (x64, 128 bits) of each value, without its last bit, as theta sketches have it."""
    import numpy as np

    whole = values.lengths >> 4  # blocks of 16 bytes
    longest_first = np.argsort(-whole, kind="stable") if whole.any() else slice(None)
    starts, lengths, whole = values.starts[longest_first], values.lengths[longest_first], whole[longest_first]
    held = np.append(values.held, np.zeros(16, np.uint8))
    words = np.ndarray(len(held) - 7, "<u8", held, strides=(1,))  # the eight bytes from each place on
    h1, h2 = (np.full(len(starts), _SEED, np.uint64) for _ in range(2))
    fewer = -whole
    for block in range(int(whole[0]) if len(whole) else 0):
        n = int(np.searchsorted(fewer, -block))  # values that have it
        at = starts[:n] + 16 * block
        h1[:n] = (_turned(h1[:n] ^ _first(words[at]), 27) + h2[:n]) * np.uint64(5) + np.uint64(0x52DCE729)
        h2[:n] = (_turned(h2[:n] ^ _second(words[at + 8]), 31) + h1[:n]) * np.uint64(5) + np.uint64(0x38495AB5)
    low = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
    at, rest = starts + 16 * whole, lengths & 15
    h1 ^= _first(words[at] & low[np.minimum(rest, 8)])  # no bytes are 0, which is mixed to 0
    h2 ^= _second(words[at + 8] & low[np.maximum(rest - 8, 0)])
    size = lengths.astype(np.uint64)
    h1, h2 = h1 ^ size, h2 ^ size
    h1 = h1 + h2
    h2 = h2 + h1
    hashes: Hashes = (_final(h1) + _final(h2)) >> np.uint64(1)
    return hashes


def _first(words: Hashes) -> Hashes:
    import numpy as np

    return _turned(words * np.uint64(0x87C37B91114253D5), 31) * np.uint64(0x4CF5AD432745937F)


def _second(words: Hashes) -> Hashes:
    import numpy as np

    return _turned(words * np.uint64(0x4CF5AD432745937F), 33) * np.uint64(0x87C37B91114253D5)


def _turned(words: Hashes, bits: int) -> Hashes:
    import numpy as np

    return (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))


def _final(words: Hashes) -> Hashes:
    import numpy as np

    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        words = (words ^ (words >> np.uint64(33))) * np.uint64(factor)
    return words ^ (words >> np.uint64(33))
