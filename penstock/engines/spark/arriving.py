"""What comes to a batch by way of Spark's executors: files, each read by the connector's own reader, and the results of users' code, made to fit."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from penstock.connectors.readers import Files, read_rows, row_schema
from penstock.engines.base import Arrived, Fitting
from penstock.errors import PenstockError
from penstock.objects import ObjectInfo
from penstock.schema import backquote
from penstock.sources import PAYLOAD, POSITION, REASON

from .arrow import to_arrow
from .executing import asking_for_penstock, forget_archives

if TYPE_CHECKING:
    import pyarrow as pa

    Batches = Iterable[pa.RecordBatch]
    Work = Callable[[Batches], Iterator[pa.Table]]

_READ, _FILTERED, _FAILED, _SAID = "__read", "__filtered", "__failed", "__said"
_MOST_PARTS = 256


def read_files(spark: Any, files: Files) -> tuple[Any, Arrived]:
    """The rows as a DataFrame that is kept, and what is said besides them. Raises what `read_rows` raises."""
    import pyarrow as pa

    listed = [(f.uri, f.size, f.etag, f.version_id) for f in files.files]
    named = spark.createDataFrame(listed, "uri STRING, size BIGINT, etag STRING, version_id STRING").repartition(max(1, min(len(listed), _MOST_PARTS)))
    columns, store, spec = row_schema(files.spec), files.store, files.spec

    def work(batches: Batches) -> Iterator[pa.Table]:
        """A row, or a rejected one, or how many one file held."""
        for info in (ObjectInfo(**said) for batch in batches for said in batch.to_pylist()):
            rows = read_rows(store, [info], spec)
            yield from (rows.table, rows.rejected, pa.table({_READ: [rows.read], _FILTERED: [rows.filtered]}))

    more = [(REASON, pa.string()), (PAYLOAD, pa.string()), (_READ, pa.int64()), (_FILTERED, pa.int64())]
    found = on_executors(named, work, pa.schema([*columns, *(pa.field(name, kind) for name, kind in more)]))
    counts = found.selectExpr(f"COALESCE(SUM({_READ}), 0) AS r", f"COALESCE(SUM({_FILTERED}), 0) AS f").first()
    rejected = to_arrow(found.where(f"{REASON} IS NOT NULL").select(POSITION, REASON, PAYLOAD))
    rows = found.where(f"{_READ} IS NULL AND {REASON} IS NULL").select(*map(backquote, columns.names))
    return rows, Arrived(rejected, counts["r"], counts["f"])


def made_to_fit(frame: Any, fitting: Fitting) -> Any:
    """A result as a DataFrame that is kept, in a table's columns, each row with a position. Raises what `fitting.fit` raises."""
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_schema

    fit, source = fitting.fit, fitting.source
    fit(to_arrow_schema(frame.schema).empty_table())  # what holds for no row at all is said once, and where there is none

    def work(batches: Batches) -> Iterator[pa.Table]:
        from pyspark import TaskContext

        context, count = TaskContext.get(), 0
        part = context.partitionId() if context else 0
        for batch in batches:
            rows = fit(pa.Table.from_batches([batch]))
            yield rows.append_column(POSITION, pa.array([f"{source}#{part}-{count + i + 1}" for i in range(rows.num_rows)], pa.string()))
            count += rows.num_rows

    return on_executors(frame, work, pa.schema([*fitting.schema, pa.field(POSITION, pa.string())]))


def on_executors(frame: Any, work: Work, schema: pa.Schema) -> Any:
    """What `work` makes of a DataFrame's batches on executors, which need penstock, kept; an error of its own is raised here."""
    import pyarrow as pa
    from pyspark.sql.pandas.types import from_arrow_schema

    whole = pa.schema([*(f.with_nullable(True) for f in schema), pa.field(_FAILED, pa.binary()), pa.field(_SAID, pa.string())])

    def caught(batches: Batches) -> Iterator[pa.RecordBatch]:
        forget_archives()
        try:
            for part in work(batches):
                yield from _widened(part, whole).to_batches()
        except PenstockError as error:
            yield from _widened(pa.table({_FAILED: [pickle.dumps(error)], _SAID: [str(error)]}), whole).to_batches()

    with asking_for_penstock():
        found = frame.mapInArrow(caught, from_arrow_schema(whole, prefer_timestamp_ntz=True)).localCheckpoint()
    for failed in found.where(f"{_FAILED} IS NOT NULL").orderBy(_SAID).select(_FAILED).take(1):
        raise pickle.loads(failed[0])  # noqa: S301 - written by our own executors
    return found.drop(_FAILED, _SAID)


def _widened(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """With every column of a schema, NULL where the rows have none of that name."""
    import pyarrow as pa

    return pa.table([rows[f.name].cast(f.type) if f.name in rows.column_names else pa.nulls(rows.num_rows, f.type) for f in schema], schema=schema)
