"""Rows as JSON: structs and maps are objects, arrays lists, and what JSON has no value for is text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def json_rows(rows: pa.Table, *, without: Callable[[str], bool] = lambda _: False) -> Iterator[str]:
    """Each row as an object."""
    fields = list(rows.schema)
    for row in rows.to_pylist():
        yield _text({f.name: _plain(row[f.name], f.type) for f in fields if not without(f.name)})


def cells(rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Each row's values, the nested ones as JSON."""
    import pyarrow.types as is_

    nested = [f.type if is_.is_nested(f.type) else None for f in rows.schema]
    for row in rows.to_pylist():
        yield tuple(v if kind is None or v is None else _text(_plain(v, kind)) for v, kind in zip(row.values(), nested, strict=True))


def _plain(value: Any, kind: Any) -> Any:
    import pyarrow.types as types

    is_: Any = types

    if value is None or not is_.is_nested(kind):
        return value
    if is_.is_struct(kind):
        return {f.name: _plain(value[f.name], f.type) for f in kind}
    if not is_.is_map(kind):
        return [_plain(item, kind.value_type) for item in value]
    pairs = [(_plain(key, kind.key_type), _plain(item, kind.item_type)) for key, item in value]
    names = {_name(key) for key, _ in pairs}
    return {_name(key): item for key, item in pairs} if len(names) == len(pairs) and not is_.is_nested(kind.key_type) else list(map(list, pairs))


def _name(key: Any) -> str:
    return key if isinstance(key, str) else _text(key).strip('"')


def _text(value: Any) -> str:
    return json.dumps(value, default=str)
