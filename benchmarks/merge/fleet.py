"""Many small tables kept by one pipeline, run as a user's run: what a batch costs besides its rows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import generate
from generate import COLUMNS

from penstock.jobs.context import Context
from penstock.jobs.run import run
from penstock.parse import load
from penstock.plan import compile_plan

TABLES, ROWS = 50, 20_000
SNAPSHOTS, TINY = 1_000, 10
_HEAD = """pipeline: fleet
connections:
  raw: {kind: files, path: landing}
  lake: {kind: catalog, catalog: sqlite, warehouse: warehouse}
"""


def _pipeline(tables: int, table_format: str) -> str:
    columns = ", ".join(f'{name}: "{kind}"' for name, kind in COLUMNS.items())
    text = f"{_HEAD}tables:\n"
    text += "".join(f"  lake.fleet.t{i}: {{format: {table_format}, columns: {{{columns}}}, keys: [o_orderkey]}}\n" for i in range(tables))
    text += "steps:\n"
    for i in range(tables):
        text += f"  - id: r{i}\n    read: {{from: raw/t{i}/, format: parquet, columns: {{{columns}, op: string, at: bigint!}}, batch: {{max_files: 1}}}}\n"
        text += f"  - id: m{i}\n    merge: {{from: r{i}, into: lake.fleet.t{i}, sequence_by: at, apply_as_deletes: \"op = 'd'\"}}\n"
    return text


def _deliver(folder: Path, tables: int, number: int, changes: int) -> None:
    """One file of changes for each table, newer than those of lesser numbers."""
    import duckdb

    source = folder / f"{number}.parquet"
    generate.changes(source, ROWS, changes, salt=number)
    first = folder / "landing" / "t0" / f"{number}.parquet"
    first.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(f"COPY (SELECT {', '.join(COLUMNS)}, __op AS op, __sequence_1 AS at FROM '{source}') TO '{first}' (FORMAT parquet)")
    for i in range(1, tables):
        other = folder / "landing" / f"t{i}" / first.name
        other.parent.mkdir(parents=True, exist_ok=True)
        other.hardlink_to(first)


def _run(folder: Path) -> float:
    """Seconds from the pipeline's file to the record of its run."""
    clock = time.perf_counter()
    loaded = load(folder)
    finished = run(loaded, compile_plan(loaded))
    if finished.error:
        raise finished.error
    return time.perf_counter() - clock


def _with_snapshots(folder: Path) -> None:
    loaded = load(folder)
    table = Context(loaded, compile_plan(loaded), "bench").catalog("lake").table("fleet", "t0")
    assert table
    from penstock.tables import Change

    pinned = table.pin()
    for _ in range(SNAPSHOTS):
        pinned = table.pin()
        assert table.commit(pinned, replace(Change("append"), ledger=dict(pinned.ledger))).state == "done"


def runs(folder: Path, table_format: str) -> Callable[[], dict[str, float]]:
    """`seconds`: 50 batches of 20,000 changes in one run. `fixed ms`: a batch of one change then, of 50 such tables, and of one with 1,000 snapshots."""
    for name, tables in (("many", TABLES), ("old", 1)):
        (folder / name).mkdir(parents=True)
        (folder / name / "pipeline.yaml").write_text(_pipeline(tables, table_format))
        _deliver(folder / name, tables, 1, ROWS)
        _run(folder / name)
    _with_snapshots(folder / "old")

    def act() -> dict[str, float]:
        _deliver(folder / "many", TABLES, 2, ROWS)
        seconds = _run(folder / "many")
        fixed = []
        for number in range(3, 6):
            _deliver(folder / "many", TABLES, number, 1)
            fixed.append(1000 * _run(folder / "many") / TABLES)
        for number in range(2, 2 + TINY):
            _deliver(folder / "old", 1, number, 1)
        return {"seconds": seconds, "fixed ms": statistics.median(fixed), "fixed ms at 1,000 snapshots": 1000 * _run(folder / "old") / TINY}

    return act
