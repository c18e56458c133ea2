"""Deletion vectors: the positions of a file's deleted rows, laid out as Delta's PROTOCOL.md has them."""

from __future__ import annotations

import base64
import struct
import uuid
import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from penstock.config import AwsSettings
from penstock.connectors.paths import plain
from penstock.connectors.stores import store_at
from penstock.errors import NotSupportedError, SourceError
from penstock.objects import ObjectStore
from penstock.tables import DataFile, WrittenDeletes

if TYPE_CHECKING:
    import pyarrow as pa

_PORTABLE = 1681511377  # a RoaringBitmapArray in the portable format; readers know no other
_FILE_VERSION = 1
_UUID_CHARACTERS = 20
_FILES_KEPT = 8
# Python's base85 has other characters than Z85, which Delta uses, in the place of each digit
_B85 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_TO_Z85, _FROM_Z85 = bytes.maketrans(_B85, _Z85), bytes.maketrans(_Z85, _B85)


@dataclass(frozen=True)
class Descriptor:
    """What the log says of a vector: `storage` is `u` (a file of the table), `p` (a file anywhere) or `i` (`place` is the vector itself)."""

    storage: str
    place: str
    size: int
    cardinality: int
    offset: int | None = None

    @classmethod
    def of(cls, logged: Mapping[str, Any]) -> Descriptor:
        return cls(logged["storageType"], logged["pathOrInlineDv"], logged["sizeInBytes"], logged["cardinality"], logged.get("offset"))

    @property
    def logged(self) -> dict[str, Any]:
        found = {"storageType": self.storage, "pathOrInlineDv": self.place, "sizeInBytes": self.size, "cardinality": self.cardinality}
        return found if self.offset is None else found | {"offset": self.offset}

    def file(self, location: str) -> str | None:
        """The URI of the file that it lies in; None for one that stands in the log. Raises NotSupportedError for another storage."""
        match self.storage:
            case "i":
                return None
            case "p":
                return unquote(plain(self.place)) if self.place.startswith("file:") else plain(self.place)
            case "u":
                folder, name = self.place[:-_UUID_CHARACTERS], uuid.UUID(bytes=_from_z85(self.place[-_UUID_CHARACTERS:]))
                return f"{location}/{folder}/{_file_name(name)}" if folder else f"{location}/{_file_name(name)}"
        raise NotSupportedError(f"reading a deletion vector of the storage type {self.storage!r}", hint="have its writer rewrite the file (REORG ... PURGE)")


class Vectors:
    """The deletion vectors of the table at a location."""

    def __init__(self, location: str, store: ObjectStore, aws: AwsSettings) -> None:
        self._location, self._store, self._aws = location, store, aws
        self._content = lru_cache(_FILES_KEPT)(self._read)  # those of one commit lie in one file

    def positions(self, vector: Descriptor) -> pa.Array[Any]:
        """The deleted positions, from 0, in order. Raises SourceError for a vector that is missing or damaged, NotSupportedError for another format."""
        import pyarrow as pa

        file = vector.file(self._location)
        data = _from_z85(vector.place)[: vector.size] if file is None else _framed(file, self._content(file), vector)
        found = decoded(data, file or "the log")
        if len(found) != vector.cardinality:
            raise _damaged(file or "the log", f"it holds {len(found)} positions, and the log says {vector.cardinality}")
        return pa.Array.from_buffers(pa.int64(), len(found), [None, pa.py_buffer(found)])

    def pack(self, deletes: Sequence[tuple[DataFile, pa.ChunkedArray[Any]]]) -> list[WrittenDeletes]:
        """Write the positions of several data files as vectors of one new file."""
        name = uuid.uuid4()
        uri, content = f"{self._location}/{_file_name(name)}", bytearray([_FILE_VERSION])
        written = []
        for file, positions in deletes:
            data = encoded(positions)
            vector = Descriptor("u", _to_z85(name.bytes), len(data), len(positions), len(content))
            written.append(WrittenDeletes(file, uri, len(positions), len(data), vector))
            content += struct.pack(">I", len(data)) + data + struct.pack(">I", zlib.crc32(data))
        self._store.write(_file_name(name), bytes(content))
        return written

    def _read(self, uri: str) -> bytes:
        folder, _, name = uri.rpartition("/")
        store = self._store if folder == self._location else store_at(folder, self._aws)
        found = store.find(name)
        if found is None:
            raise SourceError(f"the deletion vectors in {uri} are gone", hint="put the file back, or restore the table to a version without it")
        return found[0]


def encoded(positions: pa.ChunkedArray[Any]) -> bytes:
    from pyroaring import BitMap64

    values = array("Q", positions.combine_chunks().to_numpy(zero_copy_only=False).astype("uint64").tobytes())
    return struct.pack("<I", _PORTABLE) + bytes(BitMap64(values).serialize())


def decoded(data: bytes, where: str) -> array[int]:
    """The reverse of `encoded`; `where` is for errors."""
    from pyroaring import BitMap64

    magic = int.from_bytes(data[:4], "little")
    if magic != _PORTABLE:
        raise NotSupportedError(f"reading the deletion vector in {where}, of the format {magic},", hint="have its writer rewrite the file (REORG ... PURGE)")
    try:
        found: array[int] = BitMap64.deserialize(data[4:]).to_array()
    except ValueError as error:
        raise _damaged(where, str(error)) from error
    return found


def _framed(uri: str, content: bytes, vector: Descriptor) -> bytes:
    """A vector out of its file, whose own sizes and checksum are held against it."""
    start = vector.offset or 0
    size, data = content[start : start + 4], content[start + 4 : start + 4 + vector.size]
    checksum = content[start + 4 + vector.size : start + 8 + vector.size]
    if not content or content[0] != _FILE_VERSION:
        raise NotSupportedError(f"reading deletion vectors of the version {content[:1].hex() or 'nothing'} in {uri}", hint="upgrade Penstock")
    if int.from_bytes(size, "big") != vector.size or checksum != struct.pack(">I", zlib.crc32(data)):
        raise _damaged(uri, f"the checksum of the {vector.size} bytes at {start} differs")
    return data


def _damaged(where: str, why: str) -> SourceError:
    return SourceError(
        f"a deletion vector in {where} is damaged: {why}", hint="put the file back as it was written, or restore the table to an earlier version"
    )


def _file_name(name: uuid.UUID) -> str:
    return f"deletion_vector_{name}.bin"


def _to_z85(data: bytes) -> str:
    return base64.b85encode(data).translate(_TO_Z85).decode()


def _from_z85(text: str) -> bytes:
    return base64.b85decode(text.encode().translate(_FROM_Z85))
