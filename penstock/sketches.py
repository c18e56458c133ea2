"""How many distinct values a column has, about: theta sketches in the form of Apache DataSketches, of values in the bytes that Iceberg gives each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from penstock.schema import Columns

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Hashes = npt.NDArray[np.uint64]
    Bytes = npt.NDArray[np.uint8]

NOMINAL = 4096  # hashes kept at most: counts are right up to so many values, then with a standard error of 1.6 %
_WHOLE = 1 << 63
_SEED, _SEED_HASH = 9001, 0x93CC
_VERSION, _COMPACT = 3, 3
_READ_ONLY, _EMPTY, _IS_COMPACT, _ORDERED = 2, 4, 8, 16
_LONG_DIGITS = 18  # a decimal of so many is a number of 64 bits
_AT_ONCE = 1 << 23  # bytes of values whose places are reckoned together


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
            values = batch.column(column.name).cast(column.type.arrow())
            for hashes in map(_hashed, _values(values.unique() if sketch.theta == _WHOLE else values)):  # a column of few values hashes few
                low = hashes[(hashes < np.uint64(sketch.theta)) & (hashes > 0)]  # few, after the first values
                sketch = sketch.union(Sketch(low)) if len(low) else sketch
            found[column.name] = sketch
    return found


def joined(parts: Iterable[Mapping[str, Sketch]]) -> Mapping[str, Sketch]:
    """The sketches of all parts' values, of which there is one at the least."""
    return reduce(lambda a, b: {name: sketch.union(b[name]) for name, sketch in a.items()}, parts)


def _values(values: pa.Array[Any]) -> Iterator[Bytes]:
    """The values in Iceberg's single-value serialization, a row of bytes each, those of one length together."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.types as types

    values, kind = values.drop_null(), values.type
    if types.is_decimal(kind):
        width = 8 if kind.precision <= _LONG_DIGITS else 16
        yield from _decimals(_buffer(values, 1, np.uint8).reshape(-1, 16)[values.offset : values.offset + len(values), width - 1 :: -1])
    elif types.is_string(kind) or types.is_binary(kind):
        large = values.cast(pa.large_binary())
        yield from _cut(_buffer(large, 1, np.int64)[large.offset : large.offset + len(large) + 1], _buffer(large, 2, np.uint8))
    elif len(values):
        plain = values.cast(pa.uint8()) if types.is_boolean(kind) else values
        yield np.ascontiguousarray(plain.to_numpy(zero_copy_only=False)).view(np.uint8).reshape(len(values), -1)[:, : plain.type.bit_width // 8]


def _buffer(values: pa.Array[Any], place: int, kind: type[np.generic]) -> npt.NDArray[Any]:
    import numpy as np

    found = values.buffers()[place]
    return np.frombuffer(memoryview(found), kind) if found else np.empty(0, kind)


def _decimals(values: Bytes) -> Iterator[Bytes]:
    """Whole numbers, their greatest byte first, in as few bytes as hold each."""
    import numpy as np

    last = values.shape[1] - 1
    sign = (values[:, :1] >> 7) * np.uint8(255)
    spare = np.cumprod(values == sign, axis=1, dtype=np.uint8).sum(axis=1)  # bytes that only repeat the sign
    first = np.take_along_axis(values, np.minimum(spare, last)[:, None].astype(np.intp), axis=1)[:, 0]
    short = np.minimum(np.where((spare > 0) & (first >> 7 != sign[:, 0] >> 7), spare - 1, spare), last)
    for length in np.unique(short):
        yield np.ascontiguousarray(values[short == length, length:])


def _cut(ends: npt.NDArray[np.int64], held: Bytes) -> Iterator[Bytes]:
    import numpy as np

    lengths = np.diff(ends)
    for length in (int(n) for n in np.unique(lengths) if n):
        starts = ends[:-1][lengths == length]
        for at in range(0, len(starts), step := max(1, _AT_ONCE // length)):
            yield held[starts[at : at + step, None] + np.arange(length)]


def _hashed(values: Bytes) -> Hashes:
    """Half of MurmurHash3 (x64, 128 bits) without its last bit, as theta sketches have it, of rows of bytes that are equally long."""
    import numpy as np

    count, length = values.shape
    words = np.zeros((count, (length + 15) // 16 * 16), np.uint8)
    words[:, :length] = values
    blocks = words.view("<u8").astype(np.uint64)
    h1, h2 = (np.full(count, _SEED, np.uint64) for _ in range(2))
    for i in range(length // 16):
        h1 = (_turned(h1 ^ _first(blocks[:, 2 * i]), 27) + h2) * np.uint64(5) + np.uint64(0x52DCE729)
        h2 = (_turned(h2 ^ _second(blocks[:, 2 * i + 1]), 31) + h1) * np.uint64(5) + np.uint64(0x38495AB5)
    if length % 16:  # bytes beyond the end are 0, which is mixed to 0
        h1, h2 = h1 ^ _first(blocks[:, -2]), h2 ^ _second(blocks[:, -1])
    h1, h2 = h1 ^ np.uint64(length), h2 ^ np.uint64(length)
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
