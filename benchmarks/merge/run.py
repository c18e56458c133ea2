"""Merges beside their limits and their peers, in one run: each case in fresh processes on a fresh copy of the table, in turns, medians shown."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from generate import generate

HERE = Path(__file__).parent
# each case, and the limit beside which it stands
CASES = {
    "limit-on-read": "limit-on-read", "iceberg-on-read": "limit-on-read", "limit-on-write": "limit-on-write", "iceberg-on-write": "limit-on-write",
    "delta-on-read": "limit-on-read", "delta-on-write": "limit-on-write", "delta-rs": "limit-on-write", "pyiceberg": "limit-on-read",
}  # fmt: skip


def case(name: str, folder: Path) -> dict[str, float]:
    done = subprocess.run([sys.executable, str(HERE / "cases.py"), name, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout)) if done.stdout.strip() else {}


def fresh(golden: Path, work: Path) -> None:
    """The table as it was loaded: data files are immutable and linked, logs and catalogs copied; paths in metadata are absolute, so the place is the same."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(golden, work, copy_function=lambda a, b: Path(b).hardlink_to(a) if a.endswith(".parquet") else shutil.copy2(a, b))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--changes", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="penstock-bench-") as base:
        work, golden = Path(base) / "work", Path(base) / "golden"
        generate(work, asked.rows, asked.changes)
        for table_format in ("iceberg", "delta"):
            case(f"fill-{table_format}", work)
        work.rename(golden)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in asked.cases}
        for _ in range(asked.repeat):
            for name in asked.cases:
                fresh(golden, work)
                found[name].append(case(name, work))
    print(f"{asked.rows:,} rows x 12 columns, {asked.changes:,} changes, unpartitioned, median of {asked.repeat} (least-greatest) seconds, peak MB")
    for name, runs in found.items():
        seconds = [r["seconds"] for r in runs]
        middle, limit = statistics.median(seconds), [r["seconds"] for r in found.get(CASES[name], [])]
        beside = f"{middle / statistics.median(limit):6.2f} x {CASES[name]:14}" if limit else ""
        print(f"{name:18} {middle:7.2f} ({min(seconds):.2f}-{max(seconds):.2f})  {beside}  {max(r['peak_mb'] for r in runs):6.0f} MB")


if __name__ == "__main__":
    main()
