"""Columns that a table gets: of them the events that wait in its memory for a row say nothing, while a row that stands has NULL in them."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.schema import literal
from penstock.sources import OP, UNAVAILABLE

from .facts import SEPARATOR, MergeSpec, listed

PARTIAL = f"{OP} = 'u' AND {UNAVAILABLE} IS NOT NULL"


def standing(spec: MergeSpec, table: str) -> str:
    """Keys and intervals of a table's rows, by names that an event has not."""
    return f"SELECT {listed('{0} AS __key_{i}', spec.keys)}{listed(', {0}', (*spec.start, *spec.end), '') if spec.history else ''} FROM {table}"


def waits(spec: MergeSpec) -> str:
    """A condition on the memory's rows: partial events at whose time no row of `standing` stands."""
    at, start, end = (f"ROW({listed(form, part)})" for form, part in (("{0}", spec.sequence), ("s.{0}", spec.start), ("s.{0}", spec.end)))
    # not `at < end`: sqlglot takes ROW(…) < for a type
    within = f" AND {start} <= {at} AND (s.{spec.end[0]} IS NULL OR {end} > {at})" if spec.history else ""
    return f"{PARTIAL} AND NOT EXISTS (SELECT 1 FROM standing s WHERE {listed('s.__key_{i} = {0}', spec.keys, ' AND ')}{within})"


def leaving_out(columns: Iterable[str]) -> dict[str, str]:
    """What makes a partial event one that leaves out further columns."""
    return {UNAVAILABLE: f"{UNAVAILABLE} || {literal(SEPARATOR.join(columns) + SEPARATOR)}"}
