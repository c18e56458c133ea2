"""`copy`: rows, unchanged, into a lake table (from a read step) or into Redshift (from a lake table, by COPY)."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.batches import Batch
from penstock.changes.counts import Counts
from penstock.connections import S3Connection
from penstock.connectors.redshift.sql import Layout, StagedFile, Target, manifest
from penstock.connectors.stores import open_store
from penstock.killpoints import reach
from penstock.objects import ObjectStore
from penstock.pipeline import CopyStep

from .between import Taking
from .context import Context
from .pins import cut_reads
from .reading import files_of
from .record import StepRecord
from .rows import Writing, publish_rows


def reads_files(context: Context, step: CopyStep) -> bool:
    return any(s.id == step.copy_.from_ for s in context.pipeline.steps)


def cut(context: Context, step: CopyStep) -> Sequence[Batch]:
    """A batch when the copied table has a new snapshot."""
    return cut_reads(context, step.id, [step.copy_.from_], {})


def apply(context: Context, step: CopyStep, batch: Batch) -> StepRecord:
    """Apply one batch once."""
    copy = step.copy_
    if reads_files(context, step):
        writing = Writing(step.id, "copy", copy.into, copy.write, step.gate, copy.window)
        return publish_rows(context, writing, batch, lambda _: files_of(context, copy.from_, copy.into, batch))
    return _load(context, step, batch)


def target_table(context: Context, location: str) -> Target:
    where, declared = context.table_location(location), context.declared(location)
    layout = Layout(declared.diststyle or "", declared.distkey or "", declared.sort_by, declared.encode)
    return Target(where.namespace, where.table, declared.schema_columns, declared.keys, layout, tuple(p.column for p in declared.partition_fields))


def _staging(context: Context, step: CopyStep, batch: Batch) -> ObjectStore:
    """Where the rows of one batch wait for COPY: below the lake's warehouse, in a folder of the batch's own."""
    lake = context.catalog(context.table_location(step.copy_.from_).connection)
    bucket, _, prefix = lake.warehouse.removeprefix("s3://").partition("/")
    path = f"{prefix}/_penstock/staging/{context.key(step.id)}/{batch.number:08d}"
    return open_store(S3Connection(kind="s3", bucket=bucket), context.aws, context.loaded.folder, path)


def _load(context: Context, step: CopyStep, batch: Batch) -> StepRecord:
    """Write the rows that are to be loaded out, as the target's columns in the target's order, and COPY them."""
    warehouse = context.warehouse(context.table_location(step.copy_.into).connection)
    steps = context.keys(step.id)
    if warehouse.applied(steps) >= batch.number:
        return StepRecord(step.id, "copy", "nothing to do", note=f"batch {batch.number} is there already")
    target, store = target_table(context, step.copy_.into), _staging(context, step, batch)
    with context.engine.session() as session:
        take = Taking(context, session, step, batch, target, warehouse.copied(steps)).taken()
        written = session.export(take.relation, f"{store.root}{context.run}.parquet")
    files = [StagedFile(f.uri, f.bytes, f.rows) for f in written]
    key = f"{context.run}.manifest"
    store.write(key, manifest(files))
    reach("before_copy")
    warehouse.load(steps, batch.number, target, files, take.write, store.root + key, batch.pins[step.copy_.from_])
    for found in list(store.list()):
        store.delete(found.uri.removeprefix(store.root))
    rows = sum(f.rows for f in files)
    return StepRecord(step.id, "copy", "done", (batch.number,), Counts(read=rows, applied=rows), 1, sum(f.bytes for f in files))
