"""The place of rows on a z-order curve, which keeps rows together that are near each other in every one of some columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.schema import literal, quote
from penstock.tables import DataFile

from .base import Session

SAMPLED, SAMPLE_ROWS = "sampled", 20_000
_SAMPLE_FILES = 64
_BITS = 6


def sample_of(files: Sequence[DataFile]) -> Sequence[DataFile]:
    """Some of the files, evenly: rows of these are enough for the relation SAMPLED."""
    return files[:: -(-len(files) // _SAMPLE_FILES)]


def place_on_curve(session: Session, columns: Sequence[str], types: Mapping[str, str]) -> str:
    """An expression for the place of a row; the relation SAMPLED, of some rows, says how the columns' values are spread."""
    codes = []
    for i, column in enumerate(columns):
        text, value = ("hex({0})", "unhex({0})") if types[column] == "BLOB" else ("CAST({0} AS VARCHAR)", f"CAST({{0}} AS {types[column]})")
        cuts = [value.format(literal(cut)) for cut in _cuts(session, quote(column), text.format(quote(column)))]
        codes.append(_code(quote(column), cuts, [_spread(n * (2**_BITS - 1) // max(1, len(cuts)), i, len(columns)) for n in range(len(cuts) + 1)]))
    return " + ".join(codes)


def _cuts(session: Session, column: str, text: str) -> list[str]:
    """The values that divide the sampled ones into equal parts, as text: fewer where many rows have the same value."""
    values = session.query(f"SELECT {text} AS __cut FROM {SAMPLED} WHERE {column} IS NOT NULL ORDER BY {column}")["__cut"].to_pylist()
    return list(dict.fromkeys(values[len(values) * n // 2**_BITS] for n in range(1, 2**_BITS))) if values else []


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
