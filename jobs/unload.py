"""`unload`: a query's rows out of Redshift, into a folder that bears the batch's number, verified, then pointed to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from penstock.batches import Batch
from penstock.changes.counts import Counts
from penstock.connections import CatalogConnection
from penstock.connectors.redshift.sql import UnloadOptions
from penstock.connectors.redshift.warehouse import Unloaded
from penstock.killpoints import reach
from penstock.pipeline import UnloadStep

from .context import Context
from .cut import cut_pins
from .pins import hashed, pin_of_text, pins_of_loads
from .record import StepRecord

POINTER, _EXPORT = "_latest.json", "_export.json"


def cut(context: Context, step: UnloadStep) -> Sequence[Batch]:
    """A batch when an earlier step wrote to the warehouse, or the query or its options changed. What a run did not come to publish is published first."""
    _settle(context, step)
    pins = pins_of_loads(context, step.id, step.unload.from_) | pin_of_text(context.loaded.folder / step.unload.sql)
    return cut_pins(context.batches(step.id), step.id, pins | {"declared": hashed(step.unload.model_dump_json())})


def apply(context: Context, step: UnloadStep, batch: Batch) -> StepRecord:
    """Unload into `batch=00000042/`, verify the manifest, claim the ledger; then readers are shown it."""
    unload, store, folder = step.unload, context.store(step.unload.into), _folder(batch.number)
    chosen = unload.model_dump(include={f.name for f in fields(UnloadOptions)})
    options = UnloadOptions(**chosen | {"compression": unload.compression or ""})
    query, warehouse = (context.loaded.folder / unload.sql).read_text(), context.warehouse(unload.from_)

    def read(uri: str) -> bytes:
        return store.read(uri.removeprefix(store.root))

    def note(found: Unloaded) -> None:
        """What readers will be shown, whatever the query is by then."""
        columns = warehouse.hive_columns(context.keys(step.id), batch.number, query, context.loaded.parameters) if unload.table else []
        keys = [name.lower() for name in unload.partition_by]
        told = {"files": list(found.sizes), "rows": found.rows, "bytes": found.bytes, "manifest": found.manifest}
        store.write(f"{folder}{_EXPORT}", json.dumps(told | {"table": unload.table, "columns": columns, "keys": keys}).encode())

    done = warehouse.unload(context.keys(step.id), batch.number, query, store.root + folder, options, context.loaded.parameters, read, note)
    reach("after_claim")
    _publish(context, step, batch.number)
    counts = Counts(read=done.rows, applied=done.rows)
    return StepRecord(step.id, "unload", "done", (batch.number,), counts, 1, done.bytes, note=f"{len(done.sizes)} files in {store.root}{folder}")


def _settle(context: Context, step: UnloadStep) -> None:
    """Publish what the ledger holds and readers are not shown: its run ended in between. A batch that was skipped has nothing to show."""
    store, last = context.store(step.unload.into), context.warehouse(step.unload.from_).applied(context.keys(step.id))
    pointer = store.find(POINTER)
    if last and (not pointer or json.loads(pointer[0])["batch"] != last) and store.find(f"{_folder(last)}{_EXPORT}"):
        _publish(context, step, last)


def _publish(context: Context, step: UnloadStep, number: int) -> None:
    """Turn the table of Glue over to the batch, then the pointer: `_latest.json` names the newest for readers of files."""
    store, folder = context.store(step.unload.into), _folder(number)
    found = json.loads(store.read(f"{folder}{_EXPORT}"))
    if found["table"]:
        _into_glue(context, step, number, found, store.root + folder)
    reach("after_export")
    pointer = {"batch": number, "folder": folder, "manifest": found["manifest"], "rows": found["rows"], "bytes": found["bytes"]}
    store.write(POINTER, json.dumps(pointer).encode())


def _into_glue(context: Context, step: UnloadStep, number: int, found: Mapping[str, Any], folder: str) -> None:
    from penstock.connectors.glue.exports import Export, publish
    from penstock.connectors.s3.access import client

    where, typed = context.table_location(found["table"]), [(str(n), str(t)) for n, t in found["columns"]]
    connection = context.pipeline.connections[where.connection]
    assert isinstance(connection, CatalogConnection)
    columns, keys = [c for c in typed if c[0] not in found["keys"]], [(n, dict(typed)[n]) for n in found["keys"]]
    export = Export(where.namespace, where.table, context.keys(step.id), number, folder, found["files"], columns, keys)
    publish(client("glue", context.aws.at(connection.region)), export)


def _folder(number: int) -> str:
    return f"batch={number:08d}/"
