"""Which files can hold a key, by the statistics that the format keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from penstock.engines.slots import bound
from penstock.schema import quote
from penstock.tables import DataFile

if TYPE_CHECKING:
    import duckdb


_COMPARED, _SAMPLE = 128, 2048
Ranges = Mapping[int, tuple[str, str]]


def candidates(connection: duckdb.DuckDBPyConnection, keys: str, first_key: str, type_name: str, files: Sequence[DataFile]) -> list[DataFile]:
    """The files whose range of `first_key` holds one of the keys that the query `keys` gives; a file without statistics may hold any."""
    bounds = {i: (bound(f.lower.get(first_key)), bound(f.upper.get(first_key))) for i, f in enumerate(files)}
    ranges = {i: (least, greatest) for i, (least, greatest) in bounds.items() if least is not None and greatest is not None}
    held, left = set(bounds) - set(ranges), ranges
    if len(left) <= _COMPARED:  # some keys tell most of the files that hold any; only the rest must be asked for all
        held |= _compared(connection, f"SELECT * FROM ({keys}) LIMIT {_SAMPLE}", first_key, type_name, left)
        left = {i: r for i, r in ranges.items() if i not in held}
    held |= (_compared if len(left) <= _COMPARED else _joined)(connection, keys, first_key, type_name, left)
    return [files[i] for i in sorted(held)]


def _compared(connection: duckdb.DuckDBPyConnection, keys: str, first_key: str, type_name: str, ranges: Ranges) -> set[int]:
    """Each key against each range, in one pass: quicker than a join while they are few."""
    if not ranges:
        return set()
    asked = ", ".join(f"BOOL_OR({quote(first_key)} BETWEEN CAST(? AS {type_name}) AND CAST(? AS {type_name}))" for _ in ranges)
    row = connection.execute(f"SELECT {asked} FROM ({keys})", [b for r in ranges.values() for b in r]).fetchone() or ()
    return {i for i, holds in zip(ranges, row, strict=True) if holds}


def _joined(connection: duckdb.DuckDBPyConnection, keys: str, first_key: str, type_name: str, ranges: Ranges) -> set[int]:
    import pyarrow as pa

    numbers, (least, greatest) = list(ranges), zip(*ranges.values(), strict=True)
    connection.register("__ranges", pa.table({"file": pa.array(numbers, pa.int32()), "least": pa.array(least), "greatest": pa.array(greatest)}))
    found = connection.execute(f"""
      WITH wanted AS (SELECT DISTINCT {quote(first_key)} AS key FROM ({keys})),
        ranges AS (SELECT file, CAST(least AS {type_name}) AS least, CAST(greatest AS {type_name}) AS greatest FROM __ranges)
      SELECT file FROM ranges r ASOF JOIN wanted w ON r.least <= w.key WHERE w.key <= r.greatest""").fetchall()
    connection.unregister("__ranges")
    return {i for (i,) in found}


def is_older(file: DataFile, sequence: Sequence[str], least: object) -> bool:
    """True where the statistics say, in whole numbers, that all of a file's rows come before a sequence whose first part is `least`."""
    known = [file.upper.get(sequence[0]), least, *(file.lower.get(part) for part in sequence)]
    if not all(isinstance(value, int) for value in known):
        return False
    greatest, first, *_ = known
    return bool(greatest < first)  # type: ignore[operator]
