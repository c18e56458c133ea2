"""The order of rows in new files: sorted, or along a z-order curve, which keeps rows together that are near each other in every one of some columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.maintenance import Group
from penstock.schema import literal, quote
from penstock.tables import LakeTable, Pinned

from .files import source
from .positions import Positions

if TYPE_CHECKING:
    import duckdb

_BITS = 6
_SAMPLE_FILES, _SAMPLE_ROWS = 64, 20_000


def ordering(
    connection: duckdb.DuckDBPyConnection, positions: Positions, table: LakeTable, pinned: Pinned, group: Group, columns: Sequence[str], *, curve: bool
) -> list[str]:
    """The expressions to order by: the columns, or with `curve` the place that they have on a z-order curve."""
    listed = [quote(c) for c in columns]
    if not curve or len(columns) < 2:
        return listed
    types = {c.name: c.type.duckdb for c in pinned.columns}
    codes = []
    for i, (column, cuts) in enumerate(zip(columns, _cuts(connection, positions, table, pinned, group, columns), strict=True)):
        typed = [f"CAST({literal(cut)} AS {types[column]})" for cut in cuts]
        codes.append(_code(quote(column), typed, [_spread(n * (2**_BITS - 1) // max(1, len(cuts)), i, len(columns)) for n in range(len(cuts) + 1)]))
    return [" + ".join(codes)]


def _cuts(
    connection: duckdb.DuckDBPyConnection, positions: Positions, table: LakeTable, pinned: Pinned, group: Group, columns: Sequence[str]
) -> list[list[str]]:
    """For each column the values that divide a sample of its rows into equal parts, as text: fewer where many rows have the same value."""
    files = group.files[:: -(-len(group.files) // _SAMPLE_FILES)]
    parts = [i / 2**_BITS for i in range(1, 2**_BITS)]
    asked = ", ".join(f"CAST(list_sort(list_distinct(quantile_disc({quote(c)}, {parts}))) AS VARCHAR[])" for c in columns)
    rows = f"SELECT * FROM ({source(positions, table, pinned, files, columns)}) USING SAMPLE reservoir({_SAMPLE_ROWS} ROWS) REPEATABLE (1)"
    return [found or [] for found in connection.execute(f"SELECT {asked} FROM ({rows})").fetchone() or ()]


def _code(column: str, cuts: Sequence[str], codes: Sequence[int]) -> str:
    """`codes[n]` where n of the cuts are not above the value, found by halving; NULL is as the least value."""
    if not cuts:
        return str(codes[0])
    half = len(cuts) // 2
    above, below = _code(column, cuts[half + 1 :], codes[half + 1 :]), _code(column, cuts[:half], codes[: half + 1])
    return f"CASE WHEN {column} >= {cuts[half]} THEN {above} ELSE {below} END"


def _spread(number: int, place: int, columns: int) -> int:
    """A number's bits, each with room for those of the other columns."""
    return sum((number >> bit & 1) << bit * columns + place for bit in range(_BITS))
