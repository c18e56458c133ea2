"""One measured case in a process of its own: `python cases.py FOLDER GROUP CASE ROWS CHANGES` prints one line of JSON with its figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import duckdb
import fleet
import in_a_row
import peers
import pyarrow.parquet as pq
from measure import measured
from scenarios import GROUPS, Scenario
from tables import KEY, Place

from penstock.config import AwsSettings
from penstock.engines.base import Session
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.maintenance import Clustering, Maintain, plan_compaction
from penstock.tables import Change, Design

PARQUET = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
Act = Callable[[], dict[str, float] | None]


@dataclass(frozen=True)
class Bench:
    """Where a case's table and its batch lie."""

    folder: Path
    scenario: Scenario
    rows: int
    changes: int

    @property
    def batch(self) -> Path:
        return self.folder / "batch.parquet"

    def place(self, table_format: str) -> Place:
        return Place.at(self.folder / table_format, self.scenario.layout, table_format)

    def newest(self, columns: str) -> str:
        return peers.newest(self.batch, columns)


def merge(bench: Bench, table_format: str) -> Act:
    """Penstock from the pinned metadata to the commits: settle, memory, rewrite, two commits."""
    place = bench.place(table_format)
    events = pq.read_table(bench.batch)
    return partial(merge_into, place, events)


def merge_into(place: Place, events: object, number: int = 1) -> None:
    """One batch of Arrow events, by the embedded engine."""
    with EmbeddedEngine(AwsSettings()).session() as session:
        session.load("changes", events)  # type: ignore[arg-type]
        apply(session, place, number)


def apply(session: Session, place: Place, number: int) -> None:
    """What `penstock.jobs.merge` does between reading the relation `changes` and recording."""
    table, memory, spec, ledger = place.table, place.memory, place.shape.spec, {"b/s": number}
    session.execute(f"CREATE TABLE batch AS SELECT {', '.join(spec.event)} FROM changes")
    pinned, remembered = table.pin(), memory.pin()
    settled = session.settle(spec, table, pinned, memory, remembered)
    settled.counts.check("benchmark")
    reminder = session.rewrite(memory, remembered, settled.remember, settled.forget, f"memory{number}")
    if not reminder.is_empty:
        assert memory.commit(remembered, replace(reminder, ledger=ledger)).state == "done"
    change = session.rewrite(table, pinned, settled.upserts, settled.deletes, f"merge{number}")
    assert table.commit(pinned, replace(change, ledger=ledger)).state == "done"


def copy_on_write(bench: Bench, table_format: str) -> Act:
    """The same on a table whose files are rewritten, as if its readers knew neither position deletes nor deletion vectors."""
    place = bench.place(table_format)
    for table in (place.table, place.memory):
        table.redesign(table.pin(), Design())
    return partial(merge_into, place, pq.read_table(bench.batch))


def _files(bench: Bench) -> str:
    table = bench.place("iceberg").table
    return ", ".join(f"'{f.uri}'" for f in table.files(table.pin()))


def limit_on_write(bench: Bench) -> Act:
    """What any copy-on-write must do at the least: read all bytes once and write them once. No join, no commit."""
    files, connection = _files(bench), duckdb.connect()
    connection.execute("SET preserve_insertion_order = false")
    return lambda: connection.execute(f"COPY (SELECT * FROM read_parquet([{files}])) TO '{bench.folder}/limit.parquet' ({PARQUET})") and None


def limit_on_read(bench: Bench) -> Act:
    """What any merge-on-read must do at the least: read keys and stored sequences, write the new rows and the positions of the old ones. No commit."""
    files, connection = _files(bench), duckdb.connect()
    newest = bench.newest("*")

    def act() -> None:
        connection.execute(f"CREATE TABLE newest AS {newest}")
        read = f"SELECT {KEY}, __sequence_1, filename, file_row_number FROM read_parquet([{files}], filename = true, file_row_number = true)"
        connection.execute(f"CREATE TABLE old AS SELECT * FROM ({read}) SEMI JOIN newest USING ({KEY})")
        connection.execute(f"COPY (SELECT filename, file_row_number FROM old ORDER BY ALL) TO '{bench.folder}/positions.parquet' ({PARQUET})")
        connection.execute(f"COPY (SELECT * EXCLUDE (__op) FROM newest WHERE __op <> 'd') TO '{bench.folder}/limit.parquet' ({PARQUET})")

    return act


def compacted(bench: Bench, table_format: str, *, curved: bool) -> Act:
    """Penstock's compaction of all small files, to the commit; `curved`: in z-order of two columns."""
    place = bench.place(table_format)
    policy = Maintain(compact="zorder", zorder_by=("o_custkey", "o_orderdate")) if curved else Maintain()
    order = Clustering(policy.zorder_by, zorder=curved, file_bytes=policy.file_bytes)

    def act() -> None:
        pinned = place.table.pin()
        with EmbeddedEngine(AwsSettings()).session() as session:
            written = [session.compact(place.table, pinned, group, order, "bench") for group in plan_compaction(place.table.files(pinned), policy, KEY)]
        place.commit(pinned, Change("replace", [f for c in written for f in c.add], [f for c in written for f in c.remove]))

    return act


CASES: Mapping[str, Callable[[Bench], Act]] = {
    "limit-on-read": limit_on_read,
    "limit-on-write": limit_on_write,
    "limit-compacted": limit_on_write,
    **{f"{f}-on-read": partial(merge, table_format=f) for f in ("iceberg", "delta")},
    **{f"{f}-on-write": partial(copy_on_write, table_format=f) for f in ("iceberg", "delta")},
    **{f"{f}-compacted": partial(compacted, table_format=f, curved=False) for f in ("iceberg", "delta")},
    **{f"{f}-curved": partial(compacted, table_format=f, curved=True) for f in ("iceberg", "delta")},
    **{f"{f}-in-a-row": lambda b, f=f: in_a_row.merges(b.place(f), b.rows, b.changes, merge_into) for f in ("iceberg", "delta")},
    **{f"{f}-fleet": lambda b, f=f: fleet.runs(b.folder / f"fleet-{f}", f) for f in ("iceberg", "delta")},
    "delta-rs": lambda b: peers.delta_rs_merge(b.place("delta").table.location, b.batch, b.place("delta").shape),
    "delta-rs-compacted": lambda b: peers.delta_rs_compaction(b.place("delta").table.location, curved=False),
    "delta-rs-curved": lambda b: peers.delta_rs_compaction(b.place("delta").table.location, curved=True),
    "pyiceberg": lambda b: peers.pyiceberg_merge(b.place("iceberg").table, b.batch),
    **{f"sail-{f}": lambda b, f=f: peers.sail_merge(b.place(f).table, f, b.batch) for f in ("iceberg", "delta")},
    **{f"spark-{f}": lambda b, f=f: peers.spark_merge(b.place(f).table, b.folder / f, f, b.batch) for f in ("iceberg", "delta")},
}


def main() -> None:
    folder, group, case, rows, changes = sys.argv[1:]
    bench = Bench(Path(folder), GROUPS[group].scenario, int(rows), int(changes))
    figures = measured(CASES[case](bench))
    print(json.dumps(asdict(figures)), flush=True)


if __name__ == "__main__":
    main()
