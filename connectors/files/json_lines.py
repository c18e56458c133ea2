"""JSON, one object a line. A field that an object lacks is NULL; dates and timestamps are ISO 8601 text, binary is base64."""

from __future__ import annotations

from collections.abc import Container, Sequence
from decimal import Decimal

import msgspec

from penstock.connectors import lines
from penstock.connectors.images import UNREADABLE, column_values, image_type
from penstock.connectors.lines import Line, Rejected, accepted, chunks, count_lines, is_blank
from penstock.connectors.readers import ReadSpec, concatenated, empty
from penstock.connectors.values import Encoding, typed_rows
from penstock.sources import Rows


def count(_uri: str, data: bytes) -> int:
    return count_lines(data)


def without(data: bytes, numbers: Container[int]) -> bytes:
    return lines.without(data, numbers)


def read(uri: str, data: bytes, spec: ReadSpec) -> Rows:
    decoder = msgspec.json.Decoder(image_type(spec.columns, None), float_hook=Decimal)
    return concatenated([empty(spec), *(_chunk_rows(uri, first, chunk, decoder, spec) for first, chunk in chunks(data))])


def _chunk_rows(uri: str, first: int, chunk: Sequence[bytes], decoder: msgspec.json.Decoder[msgspec.Struct], spec: ReadSpec) -> Rows:
    rejected = Rejected()
    lines: list[Line] = []
    images: list[msgspec.Struct] = []
    for line in enumerate(chunk, start=first):
        if is_blank(line[1]):
            continue
        try:
            images.append(decoder.decode(line[1]))
            lines.append(line)
        except UNREADABLE as error:
            rejected.add(*line, f"not a JSON object with the declared columns: {error}")
    read = len(lines) + len(rejected.numbers)
    arrays, reasons = typed_rows(column_values(images, spec.columns), spec.columns, [Encoding()] * len(spec.columns))
    for i, reason in reasons.items():
        rejected.add(*lines[i], reason)
    return Rows(accepted(uri, spec, [number for number, _ in lines], arrays, reasons), rejected.table(uri), read)
