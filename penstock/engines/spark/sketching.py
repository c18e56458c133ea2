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


def sketched_on_executors(rows: Any, columns: Columns) -> Mapping[str, Sketch]:
    """The sketches of a DataFrame's columns."""
    import pyarrow as pa

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        yield pa.table({name: [sketch.compact] for name, sketch in sketched(batches, columns).items()})

    found = to_arrow(on_executors(rows, work, pa.schema([(c.name, pa.binary()) for c in columns])))
    return joined([sketched((), columns), *({name: Sketch.read(data) for name, data in part.items()} for part in found.to_pylist())])
