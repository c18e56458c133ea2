"""`unload`: a query's rows out of Redshift, into a folder that bears the batch's number, verified, then pointed to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields

from penstock.batches import Batch
from penstock.changes.counts import Counts
from penstock.connectors.redshift.sql import UnloadOptions
from penstock.pipeline import UnloadStep

from .context import Context
from .cut import cut_pins
from .pins import pin_of_text, pins_of_loads
from .record import StepRecord

POINTER = "_latest.json"


def cut(context: Context, step: UnloadStep) -> Sequence[Batch]:
    """A batch when an earlier step wrote to the warehouse, or the query changed."""
    pins = pins_of_loads(context, step.id, step.unload.from_) | pin_of_text(context.loaded.folder / step.unload.sql)
    return cut_pins(context.batches(step.id), step.id, pins)


def apply(context: Context, step: UnloadStep, batch: Batch) -> StepRecord:
    """Unload into `batch=00000042/`, verify the manifest, claim the ledger; `_latest.json` names the newest for readers."""
    unload, store = step.unload, context.store(step.unload.into)
    folder = f"batch={batch.number:08d}/"
    sql = (context.loaded.folder / unload.sql).read_text()
    chosen = unload.model_dump(include={f.name for f in fields(UnloadOptions)})
    options = UnloadOptions(**chosen | {"compression": unload.compression or ""})

    def read(uri: str) -> bytes:
        return store.read(uri.removeprefix(store.root))

    done = context.warehouse(unload.from_).unload(context.keys(step.id), batch.number, sql, store.root + folder, options, context.loaded.parameters, read)
    pointer = {"batch": batch.number, "folder": folder, "manifest": done.manifest, "rows": done.rows, "bytes": done.bytes}
    store.write(POINTER, json.dumps(pointer).encode())
    counts = Counts(read=done.rows, applied=done.rows)
    return StepRecord(step.id, "unload", "done", (batch.number,), counts, 1, done.bytes, note=f"{len(done.files)} files in {store.root}{folder}")
