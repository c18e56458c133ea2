"""Many merges of one table, one after another, and what reading it costs then."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import generate
import pyarrow.parquet as pq
from tables import Place

from penstock.config import AwsSettings
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.schema import names
from penstock.tables import LakeTable

MERGES, EACH = 200, 10


def merges(place: Place, rows: int, changes: int, merge: Callable[[Place, object, int], None]) -> Callable[[], dict[str, float]]:
    """200 batches; `seconds` is the median of the last ten, `last`/`slowest` that and the slowest of all beside the median of the first ten."""

    def act() -> dict[str, float]:
        taken = []
        with TemporaryDirectory() as folder:
            for number in range(1, MERGES + 1):
                file = Path(folder) / "batch.parquet"
                generate.changes(file, rows, changes, salt=number)
                events = pq.read_table(file)
                clock = time.perf_counter()
                merge(place, events, number)
                taken.append(time.perf_counter() - clock)
        first, last = statistics.median(taken[:EACH]), statistics.median(taken[-EACH:])
        read = _read(place.table) / _read(_fresh(place))
        return {
            "seconds": last,
            "last / first": last / first,
            "mean / first": statistics.mean(taken) / first,
            "slowest / first": max(taken) / first,
            "read / fresh": read,
        }

    return act


def _fresh(place: Place) -> LakeTable:
    """The same rows in a table that was loaded at once."""
    other = place.catalog.create("bench", "fresh", "iceberg" if place.table.layout(place.table.pin()).field_ids else "delta", place.shape.columns)
    pinned = other.pin()
    with EmbeddedEngine(AwsSettings()).session() as session:
        session.scan("held", place.table, place.table.pin())
        session.execute(f"CREATE TABLE ordered AS FROM held ORDER BY {place.shape.spec.keys[0]}")
        assert other.commit(pinned, session.append(other, pinned, "ordered", "fresh")).state == "done"
    return other


def _read(table: LakeTable) -> float:
    """Seconds to read every value, from the pinned metadata on: the least of three."""
    taken = []
    for _ in range(3):
        clock = time.perf_counter()
        with EmbeddedEngine(AwsSettings()).session() as session:
            pinned = table.pin()
            session.scan("read", table, pinned)
            session.query(f"SELECT SUM(HASH({', '.join(names(pinned.columns))})) AS all_values FROM read")
        taken.append(time.perf_counter() - clock)
    return min(taken)
