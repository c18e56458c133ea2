"""Python that executors run; what it raises of Penstock's own is raised by the driver."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar
from zipimport import zipimporter

from penstock.engines.embedded.duck import opened
from penstock.errors import PenstockError, StepFailedError, TooHeavyError

from .arrow import framed

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Task = TypeVar("Task")
Result = TypeVar("Result")
_SENT_BYTES = 100_000_000  # of the 128 MiB that one message may have
_TASK_MEMORY = "512MB"  # beside the heap of an executor, for each of its cores; what does not fit spills
_PACKED = "install penstock[tables] where they run, or submit what `make dist` packs (spark.submit.pyFiles and spark.archives)"


def forget_archives() -> None:
    """Have the next task of this process begin at once: before each, Spark has Python read anew what is in every archive and jar of the path, which takes half
    a second. What is forgotten here is looked at again when a module is asked for that was never loaded.
    """
    for path in [p for p, finder in sys.path_importer_cache.items() if isinstance(finder, zipimporter)]:
        del sys.path_importer_cache[path]


@cache
def database() -> duckdb.DuckDBPyConnection:
    """The database of a process that runs tasks, one at a time."""
    found = opened(memory=_TASK_MEMORY)
    found.execute("SET threads = 1")
    return found


def take_in(connection: duckdb.DuckDBPyConnection, batches: Iterable[pa.RecordBatch]) -> bool:
    """Name the rows that come to a task `sent`; False where there are none."""
    import pyarrow as pa

    arriving = iter(batches)
    if (first := next(arriving, None)) is None:
        return False
    connection.register("__arriving", pa.RecordBatchReader.from_batches(first.schema, chain([first], arriving)))
    connection.execute("CREATE TABLE sent AS FROM __arriving")
    connection.unregister("__arriving")
    return True


@contextmanager
def asking_for_penstock() -> Iterator[None]:
    """Raises StepFailedError where executors do not have it."""
    try:
        yield
    except Exception as error:
        if "No module named 'penstock'" in str(error):
            raise StepFailedError("the executors of Spark have no penstock", hint=_PACKED) from error
        raise


def on_each(spark: Any, work: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
    """What `work` gives for each task, in their order; a lost executor's tasks are done anew. All is pickled, for executors that have penstock.

    Raises the first error that `work` raised, TooHeavyError for a task that Spark would not send.
    """
    import pyarrow as pa

    said = [pickle.dumps(task) for task in tasks]
    if any(len(task) > _SENT_BYTES for task in said):
        raise TooHeavyError("a task of more than spark.rpc.message.maxSize lets through")
    # a batch each: Spark sends large ones one by one
    batches = [pa.RecordBatch.from_arrays([pa.array([i], pa.int32()), pa.array([task], pa.binary())], ["number", "task"]) for i, task in enumerate(said)]
    named = framed(spark, pa.Table.from_batches(batches))

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        forget_archives()
        for row in (row for batch in batches for row in batch.to_pylist()):
            try:
                done: object = work(pickle.loads(row["task"]))  # noqa: S301 - of the driver
            except PenstockError as error:
                done = error
            yield pa.RecordBatch.from_pydict({"number": pa.array([row["number"]], pa.int32()), "done": [pickle.dumps(done)]})

    with asking_for_penstock():
        found = named.repartitionByRange(max(1, len(tasks)), "number").mapInArrow(run, "number INT, done BINARY").collect()
    results = [pickle.loads(row["done"]) for row in sorted(found, key=lambda row: row["number"])]  # noqa: S301 - of our own executors
    for failed in (r for r in results if isinstance(r, PenstockError)):
        raise failed
    return results
