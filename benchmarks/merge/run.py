"""Merges beside their limits and their peers, in one run: each case in fresh processes on a fresh copy of the table, in turns; a table in Markdown."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import generate
from scenarios import GROUPS, ONLY_NAMED, Scenario
from tables import fill

HERE = Path(__file__).parent
Chosen = tuple[str, str]  # group and case


@dataclass(frozen=True)
class Asked:
    rows: int
    changes: int
    base: Path

    def rows_of(self, scenario: Scenario) -> int:
        return self.rows * scenario.times

    def changes_of(self, scenario: Scenario) -> int:
        return scenario.changes or self.changes


def chosen(said: Sequence[str]) -> list[Chosen]:
    """Cases by the name of their group, or as `group/case`; those beside which they stand come with them."""
    known = {f"{group}/{case}": (group, case) for group in GROUPS for case in GROUPS[group].cases}
    found: dict[str, Chosen] = {}
    for name in said:
        if name not in known and name not in GROUPS:
            sys.exit(f"there is no case {name}: {', '.join(GROUPS)}, or one of {', '.join(known)}")
        wanted = [name] if name in known else [f"{name}/{case}" for case in GROUPS[name].cases]
        while wanted:
            case = wanted.pop()
            beside = GROUPS[known[case][0]].beside(*known[case])
            wanted += [beside] if beside and beside not in found and beside != case else []
            found[case] = known[case]
    return [known[name] for name in known if name in found]


def has_java() -> bool:
    home = os.environ.get("JAVA_HOME")
    return shutil.which(f"{home}/bin/java" if home else "java") is not None


def prepare(asked: Asked, cases: Iterable[Chosen]) -> None:
    """What the cases need, each thing once: orders, batches, tables as they are before the merge."""
    for name in dict.fromkeys(group for group, _ in cases):
        scenario = GROUPS[name].scenario
        rows, batch, orders = asked.rows_of(scenario), asked.base / f"{name}.parquet", asked.base / f"orders-{asked.rows_of(scenario)}.parquet"
        if not orders.exists():
            generate.orders(orders, rows)
        generate.changes(batch, rows, asked.changes_of(scenario), scenario.spread, late=scenario.late)
        for table_format in ("iceberg", "delta"):
            made = asked.base / "work" / table_format
            if not (kept := _kept(asked, scenario, table_format)).exists():
                fill(made, scenario.layout, table_format, orders)
                kept.parent.mkdir(parents=True, exist_ok=True)
                made.rename(kept)


def _kept(asked: Asked, scenario: Scenario, table_format: str) -> Path:
    return asked.base / "kept" / f"{scenario.layout}-{asked.rows_of(scenario)}" / table_format


def fresh(asked: Asked, group: str) -> Path:
    """The tables as they were loaded: data files are immutable and linked, logs and catalogs copied; paths in metadata are absolute, so the place is the same."""
    work = asked.base / "work"
    shutil.rmtree(work, ignore_errors=True)
    for table_format in ("iceberg", "delta"):
        kept = _kept(asked, GROUPS[group].scenario, table_format)
        shutil.copytree(kept, work / table_format, copy_function=lambda a, b: Path(b).hardlink_to(a) if a.endswith(".parquet") else shutil.copy2(a, b))
    (work / "batch.parquet").hardlink_to(asked.base / f"{group}.parquet")
    return work


def once(asked: Asked, group: str, case: str) -> dict[str, Any]:
    scenario = GROUPS[group].scenario
    arguments = [str(fresh(asked, group)), group, case, str(asked.rows_of(scenario)), str(asked.changes_of(scenario))]
    done = subprocess.run([sys.executable, str(HERE / "cases.py"), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{group}/{case} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def lines(cases: Sequence[Chosen], found: Mapping[Chosen, Sequence[Mapping[str, Any]]]) -> Iterable[str]:
    """The table, a heading for each group."""
    yield "| case | median s (least-greatest) | beside | processor s | peak MB |"
    yield "| --- | --- | --- | --- | --- |"
    last = ""
    for group, case in cases:
        if group != last:
            yield f"| **{group}**: {GROUPS[group].title} | | | | |"
            last = group
        runs = found[group, case]
        seconds = [r["seconds"] for r in runs]
        least, middle = (statistics.median(r[part] for r in runs) for part in ("cpu", "seconds"))
        said = [f"{name} {statistics.median(r['ratios'][name] for r in runs):.2f}" for name in runs[0]["ratios"]]
        beside = GROUPS[group].beside(group, case)
        if beside and beside != f"{group}/{case}":
            # turn by turn: a machine's speed changes from one to the next
            times = statistics.median(ours / there["seconds"] for ours, there in zip(seconds, found[_split(beside)], strict=False))
            said.insert(0, f"{times:.2f} x {beside.removeprefix(group + '/')}")
        yield f"| {case} | {middle:.2f} ({min(seconds):.2f}-{max(seconds):.2f}) | {', '.join(said)} | {least:.2f} | {max(r['peak_mb'] for r in runs)} |"


def _split(name: str) -> Chosen:
    group, _, case = name.partition("/")
    return group, case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--changes", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--cases", nargs="+", default=[g for g in GROUPS if g not in ONLY_NAMED], help=f"only when named: {', '.join(ONLY_NAMED)}")
    parser.add_argument("--folder", help="where the tables are made: some 4 GB for 10 M rows, ten times that for the large cases")
    said = parser.parse_args()
    cases = [case for case in chosen(said.cases) if has_java() or not case[1].startswith("spark-")]
    with TemporaryDirectory(prefix="penstock-bench-", dir=said.folder) as base:
        asked = Asked(said.rows, said.changes, Path(base))
        prepare(asked, cases)
        found: dict[Chosen, list[dict[str, Any]]] = {case: [] for case in cases}
        for turn in range(said.repeat):
            for group, case in cases:
                if turn < (GROUPS[group].repeat or said.repeat):
                    found[group, case].append(once(asked, group, case))
                    print(f"{group}/{case}: {found[group, case][-1]}", file=sys.stderr, flush=True)
    print(f"{said.rows:,} rows x 12 columns, {said.changes:,} changes where nothing else is said, median of {said.repeat}\n")
    print("\n".join(lines(cases, found)))


if __name__ == "__main__":
    main()
