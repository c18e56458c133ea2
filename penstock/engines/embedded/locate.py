"""Which files can hold a key, by the statistics that the format keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.schema import quote
from penstock.tables import DataFile

if TYPE_CHECKING:
    import duckdb


_COMPARED = 128


def candidates(connection: duckdb.DuckDBPyConnection, keys: str, first_key: str, type_name: str, files: Sequence[DataFile]) -> list[DataFile]:
    """The files whose range of `first_key` holds one of the keys that the query `keys` gives; a file without statistics may hold any."""
    import pyarrow as pa

    if not files:
        return []
    if len(files) <= _COMPARED:
        return _compared(connection, keys, first_key, type_name, files)
    ranges = pa.table({
        "file": pa.array(range(len(files)), pa.int32()),
        "least": pa.array([bound(f.lower.get(first_key)) for f in files], pa.string()),
        "greatest": pa.array([bound(f.upper.get(first_key)) for f in files], pa.string()),
    })  # fmt: skip
    connection.register("__ranges", ranges)
    found = connection.execute(f"""
      WITH wanted AS (SELECT DISTINCT {quote(first_key)} AS key FROM ({keys})),
        ranges AS (SELECT file, CAST(least AS {type_name}) AS least, CAST(greatest AS {type_name}) AS greatest FROM __ranges)
      SELECT file FROM ranges WHERE least IS NULL OR greatest IS NULL
      UNION ALL SELECT file FROM (SELECT * FROM ranges WHERE least IS NOT NULL) r
        ASOF JOIN wanted w ON r.least <= w.key WHERE w.key <= r.greatest""").fetchall()
    connection.unregister("__ranges")
    return [files[i] for (i,) in sorted(found)]


def _compared(connection: duckdb.DuckDBPyConnection, keys: str, first_key: str, type_name: str, files: Sequence[DataFile]) -> list[DataFile]:
    """Each key against each file, in one pass: quicker than a join while the files are few."""
    ranges = [[bound(f.lower.get(first_key)), bound(f.upper.get(first_key))] for f in files]
    known = [i for i, (least, greatest) in enumerate(ranges) if least is not None and greatest is not None]
    asked = ", ".join(f"BOOL_OR({quote(first_key)} BETWEEN CAST(? AS {type_name}) AND CAST(? AS {type_name}))" for _ in known)
    row = connection.execute(f"SELECT {asked} FROM ({keys})", [b for i in known for b in ranges[i]]).fetchone() if known else ()
    out = {i for i, holds in zip(known, row or (), strict=True) if not holds}
    return [f for i, f in enumerate(files) if i not in out]


def is_older(file: DataFile, sequence: Sequence[str], least: object) -> bool:
    """True where the statistics say, in whole numbers, that all of a file's rows come before a sequence whose first part is `least`."""
    known = [file.upper.get(sequence[0]), least, *(file.lower.get(part) for part in sequence)]
    if not all(isinstance(value, int) for value in known):
        return False
    greatest, first, *_ = known
    return bool(greatest < first)  # type: ignore[operator]


def bound(value: object) -> str | None:
    """A bound as text that casts back to the key's type; none for bytes, which do not."""
    return None if value is None or isinstance(value, bytes) else str(value)
