"""What Delta's log says of a new file, from its footer: rows, and per column least, greatest and NULLs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from penstock.config import AwsSettings
from penstock.connectors.stores import filesystem
from penstock.schema import Columns
from penstock.tables import WrittenFile
from penstock.threads import each

if TYPE_CHECKING:
    import pyarrow.fs as fs
    import pyarrow.parquet as pq

_COUNTED_ONLY = frozenset({"binary", "boolean"})
_MILLISECOND = timedelta(microseconds=999)


def bounds(row: Mapping[str, Any], partition: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Least and greatest value by column, of one row of delta-rs's add actions; partition columns are their own bounds, nested ones have none.

    Other writers cut instants to milliseconds, so the greatest instant is taken to the end of its millisecond.
    """
    known = {name: value for name, value in partition.items() if value is not None}
    lower, upper = ({k: v for k, v in (row.get(side) or {}).items() if v is not None and not isinstance(v, dict)} for side in ("min", "max"))
    widened = {k: v.replace(microsecond=v.microsecond // 1000 * 1000) + _MILLISECOND if isinstance(v, datetime) else v for k, v in upper.items()}
    return {**lower, **known}, {**widened, **known}


@dataclass(frozen=True)
class Footers:
    """What Delta's log says of the files of one table, by their footers."""

    location: str
    columns: Columns
    aws: AwsSettings

    @cached_property
    def _system(self) -> fs.FileSystem:
        return filesystem(self.location, self.aws)[0]

    def measure(self, uri: str) -> str:
        """A file's statistics as Delta's JSON."""
        import msgspec
        import pyarrow.parquet as pq

        with self._system.open_input_file(_path(uri)) as stream:
            return msgspec.json.Encoder(decimal_format="number").encode(statistics(pq.read_metadata(stream), self.columns)).decode()

    def described(self, files: Sequence[WrittenFile]) -> list[tuple[WrittenFile, int, str]]:
        """Each file with its size in bytes and its statistics. Raises FileNotFoundError for one that is gone."""

        def describe(file: WrittenFile) -> tuple[WrittenFile, int, str]:
            info = self._system.get_file_info(_path(file.uri))
            if not info.is_file:
                raise FileNotFoundError(file.uri)
            return file, info.size, str(file.statistics or self.measure(file.uri))

        return each(describe, files)


def _path(uri: str) -> str:
    return uri.removeprefix("s3://")


def statistics(footer: pq.FileMetaData, columns: Columns) -> dict[str, Any]:
    """`numRecords`, `minValues`, `maxValues`, `nullCount`; a column without whole statistics is left out, and one that is nested."""
    kinds = {c.name: c.type.name for c in columns}
    found: dict[str, Any] = {"numRecords": footer.num_rows, "minValues": {}, "maxValues": {}, "nullCount": {}}
    for i in range(footer.num_columns):
        name = footer.schema.column(i).path
        parts: list[Any] = [footer.row_group(g).column(i).statistics for g in range(footer.num_row_groups)]
        if name not in kinds or footer.schema.column(i).name != name or any(p is None for p in parts):
            continue
        if all(p.has_null_count for p in parts):
            found["nullCount"][name] = sum(p.null_count for p in parts)
        bounded = [p for p in parts if p.has_min_max]
        if kinds[name] in _COUNTED_ONLY or not bounded or any(not p.has_min_max and p.num_values for p in parts):
            continue
        least, greatest = min(p.min for p in bounded), max(p.max for p in bounded)
        if not any(isinstance(v, float) and not math.isfinite(v) for v in (least, greatest)):
            found["minValues"][name], found["maxValues"][name] = _spelt(least), _spelt(greatest)
    return found


def _spelt(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value
