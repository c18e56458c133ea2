"""CSV in UTF-8 with a header line; columns are found by name. A record may span lines; its position is its first."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Container, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from penstock.connectors.lines import Rejected, accepted
from penstock.connectors.readers import ReadSpec, concatenated, empty
from penstock.connectors.values import Encoding, typed_rows
from penstock.errors import BrokenFileError, nearest, some
from penstock.schema import names
from penstock.sources import Rows

_CHUNK_RECORDS = 20_000


class Record(NamedTuple):
    """A record's fields, or why it has none; `text` is what stands in the file."""

    line: int
    text: str
    fields: Sequence[str]
    problem: str = ""

    @property
    def payload(self) -> bytes:
        return self.text.rstrip("\r\n").encode(errors="surrogateescape")


def count(_uri: str, data: bytes) -> int:
    return max(0, sum(1 for _ in _records(data)) - 1)


def read(uri: str, data: bytes, spec: ReadSpec) -> Rows:
    """Raises BrokenFileError when there is no header, or it lacks a declared column."""
    records = _records(data)
    header = next(records, None)
    if header is None:
        raise BrokenFileError(f"{uri} is empty: not even a header stands in it")
    places = _places(uri, header, spec)
    chunks = iter(lambda: list(islice(records, _CHUNK_RECORDS)), [])
    return concatenated([empty(spec), *(_chunk_rows(uri, chunk, len(header.fields), places, spec) for chunk in chunks)])


def without(data: bytes, numbers: Container[int]) -> bytes:
    return "".join(r.text for r in _records(data) if r.line not in numbers).encode(errors="surrogateescape")


def _records(data: bytes) -> Iterator[Record]:
    """All records, the header first; bytes that are not UTF-8 stay recognisable as lone surrogates."""
    csv.field_size_limit(sys.maxsize)
    taken: list[str] = []

    def remembered() -> Iterator[str]:
        for line in io.StringIO(data.decode("utf-8-sig", errors="surrogateescape"), newline=""):
            taken.append(line)
            yield line

    reader = csv.reader(remembered(), strict=True)
    while True:
        first, fields, problem = reader.line_num + 1, [], ""
        taken.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"not CSV: {error}"
        if fields or problem:
            yield Record(first, "".join(taken), fields, problem)


def _places(uri: str, header: Record, spec: ReadSpec) -> list[int]:
    """Where each declared column stands in a record."""
    for name in names(spec.columns):
        if header.fields.count(name) != 1:
            found = f"names it {header.fields.count(name)} times" if name in header.fields else f"has only {some(header.fields)}{nearest(name, header.fields)}"
            raise BrokenFileError(f"{uri}: column {name!r} is declared but the header {found}")
    return [header.fields.index(name) for name in names(spec.columns)]


def _chunk_rows(uri: str, chunk: Sequence[Record], width: int, places: Sequence[int], spec: ReadSpec) -> Rows:
    rejected = Rejected()
    whole = [r for r in chunk if len(r.fields) == width]
    for record in chunk:
        if len(record.fields) != width:
            rejected.add(record.line, record.payload, record.problem or f"the record has {len(record.fields)} values, the header {width}")
    null = spec.option("null")
    values = [[None if r.fields[place] == null else r.fields[place] for r in whole] for place in places]
    arrays, reasons = typed_rows(values, spec.columns, [Encoding(text=True)] * len(spec.columns))
    for i, reason in reasons.items():
        rejected.add(whole[i].line, whole[i].payload, reason)
    return Rows(accepted(uri, spec, [r.line for r in whole], arrays, reasons), rejected.table(uri), len(chunk))
