"""The engine of clusters: a Spark session, classic or by Spark Connect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from penstock.config import AwsSettings
from penstock.engines.base import Code, Fitting, Input, Session, Work
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.engines.user_code import SETTINGS, applied, as_read, load_fitted
from penstock.errors import ExecutorLostError, TooHeavyError
from penstock.schema import is_hidden, names

from .arriving import made_to_fit
from .arrow import framed, to_arrow
from .driving import DriverSession
from .reading import FILE, ROW, rows_of
from .session import SparkBatchSession

# what is written is what every reader knows: instants in microseconds, dates as they are in the calendar of today, fields by their numbers
WRITING = {
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.fieldId.read.enabled": "true",
    "spark.sql.parquet.fieldId.write.enabled": "true",
    # what went wrong, without the stack of the JVM
    "spark.sql.connect.serverStacktrace.enabled": "false",
    "spark.sql.pyspark.jvmStacktrace.enabled": "false",
}
_LOST = "CHECKPOINT_RDD_BLOCK_ID_NOT_FOUND"  # rows that were kept on executors and nowhere else
# of rows that were kept Spark infers conditions on columns that they no longer have, and fails on a union of them
KEEPING = {"spark.sql.constraintPropagation.enabled": "false"}


@dataclass(frozen=True)
class SparkEngine:
    """Implements `penstock.engines.base.Engine` on sessions that `connect` gives: one of its own each time, so that no two batches share names.

    Of work to which less than `least_bytes` come the relations are those of `alone`, the engine of the driver's own machine.
    """

    aws: AwsSettings
    connect: Callable[[], AbstractContextManager[Any]]
    alone: EmbeddedEngine | None = None
    least_bytes: int = 0
    _heavy: set[tuple[str, int | None]] = field(default_factory=set, init=False)  # states of tables on which a batch proved too heavy for the driver

    @contextmanager
    def session(self, sharing: int = 1, work: Work | None = None) -> Iterator[Session]:
        with ExitStack() as stack:
            try:
                if self.alone and work and work.state not in self._heavy and work.bytes < self.least_bytes:
                    connection = stack.enter_context(self.alone.connection(sharing))
                    yield DriverSession(connection, self.aws, cache(lambda: stack.enter_context(self._on_spark())), self.least_bytes)
                else:
                    yield stack.enter_context(self._on_spark())
            except TooHeavyError:
                assert work is not None
                self._heavy.add(work.state)
                raise

    @contextmanager
    def _on_spark(self) -> Iterator[SparkBatchSession]:
        with self._connected(KEEPING) as spark:
            on_spark = SparkBatchSession(spark, self.aws)
            try:
                yield on_spark
            except Exception as error:
                if _LOST in str(error):
                    hint = "run again; where executors come and go (spot instances), keep batches small by `batch:` of the read step"
                    raise ExecutorLostError("Spark lost an executor, and rows of the batch with it", hint=hint) from error
                raise
            finally:
                on_spark.close()

    def transform(self, session: Session, name: str, code: Code, fitting: Fitting) -> int:
        """The code runs on Spark in any case; where the rest of the work is the driver's alone, so are its rows."""
        if isinstance(session, SparkBatchSession):
            return session.compute(name, lambda spark: applied(spark, self._frames(spark, code), code, partial(made_to_fit, fitting=fitting)))
        with self._connected({}) as spark:
            rows = applied(spark, self._frames(spark, code), code, to_arrow)
        return load_fitted(session, name, rows, fitting)

    def _frames(self, spark: Any, code: Code) -> dict[str, Any]:
        return {i.name: as_read(self._frame(spark, i), i) for i in code.inputs}

    @contextmanager
    def _connected(self, settings: dict[str, str]) -> Iterator[Any]:
        with self.connect() as spark:
            for setting, value in (SETTINGS | WRITING | settings).items():
                spark.conf.set(setting, value)
            yield spark

    @staticmethod
    def _frame(spark: Any, item: Input) -> Any:
        """An input as a DataFrame, without Penstock's own columns."""
        if item.table is None or item.pinned is None:
            assert item.rows is not None
            return framed(spark, item.rows)
        shown = [c for c in names(item.pinned.columns) if not is_hidden(c)]
        return rows_of(spark, item.table, item.pinned, item.table.files(item.pinned), shown).drop(FILE, ROW)
