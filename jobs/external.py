"""`external`: files and lake tables that Redshift reads where they lie: a schema, its tables with their partitions, views over them."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.batches import Batch
from penstock.connections import RedshiftConnection
from penstock.connectors.delta.symlinks import FOLDER as LISTS
from penstock.connectors.paths import partition_values, plain
from penstock.connectors.readers import data_files
from penstock.connectors.redshift import external
from penstock.connectors.redshift.sql import bound
from penstock.connectors.stores import store_at
from penstock.errors import DataError
from penstock.objects import ObjectStore
from penstock.pipeline import ExternalStep
from penstock.redshift_steps import ExternalTable
from penstock.schema import Column, Columns, names, quote

from .context import Context
from .cut import cut_pins
from .pins import existing, hashed
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
    found = step.external.tables.items()
    return [_listed(context, name, t.from_) if t.from_ in context.pipeline.tables else _table(context.store(t.from_), name, t) for name, t in found]


def _listed(context: Context, name: str, location: str) -> external.Table:
    """A lake table by the lists of its files, one in the folder of each partition."""
    table, by = existing(context, location), {p.column for p in context.declared(location).partition_fields}
    columns = context.declared(location).schema_columns
    root = f"{plain(table.location)}/{LISTS}/"
    keys, rest = (tuple(c for c in columns if (c.name in by) is is_key) for is_key in (True, False))
    folders = [f.uri.rpartition("/")[0] for f in store_at(root, context.aws).list()] if keys else []
    in_order = tuple(sorted(keys, key=lambda c: [p.column for p in table.partition_by].index(c.name)))
    return external.Table(name, "listed", root, rest, in_order, tuple(_partition(folder, root, in_order) for folder in folders))


def _table(store: ObjectStore, name: str, declared: ExternalTable) -> external.Table:
    columns, keys = (tuple(Column.parse(n, t) for n, t in of.items()) for of in (declared.columns, declared.partition_by))
    folders = {f.uri.rpartition("/")[0] for f in data_files(store)} if keys else set[str]()
    return external.Table(name, declared.format, store.root, columns, keys, tuple(_partition(folder, store.root, keys) for folder in sorted(folders)))


def _partition(folder: str, root: str, keys: Columns) -> external.Partition:
    """A folder, and the values that its path tells, in the keys' order. Raises DataError for one that names other keys."""
    values = partition_values(folder.removeprefix(root), names(keys))
    if values is None:
        declared = "/".join(f"{k}=…" for k in names(keys))
        raise DataError(f"{folder}/ does not name its partition: {declared}/ is declared", hint="move its files, or correct partition_by")
    return values, f"{folder}/"
