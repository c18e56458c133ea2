"""Which files can hold a key, by the statistics that the format keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.schema import quote
from penstock.tables import DataFile

if TYPE_CHECKING:
    import duckdb


def candidates(connection: duckdb.DuckDBPyConnection, keys: str, first_key: str, type_name: str, files: Sequence[DataFile]) -> list[DataFile]:
    """The files whose range of `first_key` holds one of the keys that the query `keys` gives; a file without statistics may hold any."""
    import pyarrow as pa

    if not files:
        return []
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
      UNION SELECT DISTINCT file FROM ranges JOIN wanted ON key >= least AND key <= greatest""").fetchall()
    connection.unregister("__ranges")
    return [files[i] for (i,) in sorted(found)]


def bound(value: object) -> str | None:
    """A bound as text that casts back to the key's type; none for bytes, which do not."""
    return None if value is None or isinstance(value, bytes) else str(value)
