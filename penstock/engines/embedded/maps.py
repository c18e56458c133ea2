"""Maps in the order of their keys: DuckDB compares them as the lists that they are stored as, so a session holds none that is ordered otherwise."""

from __future__ import annotations

from typing import Any

from penstock.schema import quote


def has_map(kind: Any) -> bool:
    """Of an Arrow type, at any depth."""
    import pyarrow.types as is_

    return is_.is_map(kind) or any(has_map(kind.field(i).type) for i in range(kind.num_fields))


def ordered(expression: str, kind: Any, depth: int = 0) -> str:
    """SQL for a value of an Arrow type with every map in it in order."""
    import pyarrow.types as is_

    if not has_map(kind):
        return expression
    item = f"__item_{depth}"
    if is_.is_struct(kind):
        fields = ", ".join(f"{quote(f.name)} := {ordered(f'({expression}).{quote(f.name)}', f.type, depth)}" for f in kind)
        return f"CASE WHEN {expression} IS NOT NULL THEN struct_pack({fields}) END"
    if not is_.is_map(kind):
        return f"list_transform({expression}, lambda {item}: {ordered(item, kind.value_type, depth + 1)})"
    value = ordered(f"{item}.value", kind.item_type, depth + 1)
    entries = f"list_transform(map_entries({expression}), lambda {item}: struct_pack(key := {item}.key, value := {value}))"
    return f"map_from_entries(list_sort({entries}))"


def replacing(kinds: dict[str, Any]) -> str:
    """What follows `SELECT *` so that columns, given with their Arrow types, have their maps in order; nothing where there is no map."""
    mapped = [f"{ordered(quote(name), kind)} AS {quote(name)}" for name, kind in kinds.items() if has_map(kind)]
    return f" REPLACE ({', '.join(mapped)})" if mapped else ""
