"""Stores that order writers must compare before they write; whether one does is tried out when a run begins."""

from __future__ import annotations

from collections.abc import Iterator
from secrets import token_hex

from penstock.connections import CatalogConnection, S3Connection
from penstock.connectors.stores import open_store
from penstock.errors import NotSupportedError
from penstock.objects import ObjectStore
from penstock.tables import table_format

from .context import Context


def check_stores(context: Context) -> None:
    """Raises NotSupportedError for a state store, or a warehouse whose tables are ordered by their store alone, that overwrites unasked."""
    check_compares(context.state)
    for store in _ordering_warehouses(context):
        check_compares(store)


def check_compares(store: ObjectStore) -> None:
    """Raises NotSupportedError when the store ignores the conditions (If-None-Match, If-Match) of a put."""
    key = f".penstock-probe-{token_hex(6)}"
    store.write(key, b"")
    try:
        ignored = [name for name, done in (("If-None-Match", store.create(key, b"")), ("If-Match", store.replace(key, b"", if_match="0" * 32))) if done]
    finally:
        store.delete(key)
    if ignored:
        hint = "two writers would overwrite each other's commits there: use Amazon S3, or a store that honours the conditions of a PutObject"
        raise NotSupportedError(f"{store.root}, a store that ignores {' and '.join(ignored)},", hint=hint)


def _ordering_warehouses(context: Context) -> Iterator[ObjectStore]:
    found = {context.table_location(name).connection for name, t in context.pipeline.tables.items() if t.format and table_format(t.format).is_ordered_by_store}
    for name in sorted(found):
        connection = context.pipeline.connections[name]
        if isinstance(connection, CatalogConnection) and connection.warehouse.startswith("s3://"):
            bucket, _, prefix = connection.warehouse.removeprefix("s3://").partition("/")
            yield open_store(S3Connection(kind="s3", bucket=bucket), context.aws, context.loaded.folder, prefix)
