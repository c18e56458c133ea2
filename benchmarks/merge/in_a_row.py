"""Many merges of one table, one after another, beside the first ones on a table as it was, and what reading it costs then."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import generate
import pyarrow.parquet as pq
from tables import Place

from penstock.changes.facts import memory_columns
from penstock.config import AwsSettings
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.schema import BIGINT, names, sequence_columns
from penstock.tables import Design, LakeTable

MERGES, EACH = 200, 10


def merges(place: Place, rows: int, changes: int, merge: Callable[[Place, object, int], None]) -> Callable[[], dict[str, float]]:
    """200 batches. `seconds` is the median of the last ten; that and the slowest of all stand beside the first ten batches, done once more among the last ten
    on a table as it was: over minutes a machine's own speed changes."""
    unchanged = _copy(place, "unchanged")

    def act() -> dict[str, float]:
        taken, first = [], []
        with TemporaryDirectory() as folder:

            def timed(on: Place, number: int) -> float:
                file = Path(folder) / "batch.parquet"
                generate.changes(file, rows, changes, salt=number)
                events = pq.read_table(file)
                clock = time.perf_counter()
                merge(on, events, number)
                return time.perf_counter() - clock

            for number in range(1, MERGES + 1):
                taken.append(timed(place, number))
                if number > MERGES - EACH:
                    first.append(timed(unchanged, number - MERGES + EACH))
        last, beside = statistics.median(taken[-EACH:]), statistics.median(first)
        read = _read(place.table) / _read(_copy(place, "fresh").table)
        return {"seconds": last, "last / first": last / beside, "slowest / first": max(taken[-EACH:]) / beside, "read / fresh": read}

    return act


def _copy(place: Place, name: str) -> Place:
    """The same rows in a table that was loaded at once, with a memory of its own."""
    table_format = "iceberg" if place.table.layout(place.table.pin()).field_ids else "delta"
    design, shape = Design(position_deletes=True), place.shape
    known = (*shape.columns, *sequence_columns([BIGINT]))
    table = place.catalog.create("bench", name, table_format, shape.columns, design=design)
    memory = place.catalog.create("bench", f"{name}__memory", table_format, memory_columns(shape.spec, known), design=design)
    pinned = table.pin()
    with EmbeddedEngine(AwsSettings()).session() as session:
        session.scan("held", place.table, place.table.pin())
        session.execute(f"CREATE TABLE ordered AS FROM held ORDER BY {shape.spec.keys[0]}")
        assert table.commit(pinned, session.append(table, pinned, "ordered", name)).state == "done"
    return Place(table, memory, shape, place.catalog)


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
