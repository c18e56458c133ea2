"""A user's query, or a file's `build(spark, inputs)`, run on a Spark session, whoever stands behind it."""

from __future__ import annotations

import os
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from penstock.engines.base import Input
from penstock.errors import PenstockError, TransformError
from penstock.lineage import replaced_tables
from penstock.schema import backquote

if TYPE_CHECKING:
    import pyarrow as pa

# the same for a user's code on every engine: a value that a cast or a division cannot give is an error, and no NULL
SETTINGS = {"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true"}
ALLOWED = "TRY_CAST and try_divide give NULL where there is no value"


def applied(spark: Any, frames: Mapping[str, Any], parameters: Mapping[str, object], *, sql: str | None, python: Path | None) -> pa.Table:
    """The rows that the code makes of DataFrames by name; raises TransformError for whatever goes wrong in it."""
    if sql is not None:
        views = {name: f"penstock_{uuid.uuid4().hex}" for name in frames}
        for name, view in views.items():
            frames[name].createOrReplaceTempView(view)
        with explained("the query"):
            return cast("pa.Table", spark.sql(replaced_tables(sql, views), args=dict(parameters) or None).toArrow())
    assert python is not None
    with explained(str(python)):
        return cast("pa.Table", _built(python)(spark, frames).toArrow())


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
        raise TransformError(f"{where}{line}: {type(error).__name__}: {str(error).strip()[:1000]}", hint=hint) from error
