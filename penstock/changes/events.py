"""Events as a source has them, in the form that the rules take."""

from __future__ import annotations

from penstock.schema import literal, quote
from penstock.sources import OP, UNAVAILABLE

from .facts import SEPARATOR, MergeSpec, listed, unavailable


def prepared(spec: MergeSpec, events: str) -> str:
    """The `batch` that the rules take, of a relation of events."""
    if spec.optional:
        events = f"({without_nulls(spec, events)})"
    if spec.soft_delete:
        events = f"({soft_deletes(spec, events)})"
    return f"SELECT {listed('{0}', spec.event)} FROM {events} prepared"


def without_nulls(spec: MergeSpec, events: str) -> str:
    """`ignore_null_updates`: a NULL in an optional column is no value; the row keeps what it had."""
    missing = ", ".join(f"CASE WHEN {quote(c)} IS NULL THEN {literal(SEPARATOR + c)} ELSE '' END" for c in spec.data if c in spec.optional)
    left_out = f"NULLIF(CONCAT({missing}, {literal(SEPARATOR)}), {literal(SEPARATOR)})"
    return _replaced(spec, events, {UNAVAILABLE: f"CASE WHEN {OP} IN ('d', 't') THEN NULL ELSE {left_out} END"})


def soft_deletes(spec: MergeSpec, events: str) -> str:
    """`soft_delete`: a delete is an update of the marking column alone, an upsert sets it back."""
    others = unavailable(c for c in spec.data if c != spec.soft_delete)
    marked = {
        OP: f"CASE WHEN {OP} = 'd' THEN 'u' ELSE {OP} END",
        str(spec.soft_delete): f"{OP} = 'd'",
        UNAVAILABLE: f"CASE WHEN {OP} = 'd' THEN {literal(others) if others else 'NULL'} ELSE {UNAVAILABLE} END",
    }
    return _replaced(spec, events, marked)


def _replaced(spec: MergeSpec, events: str, by: dict[str, str]) -> str:
    columns = (c for c in spec.event if c in by or c != spec.soft_delete)
    return f"SELECT {', '.join(f'{by[c]} AS {quote(c)}' if c in by else quote(c) for c in columns)} FROM {events} said"
