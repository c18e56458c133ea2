"""Distinct values counted where the rows are: each executor's sketches are put together by the driver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from penstock.schema import Columns
from penstock.sketches import Sketch, joined, sketched

from .arriving import on_executors
from .arrow import to_arrow

if TYPE_CHECKING:
    import pyarrow as pa


_AT_ONCE = 16  # of what executors found, which is 32 kB a column each, the driver takes so much


def sketched_on_executors(rows: Any, columns: Columns) -> Mapping[str, Sketch]:
    """The sketches of a DataFrame's columns."""
    import pyarrow as pa

    schema = pa.schema([(c.name, pa.binary()) for c in columns])

    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        yield _packed(sketched(batches, columns))

    def join(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        yield _packed(_joined(batches, columns))

    found = on_executors(on_executors(rows, count, schema).coalesce(_AT_ONCE), join, schema)
    return _joined(to_arrow(found).to_batches(), columns)


def _packed(sketches: Mapping[str, Sketch]) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: [sketch.compact] for name, sketch in sketches.items()})


def _joined(batches: Iterable[pa.RecordBatch], columns: Columns) -> Mapping[str, Sketch]:
    rows = (row for batch in batches for row in batch.to_pylist())
    return joined([sketched((), columns), *({name: Sketch.read(data) for name, data in row.items()} for row in rows)])
