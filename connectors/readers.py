"""One batch's files, whatever their format, as typed rows."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import deque
from collections.abc import Callable, Container, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Protocol, cast

from penstock.errors import BrokenFileError
from penstock.objects import ObjectInfo, ObjectStore
from penstock.pipeline import Read
from penstock.schema import BIGINT, Columns, arrow_schema, sequence_columns
from penstock.sources import OP, PAYLOAD, POSITION, REASON, UNAVAILABLE, Rows, source_format

if TYPE_CHECKING:
    import pyarrow as pa

_THREADS = 8
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class ReadSpec:
    """How to read files: their format, its options (those of a `read`), and the columns to make of them."""

    format: str
    columns: Columns
    keys: tuple[str, ...] = ()
    options: Mapping[str, str | None] = field(default_factory=dict)
    quarantines_files: bool = False

    @classmethod
    def of(cls, read: Read, columns: Columns, keys: tuple[str, ...] = ()) -> ReadSpec:
        return cls(read.format, columns, keys, read.options, read.bad_files == "quarantine")

    def option(self, name: str) -> str | None:
        return self.options.get(name, source_format(self.format).options[name])

    @property
    def sequence_parts(self) -> int:
        """How many hidden columns order an event; 0 where the format is no change feed."""
        parts = source_format(self.format).sequence_parts
        return parts[str(self.option("connector"))] if parts else 0


@dataclass(frozen=True)
class Files:
    """Files of a store, as a manifest names them, and how they are read."""

    store: ObjectStore
    files: Sequence[ObjectInfo]
    spec: ReadSpec

    @property
    def bytes(self) -> int:
        return sum(f.size for f in self.files)


class Reader(Protocol):
    """A format's module."""

    def read(self, uri: str, data: bytes, spec: ReadSpec) -> Rows:
        """The rows of one object, not compressed. Raises BrokenFileError when the object as a whole is not of the format."""
        ...

    def count(self, uri: str, data: bytes) -> int:
        """How many rows or events the object holds, good and bad."""
        ...

    def without(self, data: bytes, numbers: Container[int]) -> bytes:
        """The object, not compressed, without the records at some places: those behind the `#` of their positions."""
        ...


def _reader(name: str) -> Reader:
    return cast("Reader", import_module(source_format(name).reader))


def sequence_parts(read: Read) -> int:
    return ReadSpec.of(read, ()).sequence_parts


def data_files(store: ObjectStore) -> list[ObjectInfo]:
    """What of a store is data, in the order of the names; names that begin with `_` or `.` are other programs' notes, as for Spark.

    Raises ConnectionFailedError when the bucket or the connection's folder is not there.
    """
    found = [file for file in store.list() if not _is_note(file.uri.removeprefix(store.root))]
    if not found:
        store.check()
    return found


def _is_note(key: str) -> bool:
    return key.endswith("/") or any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in key.split("/"))


def count_rows(store: ObjectStore, file: ObjectInfo, format_name: str) -> int:
    return _reader(format_name).count(file.uri, _content(store, file))


def read_rows(store: ObjectStore, files: Sequence[ObjectInfo], spec: ReadSpec) -> Rows:
    """Read each file as its manifest names it.

    Raises SourceChangedError for a file that is no longer what the manifest names, SourceError for one that is gone, BrokenFileError for one that
    cannot be decoded, unless such files are quarantined.
    """
    reader = _reader(spec.format)
    with closing(_contents(store, files)) as contents:  # left to the garbage collector, its threads could be joined from anywhere, and wait for ever
        parts = [_read(reader, file, content, spec) for file, content in contents]
    return concatenated([*parts, empty(spec)])


def read_one(uri: str, raw: bytes, spec: ReadSpec) -> Rows:
    """One object's rows. Raises BrokenFileError when it is not of the format."""
    return _reader(spec.format).read(uri, gzip.decompress(raw) if raw.startswith(_GZIP) else raw, spec)


def erased(store: ObjectStore, file: ObjectInfo, format_name: str, finds: Callable[[str, bytes], set[str]]) -> int:
    """Write a file again without the records whose positions `finds` names; returns how many these were. The file is left alone where there is none."""
    key = file.uri.removeprefix(store.root)
    raw = store.read(key)
    numbers = {int(position.rpartition("#")[2]) for position in finds(file.uri, raw)}
    if numbers:
        packed = raw.startswith(_GZIP)
        left = _reader(format_name).without(gzip.decompress(raw) if packed else raw, numbers)
        store.write(key, gzip.compress(left) if packed else left)
    return len(numbers)


def _read(reader: Reader, file: ObjectInfo, content: Future[bytes], spec: ReadSpec) -> Rows:
    try:
        data = content.result()
        return _whole(file.uri, data, reader.read(file.uri, data, spec))
    except BrokenFileError as error:
        if not spec.quarantines_files:
            raise
        return _set_aside(file, error, spec)


def _set_aside(file: ObjectInfo, error: BrokenFileError, spec: ReadSpec) -> Rows:
    """A file as one rejected row: nobody knows how many it holds. It stays where it lies, the payload says which one it was."""
    import pyarrow as pa

    row = {POSITION: file.uri, REASON: error.message, PAYLOAD: json.dumps(asdict(file))}
    return Rows(row_schema(spec).empty_table(), pa.Table.from_pylist([row], schema=rejected_schema()), 1)


def _contents(store: ObjectStore, files: Iterable[ObjectInfo]) -> Generator[tuple[ObjectInfo, Future[bytes]], None, None]:
    """Each file with its content, in order, a few of them fetched ahead."""
    waiting = iter(files)
    ahead: deque[tuple[ObjectInfo, Future[bytes]]] = deque()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="read") as pool:
        ahead.extend((file, pool.submit(_content, store, file)) for file in islice(waiting, _THREADS))
        while ahead:
            file, content = ahead.popleft()
            yield file, content
            ahead.extend((file, pool.submit(_content, store, file)) for file in islice(waiting, 1))


def _whole(uri: str, data: bytes, rows: Rows) -> Rows:
    """Raises BrokenFileError where the last record is none and no line break ends it: whoever wrote the file did not come to its end."""
    tail = data[data.rfind(b"\n") + 1 :]
    text = tail.decode(errors="backslashreplace")
    if tail.strip() and not _is_object(tail) and any(str(payload).endswith(text) for payload in rows.rejected[PAYLOAD].to_pylist()):
        raise BrokenFileError(f"{uri} ends in the middle of a record: {text[-80:]!r} has no line break behind it")
    return rows


def _is_object(text: bytes) -> bool:
    """A JSON object that lacks its end is none, so that what is one was not cut."""
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _content(store: ObjectStore, file: ObjectInfo) -> bytes:
    data = store.read(file.uri.removeprefix(store.root), if_match=file.etag)
    if not (data.startswith(_GZIP) or file.uri.endswith(".gz")):
        return data
    try:
        if not data:
            raise EOFError("it holds no byte")
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise BrokenFileError(f"{file.uri} is not a whole gzip file: {error}") from error


def row_schema(spec: ReadSpec) -> pa.Schema:
    """What `Rows.table` holds. A delete has its keys alone, a truncate not even these, so no column is declared NOT NULL."""
    import pyarrow as pa

    fields = [pa.field(f.name, f.type) for f in arrow_schema(spec.columns)] + [pa.field(POSITION, pa.string())]
    if spec.sequence_parts:
        fields += [pa.field(OP, pa.string()), pa.field(UNAVAILABLE, pa.string()), *arrow_schema(sequence_columns([BIGINT] * spec.sequence_parts))]
    return pa.schema(fields)


def rejected_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(POSITION, pa.string()), (REASON, pa.string()), (PAYLOAD, pa.string())])


def empty(spec: ReadSpec) -> Rows:
    return Rows(row_schema(spec).empty_table(), rejected_schema().empty_table(), 0)


def concatenated(parts: Sequence[Rows]) -> Rows:
    import pyarrow as pa

    return Rows(
        pa.concat_tables([p.table for p in parts]),
        pa.concat_tables([p.rejected for p in parts]),
        sum(p.read for p in parts),
        sum(p.filtered for p in parts),
    )
