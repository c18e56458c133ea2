"""`unload`: a query's rows out of Redshift, into a folder that bears the batch's number, verified, then pointed to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace

from penstock.batches import Batch
from penstock.changes.counts import Counts
from penstock.connections import CatalogConnection
from penstock.connectors.redshift.sql import UnloadOptions
from penstock.connectors.redshift.warehouse import Unloaded
from penstock.killpoints import reach
from penstock.pipeline import UnloadStep

from .context import Context
from .cut import cut_pins
from .pins import pin_of_text, pins_of_loads
from .record import StepRecord

POINTER = "_latest.json"


def cut(context: Context, step: UnloadStep) -> Sequence[Batch]:
    """A batch when an earlier step wrote to the warehouse, or the query changed. What a run did not come to publish is published first."""
    _settle(context, step)
    pins = pins_of_loads(context, step.id, step.unload.from_) | pin_of_text(context.loaded.folder / step.unload.sql)
    return cut_pins(context.batches(step.id), step.id, pins)


def apply(context: Context, step: UnloadStep, batch: Batch) -> StepRecord:
    """Unload into `batch=00000042/`, verify the manifest, claim the ledger; then readers are shown it."""
    done = _unloaded(context, step, batch.number)
    reach("after_claim")
    _publish(context, step, batch.number, done)
    counts = Counts(read=done.rows, applied=done.rows)
    note = f"{len(done.files)} files in {done.manifest.removesuffix('manifest')}"
    return StepRecord(step.id, "unload", "done", (batch.number,), counts, 1, done.bytes, note=note)


def _unloaded(context: Context, step: UnloadStep, number: int) -> Unloaded:
    unload, store = step.unload, context.store(step.unload.into)
    chosen = unload.model_dump(include={f.name for f in fields(UnloadOptions)})
    options = UnloadOptions(**chosen | {"compression": unload.compression or ""})

    def read(uri: str) -> bytes:
        return store.read(uri.removeprefix(store.root))

    prefix = store.root + _folder(number)
    return context.warehouse(unload.from_).unload(context.keys(step.id), number, _query(context, step), prefix, options, context.loaded.parameters, read)


def _settle(context: Context, step: UnloadStep) -> None:
    """Publish what the ledger holds and readers are not shown: its run ended in between. A batch that was skipped has nothing to show."""
    store, last = context.store(step.unload.into), context.warehouse(step.unload.from_).applied(context.keys(step.id))
    pointer = store.find(POINTER)
    if last and (not pointer or json.loads(pointer[0])["batch"] < last) and store.find(f"{_folder(last)}manifest"):
        _publish(context, step, last, _unloaded(context, step, last))


def _publish(context: Context, step: UnloadStep, number: int, done: Unloaded) -> None:
    """Turn the table of Glue over to the batch, then the pointer: `_latest.json` names the newest for readers of files."""
    store, folder = context.store(step.unload.into), _folder(number)
    if step.unload.table:
        _into_glue(context, step, number, done, store.root + folder)
    reach("after_export")
    pointer = {"batch": number, "folder": folder, "manifest": done.manifest, "rows": done.rows, "bytes": done.bytes}
    store.write(POINTER, json.dumps(pointer).encode())


def _into_glue(context: Context, step: UnloadStep, number: int, done: Unloaded, folder: str) -> None:
    from penstock.connectors.glue.exports import Export, publish
    from penstock.connectors.s3.access import client

    unload, where = step.unload, context.table_location(str(step.unload.table))
    typed = context.warehouse(unload.from_).hive_columns(context.keys(step.id), number, _query(context, step), context.loaded.parameters)
    keys = [(n, dict(typed)[n]) for n in unload.partition_by]
    columns = [(n, t) for n, t in typed if n not in unload.partition_by]
    connection = context.pipeline.connections[where.connection]
    assert isinstance(connection, CatalogConnection)
    aws = replace(context.aws, region=connection.region) if connection.region else context.aws
    publish(client("glue", aws), Export(where.namespace, where.table, context.key(step.id), number, folder, done.files, columns, keys))


def _query(context: Context, step: UnloadStep) -> str:
    return (context.loaded.folder / step.unload.sql).read_text()


def _folder(number: int) -> str:
    return f"batch={number:08d}/"
