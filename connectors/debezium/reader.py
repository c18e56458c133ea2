"""Debezium's JSON, one event a line, as canonical change events."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec
import pyarrow as pa
from penstock.connectors.debezium.encodings import from_schema, without_schema
from penstock.connectors.debezium.envelope import DELETE, Decoder, Event
from penstock.connectors.images import column_values
from penstock.connectors.lines import Line, Rejected, accepted, chunks, count_lines, is_blank
from penstock.connectors.readers import ReadSpec, concatenated, empty
from penstock.connectors.values import typed_rows

from penstock.errors import DataError, NotSupportedError
from penstock.sources import Rows

Placed = tuple[Line, Event]


def count(_uri: str, data: bytes) -> int:
    return count_lines(data)


def read(uri: str, data: bytes, spec: ReadSpec) -> Rows:
    """Raises NotSupportedError, naming the line, for truncates and for rows that are not whole."""
    decoder = Decoder(spec, data)
    return concatenated([empty(spec), *(_chunk_rows(uri, first, chunk, decoder, spec) for first, chunk in chunks(data))])


def _chunk_rows(uri: str, first: int, chunk: Sequence[bytes], decoder: Decoder, spec: ReadSpec) -> Rows:
    events: list[Placed] = []
    rejected = Rejected()
    blank = filtered = 0
    for line in enumerate(chunk, start=first):
        try:
            event = decoder.event(line[1])
        except DataError as error:
            if is_blank(line[1]):
                blank += 1
            else:
                rejected.add(*line, error.message)
        except NotSupportedError as error:
            raise NotSupportedError(f"{uri}#{line[0]}: {error.what}", hint=error.hint) from error
        else:
            if event is None:
                filtered += 1
            else:
                events.append((line, event))
    tables = [_table(uri, list(run), spec, rejected) for _, run in groupby(events, key=lambda placed: placed[1].schema)]
    return Rows(pa.concat_tables([empty(spec).table, *tables]), rejected.table(uri), len(chunk) - blank, filtered)


def _table(uri: str, run: Sequence[Placed], spec: ReadSpec, rejected: Rejected) -> pa.Table:
    """The rows of events that share one schema; those with values that do not fit go to `rejected`."""
    events = [event for _, event in run]
    try:
        encodings = from_schema(spec, events[0].schema) if events[0].schema else without_schema(spec)
    except msgspec.MsgspecError as error:
        for line, _ in run:
            rejected.add(*line, f"the event's schema cannot be read: {error}")
        return empty(spec).table
    deletes = {i for i, event in enumerate(events) if event.op == DELETE}
    values = column_values([e.image for e in events], spec.columns)
    arrays, reasons = typed_rows(values, spec.columns, encodings, lambda column: () if column.name in spec.keys else deletes)
    for i, reason in reasons.items():
        rejected.add(*run[i][0], reason)
    order = [pa.array(part, pa.int64()) for part in zip(*(e.sequence for e in events), strict=True)]
    return accepted(uri, spec, [line[0] for line, _ in run], [*arrays, pa.array([e.op for e in events], pa.string()), *order], reasons)
