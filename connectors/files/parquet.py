"""Parquet: columns by name, each cast to its declared type where the cast keeps every value."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as is_

from penstock.connectors.lines import Rejected, accepted
from penstock.connectors.nested import Array, cast, paired
from penstock.connectors.readers import ReadSpec
from penstock.connectors.values import halved, missing
from penstock.documents import json_rows
from penstock.errors import BrokenFileError, choice
from penstock.schema import Column
from penstock.sources import Rows


def _is_text(kind: pa.DataType) -> bool:
    return is_.is_string(kind) or is_.is_large_string(kind) or (is_.is_dictionary(kind) and _is_text(kind.value_type))


_READ_AS: Mapping[str, Callable[[pa.DataType], bool]] = {
    "boolean": is_.is_boolean,
    "int": is_.is_integer,
    "bigint": is_.is_integer,
    "float": lambda kind: is_.is_float16(kind) or is_.is_float32(kind),
    "double": lambda kind: is_.is_floating(kind) or is_.is_integer(kind),
    "decimal": lambda kind: is_.is_decimal(kind) or is_.is_integer(kind),
    "string": _is_text,
    "binary": lambda kind: is_.is_binary(kind) or is_.is_large_binary(kind) or is_.is_fixed_size_binary(kind),
    "date": is_.is_date,
    "timestamp": lambda kind: is_.is_timestamp(kind) and kind.tz is not None,
    "timestamp_ntz": lambda kind: is_.is_timestamp(kind) and kind.tz is None,
}


def count(uri: str, data: bytes) -> int:
    return int(_opened(uri, data).metadata.num_rows)


def read(uri: str, data: bytes, spec: ReadSpec) -> Rows:
    """Raises BrokenFileError for a file that is not Parquet, or whose schema is not what is declared."""
    file = _opened(uri, data)
    _check(uri, file.schema_arrow, spec)
    try:
        found = file.read(columns=[c.name for c in spec.columns])
    except (pa.ArrowException, OSError) as error:
        raise _broken(uri, error) from error
    if found.num_rows != file.metadata.num_rows:
        raise _broken(uri, ValueError(f"its footer counts {file.metadata.num_rows} rows, its pages hold {found.num_rows}"))
    arrays: list[Array] = []
    reasons: dict[int, str] = {}
    for column in spec.columns:
        array, misfits = _cast(found[column.name], column)
        reasons = missing(array, column) | misfits | reasons
        arrays.append(array)
    rejected = Rejected()
    for i, reason in reasons.items():
        rejected.add(i + 1, next(json_rows(found.slice(i, 1))).encode(), reason)
    return Rows(accepted(uri, spec, range(1, found.num_rows + 1), arrays, reasons), rejected.table(uri), found.num_rows)


def without(data: bytes, numbers: Container[int]) -> bytes:
    whole, out = pq.read_table(pa.BufferReader(data)), pa.BufferOutputStream()
    pq.write_table(whole.filter(pa.array([i + 1 not in numbers for i in range(whole.num_rows)], pa.bool_())), out)
    return bytes(out.getvalue())


def _opened(uri: str, data: bytes) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise _broken(uri, error) from error


def _broken(uri: str, error: Exception) -> BrokenFileError:
    return BrokenFileError(f"{uri} is not a whole Parquet file: {error}")


def _check(uri: str, schema: pa.Schema, spec: ReadSpec) -> None:
    for column in spec.columns:
        if (count := schema.names.count(column.name)) != 1:
            found = f"{column.name!r} is there {count} times" if count else choice(column.name, schema.names)
            raise BrokenFileError(f"{uri}: column {found}")
        for name, declared, kind in paired(column.name, column.type, schema.field(column.name).type):
            if kind is None:
                raise BrokenFileError(f"{uri}: field {name!r} is declared as {declared}, and is not in the file")
            if declared.is_nested or not _READ_AS[declared.name](kind):
                raise BrokenFileError(f"{uri}: column {name!r} is {kind} in the file and {declared} in the declaration, which cannot hold it")


def _cast(found: pa.ChunkedArray[Any], column: Column) -> tuple[Array, dict[int, str]]:
    whole: Any = pa.concat_arrays(found.chunks) if found.num_chunks else pa.array([], found.type)
    return halved(whole, column, lambda part: cast(part, column.type))
