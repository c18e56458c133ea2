"""`copy` into Redshift: of a lake table what is to be loaded is written out first; files are taken as they lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from penstock.batches import Batch
from penstock.changes.counts import Counts
from penstock.config import AwsSettings
from penstock.connections import S3Connection
from penstock.connectors.redshift import files
from penstock.connectors.redshift.loading import Load
from penstock.connectors.redshift.sql import Layout, StagedFile, Target, literal, manifest
from penstock.connectors.redshift.warehouse import Warehouse
from penstock.connectors.stores import open_store
from penstock.killpoints import reach
from penstock.objects import ObjectStore
from penstock.pipeline import Copy, CopyStep
from penstock.tables import DataFile, WrittenFile

from .between import Taking, as_they_lie
from .context import Context
from .reading import columns_of
from .record import StepRecord

Taken = Callable[[Context, CopyStep, Batch, Warehouse], tuple[Load, ObjectStore]]
_OF_FILES = {"merge": "upsert", "scd2": "history_of_rows", "overwrite_partitions": "replace_partitions"}


def target_table(context: Context, location: str, copy: Copy | None = None) -> Target:
    """A table of Redshift as declared, and as `copy` writes it."""
    where, declared = context.table_location(location), context.declared(location)
    layout = Layout(declared.diststyle or "", declared.distkey or "", declared.sort_by, declared.encode)
    partitions, history = tuple(p.column for p in declared.partition_fields), copy.history if copy and copy.write == "scd2" else None
    return Target(where.namespace, where.table, declared.schema_columns, declared.keys, layout, partitions, history)


def apply(context: Context, step: CopyStep, batch: Batch, taken: Taken) -> StepRecord:
    """Load one batch once; what lies on S3 for it alone goes afterwards."""
    warehouse, steps = context.warehouse(context.table_location(step.copy_.into).connection), context.keys(step.id)
    there = StepRecord(step.id, "copy", "nothing to do", note=f"batch {batch.number} is there already")
    if warehouse.applied(steps) >= batch.number:
        return there
    load, store = taken(context, step, batch, warehouse)
    store.write(_manifest(context), manifest(load.files))
    reach("before_copy")
    loaded = warehouse.load(steps, batch.number, load)
    for found in list(store.list()):
        store.delete(found.uri.removeprefix(store.root))
    if loaded is None:
        return there
    counts = Counts(read=loaded.rows + loaded.rejected, applied=loaded.rows, quarantined=loaded.rejected)
    return StepRecord(step.id, "copy", "done", (batch.number,), counts, 1, sum(f.bytes for f in load.files))


def of_table(context: Context, step: CopyStep, batch: Batch, warehouse: Warehouse) -> tuple[Load, ObjectStore]:
    """The lake's own files where these hold just what is to be loaded, else its rows written out below the lake's warehouse, by the target's columns."""
    lake = context.catalog(context.table_location(step.copy_.from_).connection)
    store, target = _own_folder(context, step, batch, lake.warehouse), target_table(context, step.copy_.into, step.copy_)
    columns = tuple(c for c in target.columns if c.name not in (target.history or ()))
    copied = warehouse.copied(context.keys(step.id))

    def load(files: Sequence[DataFile | WrittenFile], write: str) -> tuple[Load, ObjectStore]:
        staged = [StagedFile(f.uri, f.bytes, f.rows) for f in files]
        return Load(target, staged, write, store.root + _manifest(context), batch.pins[step.copy_.from_], columns), store

    if lying := as_they_lie(context, step, batch, columns, copied):
        return load(lying.files, lying.write)
    with context.engine.session() as session:
        take = Taking(context, session, step, batch, replace(target, columns=columns), copied).taken()
        written = session.export(take.relation, f"{store.root}{context.run}.parquet", warehouse.slices)
    return load(written, take.write)


def of_files(context: Context, step: CopyStep, batch: Batch, _: Warehouse) -> tuple[Load, ObjectStore]:
    """Look at a batch's files, which COPY reads where they lie. Raises as `files.examined` and `files.check_unchanged` do."""
    copy, read = step.copy_, context.pipeline.step(step.copy_.from_)
    source, state = context.store(read.read.from_), context.state.root
    check = partial(files.check_unchanged, source, batch.files)
    check()
    target, null = target_table(context, copy.into, copy), read.read.null or ""
    columns = tuple(c for c in columns_of(context, read, copy.into) if c.name not in (target.history or ()))
    region = getattr(context.pipeline.connections[read.read.from_.partition("/")[0]], "region", None)
    aws, is_of_rows = context.aws.at(region), read.read.format in ("csv", "json", "avro")
    found = files.examined(batch.files, read.read.format, columns, copy.options, null, aws)
    store = _own_folder(context, step, batch, state) if state.startswith("s3://") else _own_folder(context, step, batch, source.root, region)
    lines = partial(_lines, aws, read.read.format, copy.options.encoding) if copy.options.maxerror > 1 else None
    clauses = found.clauses + (f" REGION {literal(region)}" if region and is_of_rows else "")
    write = _OF_FILES.get(copy.write, copy.write)
    return Load(target, found.files, write, store.root + _manifest(context), None, found.columns, clauses, lines, check), store


def _lines(aws: AwsSettings, format_name: str, encoding: str, url: str, numbers: Sequence[int]) -> Mapping[int, str]:
    return {} if format_name == "avro" else files.lines(url, numbers, encoding, aws)


def _manifest(context: Context) -> str:
    return f"{context.run}.manifest"


def _own_folder(context: Context, step: CopyStep, batch: Batch, home: str, region: str | None = None) -> ObjectStore:
    """Where what one batch alone needs waits for COPY."""
    bucket, _, prefix = home.removeprefix("s3://").rstrip("/").partition("/")
    path = f"{prefix}/_penstock/staging/{context.key(step.id)}/{batch.number:08d}"
    return open_store(S3Connection(kind="s3", bucket=bucket, region=region), context.aws, context.loaded.folder, path)
