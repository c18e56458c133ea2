"""What grows with a table's files and with a batch's changes: the slopes that docs/explanation/scale.md reckons with."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "merge"))

import generate
import psutil
from merge import Ours, started
from tables import Place, fill

from penstock.tables import Change, WrittenFile

FORMATS = ("iceberg", "delta")


def many_files(folder: Path, table_format: str, orders: Path, count: int) -> dict[str, float]:
    """A table of so many files, all of them one: its commit, its metadata, and what a process needs to list them."""
    fill(folder / table_format, "flat", table_format, orders)
    place, files = Place.at(folder / table_format, "flat", table_format), []
    pinned = place.table.pin()
    (first,) = place.table.files(pinned)
    for _ in range(count):
        uri = Path(place.table.new_file((), "bench"))
        uri.parent.mkdir(parents=True, exist_ok=True)
        uri.hardlink_to(first.uri)
        files.append(WrittenFile(str(uri), (), first.bytes, first.rows))
    start = time.perf_counter()
    place.commit(pinned, Change("append", files))
    committed = time.perf_counter() - start
    metadata = sum(f.stat().st_size for f in (folder / table_format).rglob("*") if f.suffix in (".avro", ".json") or f.name.endswith("checkpoint.parquet"))
    command = [sys.executable, __file__, "--list", table_format, str(folder)]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {"commit_s": committed, "metadata_mb": metadata / 1e6, **listed}


def listing(folder: Path, table_format: str) -> dict[str, float]:
    table = Place.at(folder / table_format, "flat", table_format).table
    before, start = psutil.Process().memory_info().rss, time.perf_counter()
    files = table.files(table.pin())
    return {"list_s": time.perf_counter() - start, "list_mb": (psutil.Process().memory_info().rss - before) / 1e6, "files": len(files)}


def of_tasks(log: Path) -> dict[str, float]:
    """Megabytes of all tasks that Spark's event log tells of."""
    read = shuffled = spilled = 0
    for file in (f for f in log.rglob("*") if f.is_file()):
        for line in file.read_text(errors="replace").splitlines():
            metrics = json.loads(line).get("Task Metrics") if '"SparkListenerTaskEnd"' in line else None
            if metrics:
                read += metrics["Input Metrics"]["Bytes Read"]
                shuffled += metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"]
                spilled += metrics["Disk Bytes Spilled"]
    return {"read_mb": read / 1e6, "shuffled_mb": shuffled / 1e6, "spilled_mb": spilled / 1e6}


def merged(spark: Any, folder: Path, table_format: str, least_mb: int) -> dict[str, float]:
    """One batch; `least_mb` as `spark_from_mb`. What the driver's Python grew by at the most, Spark's own part of the driver not counted."""
    place, batch = Place.at(folder, "flat", table_format), folder / "batch.parquet"
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: that of whoever started this process counts into it
    before = _peak_mb()
    Ours(spark, place, least_mb).merge(batch)
    return {"batch_mb": batch.stat().st_size / 1e6, "driver_mb": _peak_mb() - before}


def _peak_mb() -> float:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1e3


def show(title: str, found: list[dict[str, float]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(found[0])} |\n| {' | '.join('---:' for _ in found[0])} |")
    print("\n".join(f"| {' | '.join(f'{v:,.2f}' if isinstance(v, float) else f'{v:,}' for v in line.values())} |" for line in found))


def merge_in_a_process(base: Path, table_format: str, rows: int, changes: int, least_mb: int) -> dict[str, float]:
    """A session of its own, for its event log."""
    log = base / f"events-{table_format}-{rows}-{changes}-{least_mb}"
    log.mkdir()
    folder = base / f"{table_format}-{rows}-{changes}-{least_mb}"
    fill(folder, "flat", table_format, base / f"orders-{rows}.parquet")
    generate.changes(folder / "batch.parquet", rows, changes)
    command = [sys.executable, __file__, "--merge", table_format, str(base), str(rows), str(changes), str(least_mb), str(log)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    return {"rows": rows, "changes": changes, **found, **of_tasks(log)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", nargs="*", type=int, default=[1_000, 4_000, 16_000])
    parser.add_argument("--rows", nargs="+", type=int, default=[1_000_000, 4_000_000])
    parser.add_argument("--changes", nargs="+", type=int, default=[100_000, 400_000])
    parser.add_argument("--list", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument(
        "--from-mb", nargs="+", type=int, default=[0, 40], help="`spark_from_mb`: with 0 a batch is Spark's, with more than its size the driver's"
    )
    parser.add_argument("--merge", nargs=6, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.list:
        print(json.dumps(listing(Path(said.list[1]), said.list[0])))
        return
    if said.merge:
        table_format, base, rows, changes, least, log = said.merge
        spark = started(Path(base) / "spark", {"spark.eventLog.enabled": "true", "spark.eventLog.dir": f"file://{log}", "spark.eventLog.compress": "false"})
        found = merged(spark, Path(base) / f"{table_format}-{rows}-{changes}-{least}", table_format, int(least))
        spark.stop()
        print(json.dumps(found))
        return
    with TemporaryDirectory(prefix="penstock-scale-") as text:
        base = Path(text)
        generate.orders(base / "small.parquet", 1_000)
        for table_format in FORMATS:
            if said.files:
                show(f"{table_format}: files", [many_files(base / str(n), table_format, base / "small.parquet", n) for n in said.files])
        for rows in said.rows:
            generate.orders(base / f"orders-{rows}.parquet", rows)
        for table_format in FORMATS:
            for least in said.from_mb:
                title = f"batches with spark_from_mb: {least}"
                show(f"{table_format}: {title}", [merge_in_a_process(base, table_format, r, c, least) for r in said.rows for c in said.changes])


if __name__ == "__main__":
    main()
