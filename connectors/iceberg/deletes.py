"""Files of deleted positions: which data files they are about, and the manifests that list them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pyiceberg.manifest import DataFileContent, ManifestContent, ManifestEntry, ManifestWriterV2

from penstock.connectors.paths import plain
from penstock.tables import DataFile, DeleteFile, WrittenDeletes
from penstock.threads import each

from .manifests import Live
from .statistics import full

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.io import FileIO

# the columns of a delete file, by the spec's own numbers
FILE_PATH, POS = 2147483546, 2147483545


class DeleteManifestWriter(ManifestWriterV2):
    """pyiceberg writes manifests of data files alone."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


def packed(io: FileIO, new_file: Callable[[DataFile], str], deletes: Sequence[tuple[DataFile, pa.ChunkedArray[Any]]]) -> Sequence[WrittenDeletes]:
    """A file of its own for each data file's positions; its bounds in the manifest say whose it is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([
        pa.field("file_path", pa.dictionary(pa.int32(), pa.string()), nullable=False, metadata={"PARQUET:field_id": str(FILE_PATH)}),
        pa.field("pos", pa.int64(), nullable=False, metadata={"PARQUET:field_id": str(POS)}),
    ])  # fmt: skip

    def write(found: tuple[DataFile, pa.ChunkedArray[Any]]) -> WrittenDeletes:
        file, positions = found
        uri, written = new_file(file), pa.BufferOutputStream()
        path = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), len(positions)), pa.array([file.spelled]))
        rows = pa.table([path, positions], schema=schema)
        pq.write_table(rows, written, compression="zstd", use_dictionary=["file_path"], store_schema=False)  # type: ignore[arg-type]
        content = written.getvalue()
        with io.new_output(full(uri)).create() as stream:
            stream.write(content.to_pybytes())
        return WrittenDeletes(file, uri, len(positions), content.size)

    return each(write, deletes)


class Deletes:
    """The delete files of a snapshot, to be asked for by data file. `paths` are those of the live data files."""

    def __init__(self, entries: Iterable[tuple[str, ManifestEntry]], paths: Collection[str]) -> None:
        self._own: dict[str, list[tuple[int, DeleteFile]]] = defaultdict(list)
        self._shared: dict[str, list[tuple[int, DeleteFile]]] = defaultdict(list)
        for manifest, entry in entries:
            file = entry.data_file
            path = _only_path(entry, paths)
            found = DeleteFile(plain(file.file_path), file.record_count, path is not None, Live(manifest, entry))
            home = self._own[path] if path else self._shared[repr(file.partition)]
            home.append((entry.sequence_number or 0, found))

    def of(self, entry: ManifestEntry) -> tuple[DeleteFile, ...]:
        """Those that may delete rows of a data file: not older than it, of its path or its partition."""
        known: Sequence[tuple[int, DeleteFile]] = [*self._own.get(entry.data_file.file_path, ()), *self._shared.get(repr(entry.data_file.partition), ())]
        return tuple(file for sequence, file in known if sequence >= (entry.sequence_number or 0))


def is_delete(entry: ManifestEntry) -> bool:
    return bool(entry.data_file.content != DataFileContent.DATA)


def _only_path(entry: ManifestEntry, paths: Collection[str]) -> str | None:
    """The one data file that a delete file names, where its bounds say so; bounds that a writer cut short are no path."""
    least, greatest = ((bounds or {}).get(FILE_PATH) for bounds in (entry.data_file.lower_bounds, entry.data_file.upper_bounds))
    path = least.decode(errors="replace") if least and least == greatest else None
    return path if path in paths else None
