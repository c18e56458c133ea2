"""Files that COPY reads itself: what it would not notice of them is looked up first, and its clauses are made of what was found."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader, TextIOWrapper
from itertools import islice
from posixpath import commonprefix
from typing import Any

from penstock.config import AwsSettings
from penstock.connectors.stores import filesystem
from penstock.copy_options import GO_WITH, CopyOptions
from penstock.errors import ConnectionFailedError, DataError, SourceChangedError, SourceError
from penstock.objects import ObjectInfo, ObjectStore
from penstock.schema import Columns, arrow_schema, names
from penstock.threads import each

from .sql import StagedFile, literal

_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
_CLAUSES = {"gzip": " GZIP", "bz2": " BZIP2", "zstd": " ZSTD", "": ""}
_ENCODINGS = {"utf8": "utf-8-sig", "utf16": "utf-16", "utf16le": "utf-16-le", "utf16be": "utf-16-be", "iso88591": "iso-8859-1"}


@dataclass(frozen=True)
class Found:
    """What one file says of itself: the names of its columns (in small letters) where they count by their places, its rows where it knows, its packing."""

    columns: tuple[str, ...] = ()
    rows: int | None = None
    packed: str = ""


@dataclass(frozen=True)
class CopyFiles:
    """A batch's files of one format: the columns in the files' order, and COPY's clauses."""

    files: tuple[StagedFile, ...]
    columns: Columns
    clauses: str


def examined(files: Sequence[ObjectInfo], format_name: str, columns: Columns, options: CopyOptions, null: str | None, aws: AwsSettings) -> CopyFiles:
    """Look at each file. Raises SourceError for a file whose columns are not the declared ones, DataError for files that one COPY cannot take together."""
    found = each(lambda file: _found(file, format_name, options, aws), files)
    first, packed, orders = found[0] if found else Found(), {f.packed for f in found}, {f.columns for f in found}
    if len(packed) > 1 or len(orders) > 1:
        what = "are packed in different ways" if len(packed) > 1 else "have their columns in different orders"
        other = next(f.uri for f, said in zip(files, found, strict=True) if (said.packed, said.columns) != (first.packed, first.columns))
        raise DataError(f"{files[0].uri} and {other} {what}; one COPY takes them alike", hint="give each kind a folder of its own, or cut batches of one file")
    held = {c.name.lower(): c for c in columns}
    for file, said in zip(files, found, strict=True):
        if said.columns and sorted(said.columns) != sorted(held):
            raise _broken(f"{file.uri} has the columns {', '.join(said.columns)} where {', '.join(names(columns))} are declared; COPY takes all")
    in_order = tuple(held[n] for n in first.columns) or columns
    staged = tuple(StagedFile(f.uri, f.size, said.rows) for f, said in zip(files, found, strict=True))
    return CopyFiles(staged, in_order, clauses(format_name, options, null) + _CLAUSES[first.packed])


def clauses(format_name: str, options: CopyOptions, null: str | None) -> str:
    """FORMAT AS and what follows. Defaults read a file as the engines do: columns by name, ISO dates, an empty text for NULL where nothing else is."""
    said, kind = options.said, GO_WITH[format_name]
    words = {"csv": "CSV", "json": f"JSON {literal(options.json_)}", "avro": f"AVRO {literal(options.avro)}"}
    parts = [f"FORMAT AS {words.get(format_name, format_name.upper())}"]
    if format_name == "csv":
        parts += [f"IGNOREHEADER {options.ignoreheader}"] if options.ignoreheader else []
        parts += [f"NULL AS {literal(null)}" if null else "EMPTYASNULL"]
    for name in ("quote", "delimiter", "dateformat", "timeformat", "acceptinvchars"):
        value = getattr(options, name)
        parts += [f"{name.upper()} AS {literal(value)}"] if name in kind and value else []
    flags = ("fillrecord", "ignoreblanklines", "acceptanydate", "blanksasnull", "trimblanks", "truncatecolumns", "roundec")
    parts += [name.upper() for name in flags if getattr(options, name)]
    parts += [f"{name.upper()} {str(getattr(options, name)).upper()}" for name in ("maxerror", "encoding", "compupdate", "statupdate") if name in said]
    return " ".join(parts)


def check_unchanged(store: ObjectStore, files: Sequence[ObjectInfo]) -> None:
    """Raises SourceChangedError for a file that is no longer what the batch's manifest names: COPY itself knows files by their names alone."""
    now = {f.uri: f.etag for f in store.list(commonprefix([f.uri.removeprefix(store.root) for f in files]))} if files else {}
    if changed := [f.uri for f in files if now.get(f.uri) != f.etag]:
        what = "changed after its batch was cut" if changed[0] in now else "is no longer there"
        raise SourceChangedError(f"{changed[0]} {what}", hint="put the former file back, or `penstock batch retry` to take it as it is now")


def lines(url: str, wanted: Iterable[int], encoding: str, aws: AwsSettings) -> Mapping[int, str]:
    """Some lines of a text file, by their numbers from 1: at most 1024 characters of each, as Redshift itself keeps, and no NULs, which SQL cannot say."""
    numbers = set(wanted)
    with TextIOWrapper(_opened(url, aws)[0], _ENCODINGS[encoding], errors="replace", newline="\n") as text:
        found = {i: line.rstrip("\r\n")[:1024] for i, line in enumerate(islice(text, max(numbers)), 1) if i in numbers}
    return {i: line.replace("\0", "\ufffd") for i, line in found.items()}


def _broken(message: str) -> SourceError:
    return SourceError(message, hint="deliver it again, or correct what is declared, and `penstock batch retry`; or `penstock batch skip` the batch")


def _reached(uri: str, error: Exception) -> None:
    """Raises ConnectionFailedError for an error that is S3's, and not the file's."""
    if "AWS Error" in str(error):
        raise ConnectionFailedError(f"{uri} cannot be read: {error}", hint="check the network and what the caller may do, then run again") from error


def _lowered(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.lower() for name in found)


def fit(uris: Sequence[str], columns: Columns, aws: AwsSettings) -> bool:
    """Whether each is a Parquet file of these columns, in this order, of these types, and of no others. Raises ConnectionFailedError where S3 cannot tell."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = arrow_schema(columns)

    def one(uri: str) -> bool:
        system, path = filesystem(uri, aws)
        try:
            with system.open_input_file(path) as source:
                found = pq.read_schema(source)
        except (pa.ArrowInvalid, OSError) as error:
            _reached(uri, error)
            return False
        return (found.names, found.types) == (wanted.names, wanted.types)

    return all(each(one, uris))


def _found(file: ObjectInfo, format_name: str, options: CopyOptions, aws: AwsSettings) -> Found:
    if format_name in _FOOTERS:
        return _footer(file, format_name, aws)
    if format_name == "avro":
        return Found()
    stream, packed = _opened(file.uri, aws)
    with stream:
        return Found(_header(file.uri, stream, options) if format_name == "csv" and options.ignoreheader == 1 else (), packed=packed)


def _header(uri: str, stream: BufferedReader, options: CopyOptions) -> tuple[str, ...]:
    text = TextIOWrapper(stream, _ENCODINGS[options.encoding], errors="replace", newline="")
    try:
        found = _lowered(next(csv.reader(text, delimiter=options.delimiter or ",", quotechar=options.quote or '"'), ()))
    except (csv.Error, OSError) as error:
        _reached(uri, error)
        found = ()
    if not found:
        raise _broken(f"{uri} has no first line with the names of its columns; if it is to have none, say `options: {{ignoreheader: 0}}`")
    return found


def _opened(uri: str, aws: AwsSettings) -> tuple[BufferedReader, str]:
    """The file's bytes, unpacked as they are read, and how it is packed."""
    system, path = filesystem(uri, aws)
    with system.open_input_file(path) as file:
        start = file.read(4)
    packed = next((name for mark, name in _PACKED.items() if start.startswith(mark)), "")
    stream: Any = system.open_input_stream(path, compression=packed or None)
    return BufferedReader(stream), packed


def _footer(file: ObjectInfo, format_name: str, aws: AwsSettings) -> Found:
    import pyarrow as pa

    system, path = filesystem(file.uri, aws)
    try:
        with system.open_input_file(path) as source:
            return _FOOTERS[format_name](source)
    except (pa.ArrowException, OSError) as error:
        _reached(file.uri, error)
        raise _broken(f"{file.uri} is no {format_name} file: {error}") from error


def _of_parquet(source: Any) -> Found:
    import pyarrow.parquet as pq

    found = pq.ParquetFile(source)
    return Found(_lowered(found.schema_arrow.names), found.metadata.num_rows)


def _of_orc(source: Any) -> Found:
    from pyarrow import orc

    found = orc.ORCFile(source)
    return Found(_lowered(found.schema.names), found.nrows)


_FOOTERS: Mapping[str, Callable[[Any], Found]] = {"parquet": _of_parquet, "orc": _of_orc}
