"""`transform`: user code over pinned tables, its rows gated and published."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.batches import Batch
from penstock.connectors.readers import rejected_schema
from penstock.engines.base import Arrived, Code, Fitting, Session
from penstock.errors import DataError, some
from penstock.pipeline import TransformStep
from penstock.schema import Column, Columns, arrow_schema

from .context import Context
from .pins import cut_reads, pin_of_text, pinned
from .reading import Arriving
from .record import StepRecord
from .rows import Writing, publish_rows
from .targets import Target

if TYPE_CHECKING:
    import pyarrow as pa


def _file(context: Context, step: TransformStep) -> Path:
    return context.loaded.folder / (step.transform.sql or step.transform.python or "")


def cut(context: Context, step: TransformStep) -> Sequence[Batch]:
    """A batch when an input table or the code changed."""
    return cut_reads(context, step.id, context.tables_read(step.id), pin_of_text(_file(context, step)))


def fitted(columns: Columns, step_id: str, rows: pa.Table) -> pa.Table:
    """The rows in the table's own columns and types; raises DataError where a value would not survive."""
    import pyarrow as pa

    schema, given = arrow_schema(columns), [name.lower() for name in rows.column_names]
    if missing := [n for n in schema.names if given.count(n.lower()) != 1]:
        raise DataError(f"step {step_id}: the result has no column {some(missing)}, or it has it twice; it has {some(rows.column_names)}")
    try:
        found = rows.select([given.index(n.lower()) for n in schema.names]).rename_columns(schema.names)
        for i, column in enumerate(columns):
            if column.type.is_nested:
                found = found.set_column(i, column.name, _nested(column, found[column.name]))
        found = found.cast(schema)
        found.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise DataError(f"step {step_id}: the result does not fit the table's columns: {error}") from error
    return found


def _nested(column: Column, values: Any) -> Any:
    """Fields by name, and none lacking. Raises ValueError."""
    import pyarrow as pa

    from penstock.connectors.nested import cast, paired

    for name, declared, kind in paired(column.name, column.type, values.type):
        if kind is None or declared.is_nested:
            raise ValueError(f"{name} is declared as {declared}, and the result has {kind or 'no such field'}")
    as_type: Any = column.type.arrow()
    return pa.chunked_array([cast(chunk, column.type) for chunk in values.chunks], as_type)


def apply(context: Context, step: TransformStep, batch: Batch) -> StepRecord:
    """Run the step's code on what the batch pinned, and publish its rows."""
    path = _file(context, step)

    def run(target: Target) -> Arriving:
        inputs = tuple(pinned(context, batch, name) for name in context.tables_read(step.id))
        text = {"sql": path.read_text()} if step.transform.sql else {}
        code = Code(inputs, context.loaded.parameters, **text, python=None if text else path)
        fitting = Fitting(arrow_schema(target.columns), partial(fitted, target.columns, step.id), f"{context.key(step.id)}/{batch.number}")

        def into(session: Session) -> Arrived:
            return Arrived(rejected_schema().empty_table(), context.engine.transform(session, "rows", code, fitting))

        return Arriving(lambda: sum(f.bytes for i in inputs if i.table and i.pinned for f in i.table.files(i.pinned)), into)

    return publish_rows(context, Writing(step.id, "transform", step.transform.into, step.transform.write, step.gate, step.transform.window), batch, run)
