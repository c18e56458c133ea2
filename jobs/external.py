"""`external`: files and lake tables that Redshift reads where they lie: a schema, its tables with their partitions, views over them."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.batches import Batch
from penstock.connections import RedshiftConnection
from penstock.connectors.paths import partition_values
from penstock.connectors.readers import data_files
from penstock.connectors.redshift import external
from penstock.connectors.redshift.sql import bound
from penstock.errors import DataError
from penstock.objects import ObjectStore
from penstock.pipeline import ExternalStep
from penstock.redshift_steps import ExternalTable
from penstock.schema import Column, names, quote

from .context import Context
from .cut import cut_pins
from .pins import hashed
from .record import StepRecord


def cut(context: Context, step: ExternalStep) -> Sequence[Batch]:
    """A batch when a declaration, what it means here, or a view's text changed, or a folder came."""
    tables = _tables(context, step)
    views = [text for pair in sorted(_views(context, step).items()) for text in pair]
    places = [part for t in tables for part in (t.name, t.location, *(folder for _, folder in t.partitions))]
    return cut_pins(context.batches(step.id), step.id, {"declared": hashed(step.external.model_dump_json(), *views, *places)})


def apply(context: Context, step: ExternalStep, batch: Batch) -> StepRecord:
    """Run what is missing, each statement by itself, for they go into no transaction, then claim the ledger."""
    said, warehouse, keys = step.external, context.warehouse(step.external.on), context.keys(step.id)
    connection = context.pipeline.connections[said.on]
    assert isinstance(connection, RedshiftConnection)
    database, declared = said.database or said.schema_, _tables(context, step)
    warehouse.define(external.create_schema(said.schema_, database, connection.iam_role))
    schemas, tables, partitions = (warehouse.query(text).to_pylist() for text in external.told(said.schema_))
    if shown := [s["database"] for s in schemas if s["database"] != database]:
        raise DataError(f"external schema {said.schema_} shows the database {shown[0]}, not {database}", hint="give the schema another name, or drop that one")
    made = external.statements(said.schema_, keys, declared, external.held(tables, partitions, declared))
    texts = _views(context, step)
    of_views = [f"CREATE SCHEMA IF NOT EXISTS {quote(s)}" for s in dict.fromkeys(n.partition(".")[0] for n in texts)]
    views = [external.view(name, query) for name, query in texts.items()]
    warehouse.script(keys, batch.number, [*made, *of_views, *views], together=False)
    note = f"{len(made)} statements for {len(said.tables)} tables, {len(views)} views"
    return StepRecord(step.id, "external", "done", (batch.number,), commits=len(made) + len(views), note=note)


def _views(context: Context, step: ExternalStep) -> dict[str, str]:
    return {name: bound((context.loaded.folder / file).read_text(), context.loaded.parameters) for name, file in step.external.views.items()}


def _tables(context: Context, step: ExternalStep) -> list[external.Table]:
    return [_table(context.store(declared.from_), name, declared) for name, declared in step.external.tables.items()]


def _table(store: ObjectStore, name: str, declared: ExternalTable) -> external.Table:
    columns, keys = (tuple(Column.parse(n, t) for n, t in of.items()) for of in (declared.columns, declared.partition_by))
    folders = {f.uri.rpartition("/")[0] for f in data_files(store)} if keys else set[str]()
    partitions = ((_values(folder.removeprefix(store.root), names(keys), folder), f"{folder}/") for folder in sorted(folders))
    return external.Table(name, declared.format, store.root, columns, keys, tuple(partitions))


def _values(path: str, keys: Sequence[str], folder: str) -> tuple[str, ...]:
    """The values that a folder's path tells, in the keys' order. Raises DataError for one that names other keys."""
    values = partition_values(path, keys)
    if values is None:
        raise DataError(
            f"{folder}/ does not name its partition: {'/'.join(f'{k}=…' for k in keys)}/ is declared", hint="move its files, or correct partition_by"
        )
    return values
