"""Arrow rows into Spark and out of it; by a Spark before 4.0, which has no way of its own, each batch goes as the bytes of a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import pyarrow as pa

_DATA = "data"


def framed(spark: Any, rows: pa.Table) -> Any:
    """A DataFrame of Arrow rows, without the batches that have none: Spark takes the first of those for the end."""
    from pyspark.sql.pandas.types import from_arrow_schema

    schema = from_arrow_schema(rows.schema, prefer_timestamp_ntz=True)
    batches = [batch for batch in rows.to_batches() if batch.num_rows]
    if not batches:
        return spark.createDataFrame([], schema)
    if _knows_arrow():
        return spark.createDataFrame(type(rows).from_batches(batches), schema)
    return spark.createDataFrame([(_bytes(batch),) for batch in batches], f"{_DATA} BINARY").mapInArrow(_read, schema)


def to_arrow(frame: Any) -> pa.Table:
    """The rows of a DataFrame, in its order."""
    if _knows_arrow():
        return cast("pa.Table", frame.toArrow())
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_schema

    found = [batch for row in frame.mapInArrow(_written, f"{_DATA} BINARY").collect() for batch in pa.ipc.open_stream(row[_DATA])]
    schema = found[0].schema if found else to_arrow_schema(frame.schema)
    return pa.Table.from_batches(found, schema)


def runs(rows: pa.Table, by: str) -> dict[Any, pa.Table]:
    """The rows of each value of a column, in whose order they are."""
    import pyarrow.compute as pc

    found = pc.value_counts(rows[by]).flatten()
    values, counts = found[0].to_pylist(), [int(n) for n in found[1].to_pylist() if n is not None]
    return {value: rows.slice(end - count, count) for value, count, end in zip(values, counts, accumulate(counts), strict=True)}


def _knows_arrow() -> bool:
    from pyspark.sql import DataFrame

    return hasattr(DataFrame, "toArrow")


def _bytes(batch: pa.RecordBatch) -> bytes:
    import pyarrow as pa

    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as stream:
        stream.write_batch(batch)
    return out.getvalue().to_pybytes()


def _read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    for batch in batches:
        for data in batch.column(0):
            yield from pa.ipc.open_stream(data.as_buffer())


def _written(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    for batch in batches:
        yield pa.record_batch([pa.array([_bytes(batch)], pa.binary())], [_DATA])
