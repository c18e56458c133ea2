"""Debezium's JSON, one event a line, as canonical change events."""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import groupby
from operator import attrgetter

import pyarrow as pa

from penstock.connectors import lines
from penstock.connectors.debezium.encodings import from_schema, without_schema
from penstock.connectors.debezium.envelope import DELETE, TRUNCATE, Decoder, Event
from penstock.connectors.images import UNREADABLE, column_values
from penstock.connectors.lines import Rejected, accepted, chunks, count_lines, is_blank
from penstock.connectors.readers import ReadSpec, concatenated, empty
from penstock.connectors.values import typed_rows
from penstock.errors import DataError
from penstock.sources import Rows


def count(_uri: str, data: bytes) -> int:
    return count_lines(data)


def without(data: bytes, numbers: Container[int]) -> bytes:
    return lines.without(data, numbers)


def read(uri: str, data: bytes, spec: ReadSpec) -> Rows:
    decoder = Decoder(spec, data)
    return concatenated([empty(spec), *(_chunk_rows(uri, first, chunk, decoder, spec) for first, chunk in chunks(data))])


def _chunk_rows(uri: str, first: int, chunk: Sequence[bytes], decoder: Decoder, spec: ReadSpec) -> Rows:
    events: list[Event] = []
    rejected = Rejected()
    blank = filtered = 0
    twice: set[int] = set()
    for number, line in enumerate(chunk, start=first):
        try:
            said = decoder.events(number, line)
        except DataError as error:
            if is_blank(line):
                blank += 1
            else:
                rejected.add(number, line, error.message)
        else:
            filtered += not said
            events += said
            twice |= {number} if len(said) > 1 else set()
    tables = [_table(uri, list(run), spec, rejected) for _, run in groupby(events, key=attrgetter("schema"))]
    return Rows(pa.concat_tables([empty(spec).table, *tables]), rejected.table(uri), len(chunk) - blank + len(twice.difference(rejected.numbers)), filtered)


def _table(uri: str, events: Sequence[Event], spec: ReadSpec, rejected: Rejected) -> pa.Table:
    """The rows of events that share one schema; those with values that do not fit go to `rejected`."""
    try:
        encodings = from_schema(spec, events[0].schema) if events[0].schema else without_schema(spec)
    except UNREADABLE as error:
        for event in events:
            rejected.add(event.number, event.line, f"the event's schema cannot be read: {error}")
        return empty(spec).table
    truncates = {i for i, event in enumerate(events) if event.op == TRUNCATE}
    gone = truncates | {i for i, event in enumerate(events) if event.op == DELETE}
    lacking = {c.name: truncates if c.name in spec.keys else gone for c in spec.columns}
    for i, event in enumerate(events):
        for name in event.lost:
            lacking[name] = lacking[name] | {i}
    values = column_values([e.image for e in events], spec.columns)
    arrays, reasons = typed_rows(values, spec.columns, encodings, lambda column: lacking[column.name])
    wrong = {events[i].number: (events[i].line, reason) for i, reason in reasons.items()}
    for number, (line, reason) in wrong.items():
        rejected.add(number, line, reason)
    bad = {i: wrong[event.number][1] for i, event in enumerate(events) if event.number in wrong}  # of a changed key neither event is taken
    said, left_out = (pa.array(map(attrgetter(part), events), pa.string()) for part in ("op", "unavailable"))
    order = [pa.array(part, pa.int64()) for part in zip(*(e.sequence for e in events), strict=True)]
    return accepted(uri, spec, [e.number for e in events], [*arrays, said, left_out, *order], bad)
