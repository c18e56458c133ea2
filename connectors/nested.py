"""Structs, arrays and maps of any depth as Arrow arrays: from objects and lists as JSON has them, and from Arrow arrays of other types.

A nested array is taken apart into those of its fields, which are made by the same rule again, and put together of what they became.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as is_

from penstock.schema import Column, DataType

Array: TypeAlias = Any  # pyarrow's stubs cannot say "an array whose type is known when it runs"
Convert: TypeAlias = Callable[[Column, Any], Array]

MISFIT = (ValueError, TypeError, OverflowError, KeyError)


def _is_listed(kind: pa.DataType) -> bool:
    return is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind) or is_.is_list_view(kind)


_SHAPES: dict[str, Callable[[pa.DataType], bool]] = {"struct": is_.is_struct, "array": _is_listed, "map": is_.is_map}


def of_objects(values: Sequence[Any], kind: DataType, convert: Convert, convert_names: Convert) -> Array:
    """Of Python values, None for NULL. `convert` makes the array of a field, `convert_names` that of a map's keys where they name values in an object.

    Raises ValueError for a value that is not of the type, with the field that it is in.
    """
    present = [v for v in values if v is not None]
    found = {*map(type, present)}
    lengths = [None if v is None else len(v) for v in values] if found <= {list, dict} else []
    match kind.name:
        case "struct" if found <= {dict}:
            parts = ([None if v is None else v.get(f.name) for v in values] for f in kind.fields)
            return _struct(kind, zip(kind.fields, parts, strict=True), convert, pa.array([v is None for v in values]))
        case "array" if found <= {list}:
            return _array(kind, lengths, [item for v in present for item in v], convert)
        case "map" if found <= {dict}:
            return _map(kind, lengths, [name for v in present for name in v], [item for v in present for item in v.values()], convert_names, convert)
        case "map" if found <= {list} and all(isinstance(pair, list) and len(pair) == 2 for v in present for pair in v):
            pairs = [pair for v in present for pair in v]
            return _map(kind, lengths, [key for key, _ in pairs], [item for _, item in pairs], convert, convert)
    expected = {"struct": "an object", "array": "a list", "map": "an object, or a list of pairs"}[kind.name]
    raise ValueError(f"expected {expected}, not {', '.join(sorted(t.__name__ for t in found))}")


def cast(array: Array, kind: DataType) -> Array:
    """An array as another type that `paired` finds to be like its own: fields by name, and no value changed. Raises ValueError where one would be."""
    if not kind.is_nested:
        return array.cast(kind.arrow())

    def convert(field: Column, part: Array) -> Array:
        return cast(part, field.type)

    if kind.name == "struct":
        parts = ((f, pc.struct_field(array, [array.type.get_field_index(f.name)])) for f in kind.fields)
        return _struct(kind, parts, convert, array.is_null())
    if kind.name == "map":
        entries = pa.list_(pa.struct([pa.field("key", array.type.key_type), pa.field("value", array.type.item_type)]))
        array = array.cast(entries)
    lengths, items = pc.list_value_length(array).to_pylist(), pc.list_flatten(array)
    if kind.name == "array":
        return _array(kind, lengths, items, convert)
    return _map(kind, lengths, pc.struct_field(items, [0]), pc.struct_field(items, [1]), convert, convert)


def paired(name: str, kind: DataType, found: Any) -> Iterator[tuple[str, DataType, pa.DataType | None]]:
    """What stands opposite each primitive part of a declared type, None where nothing does; a nested part is given where what is found is of no such shape."""
    if not kind.is_nested or not _SHAPES[kind.name](found):
        yield name, kind, found
        return
    match kind.name:
        case "struct":
            inside = [found.field(i).type if (i := found.get_field_index(f.name)) >= 0 else None for f in kind.fields]
        case "map":
            inside = [found.key_type, found.item_type]
        case _:
            inside = [found.value_type]
    for field, part in zip(kind.fields, inside, strict=True):
        if part is None:
            yield f"{name}.{field.name}", field.type, None
        else:
            yield from paired(f"{name}.{field.name}", field.type, part)


def _struct(kind: DataType, parts: Iterable[tuple[Column, Any]], convert: Convert, nulls: Array) -> Array:
    absent = pc.sum(nulls).as_py() or 0
    arrays = [_part(field, part, convert, absent) for field, part in parts]
    fields: Any = kind.arrow()
    return pa.StructArray.from_arrays(arrays, fields=list(fields), mask=nulls)


def _array(kind: DataType, lengths: Sequence[int | None], items: Any, convert: Convert) -> Array:
    return pa.ListArray.from_arrays(_offsets(lengths), _part(kind.fields[0], items, convert), type=kind.arrow())


def _map(kind: DataType, lengths: Sequence[int | None], keys: Any, items: Any, convert_keys: Convert, convert: Convert) -> Array:
    key, value = kind.fields
    found = _part(key, keys, convert_keys)
    named, at = found.to_pylist(), 0
    for length in lengths:
        own = list(map(str, named[at : at + (length or 0)]))
        if len(set(own)) < len(own):
            raise ValueError(f"the key {next(k for k in own if own.count(k) > 1)} stands twice")
        at += length or 0
    as_type: Any = kind.arrow()
    return pa.MapArray.from_arrays(_offsets(lengths), found, _part(value, items, convert), type=as_type)


def _offsets(lengths: Sequence[int | None]) -> Array:
    """Where each list begins, and the end of the last; a list that is NULL has no beginning."""
    ends = accumulate((length or 0 for length in lengths), initial=0)
    return pa.array([end if length is not None else None for end, length in zip(ends, [*lengths, 0], strict=True)], pa.int32())


def _part(field: Column, part: Any, convert: Convert, absent: int = 0) -> Array:
    """A field's array; `absent` of its NULLs stand where nothing has the field."""
    try:
        found = convert(field, part)
    except MISFIT as error:
        raise ValueError(f"in {field.name!r}: {error}") from error
    if field.required and found.null_count > absent:
        raise ValueError(f"{field.name!r} is {field.type}! and may not be NULL")
    return found
