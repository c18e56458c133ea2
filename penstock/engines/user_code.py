"""A user's query, or a file's `build(spark, inputs)`, run on a Spark session, whoever stands behind it."""

from __future__ import annotations

import os
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from penstock.engines.base import Code, Fitting, Input, Session
from penstock.errors import PenstockError, TransformError
from penstock.lineage import replaced
from penstock.schema import backquote
from penstock.sources import POSITION

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

# the same for a user's code on every engine: a value that a cast or a division cannot give is an error, and no NULL
SETTINGS = {"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true"}
ALLOWED = "TRY_CAST and try_divide give NULL where there is no value"


def applied(spark: Any, frames: Mapping[str, Any], code: Code, done: Callable[[Any], T]) -> T:
    """What is done with the DataFrame that the code makes of DataFrames by name; raises TransformError for whatever goes wrong in it."""
    with explained("the query" if code.sql is not None else str(code.python)):
        if code.sql is None:
            assert code.python is not None
            return done(_built(code.python)(spark, frames))
        views = {name: f"penstock_{uuid.uuid4().hex}" for name in frames}
        for name, view in views.items():
            frames[name].createOrReplaceTempView(view)
        return done(spark.sql(replaced(code.sql, views, code.parameters)))


def load_fitted(session: Session, name: str, rows: pa.Table, fitting: Fitting) -> int:
    """Name a result's rows, which this process has, in a session."""
    import pyarrow as pa

    fitted = fitting.fit(rows)
    positions = pa.array([f"{fitting.source}#{i + 1}" for i in range(fitted.num_rows)], pa.string())
    session.load(name, fitted.append_column(POSITION, positions))
    return fitted.num_rows


def as_read(frame: Any, item: Input) -> Any:
    """An input's frame with the columns that the input is read with."""
    columns = [f"{backquote(then) if then else f'CAST(NULL AS {c.type.spark})'} AS {backquote(c.name)}" for c, then in item.read_as]
    return frame.selectExpr(*columns) if columns else frame


def _built(file: Path) -> Callable[[Any, Mapping[str, Any]], Any]:
    """The function `build` of a user's file."""
    spec = spec_from_file_location(f"penstock_user_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    build: Callable[[Any, Mapping[str, Any]], Any] = module.build
    return build


@contextmanager
def functions_of_connect() -> Iterator[None]:
    """Where the whole of pyspark is installed, its functions look for a JVM unless this variable says that there is none."""
    name = "SPARK_CONNECT_MODE_ENABLED"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


@contextmanager
def explained(where: str, hint: str | None = None) -> Iterator[None]:
    """Errors of the user's code as TransformError, with the line of the user's file where there is one."""
    try:
        yield
    except PenstockError:
        raise
    except Exception as error:
        mine = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == where]
        line = f", line {mine[-1].lineno}" if mine else ""
        said, _, _ = str(error).strip().partition("\n\tat ")  # not the stack of a JVM
        raise TransformError(f"{where}{line}: {type(error).__name__}: {said[:1000]}", hint=hint) from error
