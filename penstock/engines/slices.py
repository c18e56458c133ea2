"""Into how many files rows go that a cluster loads by so many slices at once."""

from __future__ import annotations

_LEAST_ROWS, _MOST_ROWS = 25_000, 2_000_000


def files_for(rows: int, slices: int) -> int:
    """A multiple of the slices, so that each has as much to do; one for rows so few that a file for each slice is not worth the while."""
    return slices * max(1, -(-rows // (slices * _MOST_ROWS))) if rows >= slices * _LEAST_ROWS else 1
