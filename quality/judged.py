"""Rows as Great Expectations takes them, wherever they are: decimals as doubles, whatever is a point in time as an instant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from penstock.schema import backquote

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class JudgedRows:
    """`data` gives them as the kind of data source takes them, and `said` a point in time as it is compared with the columns `instants` there."""

    kind: Literal["pandas", "spark"]
    count: int
    columns: tuple[str, ...]
    instants: frozenset[str]
    data: Callable[[], Any]
    said: Callable[[datetime], datetime]


def judged_rows(rows: Any) -> JudgedRows:
    """Of what a session's `frame` gives: an Arrow table is judged in this process, a DataFrame of Spark on Spark."""
    import pyarrow as pa

    if isinstance(rows, pa.Table):
        instants = frozenset(f.name for f in rows.schema if pa.types.is_timestamp(f.type) or pa.types.is_date(f.type))
        return JudgedRows("pandas", rows.num_rows, tuple(rows.column_names), instants, lambda: _as_pandas(rows), _in_utc)
    kinds = dict(rows.dtypes)
    instants = frozenset(c for c, kind in kinds.items() if kind in ("date", "timestamp", "timestamp_ntz"))
    casts = dict.fromkeys(instants, "TIMESTAMP") | {c: "DOUBLE" for c, kind in kinds.items() if kind.startswith("decimal(")}
    frame = rows.selectExpr(*(f"CAST({backquote(c)} AS {casts[c]}) AS {backquote(c)}" if c in casts else backquote(c) for c in rows.columns))
    return JudgedRows("spark", rows.count(), tuple(rows.columns), instants, lambda: frame, _in_local_time)


def _as_pandas(rows: pa.Table) -> pd.DataFrame:
    import pyarrow as pa

    def judged(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_decimal(kind):
            return pa.float64()  # as objects they cost minutes
        return pa.timestamp("us", "UTC") if pa.types.is_timestamp(kind) or pa.types.is_date(kind) else kind

    return rows.cast(pa.schema([pa.field(f.name, judged(f.type)) for f in rows.schema])).to_pandas()


def _in_utc(at: datetime) -> datetime:
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _in_local_time(at: datetime) -> datetime:
    """pyspark's instants have no zone, and are in that of the process."""
    return _in_utc(at).astimezone().replace(tzinfo=None)
