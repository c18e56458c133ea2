"""What is measured: tables and batches, who merges them, and beside which limit or peer each stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from generate import Spread

Layout = Literal["flat", "months", "history", "small"]


@dataclass(frozen=True)
class Scenario:
    """A table of `times` the rows asked for, and a batch of so many changes (None: as many as asked for), a share of which is `late`."""

    layout: Layout = "flat"
    spread: Spread = "uniform"
    changes: int | None = None
    late: float = 0
    times: int = 1


@dataclass(frozen=True)
class Group:
    """Cases on one scenario: who does it, and beside whom that stands (`group/case` where it is another group's, nothing where it stands alone)."""

    title: str
    scenario: Scenario
    cases: Mapping[str, str]
    repeat: int | None = None

    def beside(self, name: str, case: str) -> str:
        found = self.cases[case]
        return found if "/" in found or not found else f"{name}/{found}"


_LIMITS = {"limit-on-read": "limit-on-read", "limit-on-write": "limit-on-write"}
_ON_READ = {"iceberg-on-read": "limit-on-read", "delta-on-read": "limit-on-read"}
_ON_WRITE = {"iceberg-on-write": "limit-on-write", "delta-on-write": "limit-on-write"}
_MERGED = {"limit-on-read": "limit-on-read", **_ON_READ}
_OF_FLAT = {"iceberg-on-read": "flat/iceberg-on-read", "delta-on-read": "flat/delta-on-read"}
_COMPACTED = {
    "limit-compacted": "limit-compacted",
    "iceberg-compacted": "limit-compacted",
    "delta-compacted": "limit-compacted",
    "delta-rs-compacted": "limit-compacted",
}

GROUPS: Mapping[str, Group] = {
    "flat": Group("uniform, unpartitioned", Scenario(), {**_LIMITS, **_ON_READ, **_ON_WRITE, "delta-rs": "delta-on-read", "pyiceberg": "iceberg-on-read"}),
    "months": Group("uniform, partitioned by month", Scenario("months"), {**_LIMITS, **_ON_READ, **_ON_WRITE, "delta-rs": "delta-on-read"}),
    "skewed": Group("nine of ten changes among the last 400,000 rows", Scenario(spread="skewed"), {**_MERGED, "delta-rs": "delta-on-read"}),
    "hot": Group("all changes among the last 400,000 rows", Scenario(spread="hot"), {**_MERGED, "delta-rs": "delta-on-read"}),
    "changes-1k": Group("1,000 changes", Scenario(changes=1_000), {**_MERGED, "delta-rs": "delta-on-read"}),
    "changes-10k": Group("10,000 changes", Scenario(changes=10_000), {**_MERGED, "delta-rs": "delta-on-read"}),
    "changes-1m": Group("1,000,000 changes", Scenario(changes=1_000_000), {**_MERGED, "delta-rs": "delta-on-read"}),
    "hot-months": Group("all changes among the last 400,000 rows, partitioned by month", Scenario("months", spread="hot"), _MERGED),
    "months-1m": Group("1,000,000 changes, partitioned by month", Scenario("months", changes=1_000_000), _MERGED),
    "late": Group("1 % of the changes older than what is stored", Scenario(late=0.01), _OF_FLAT),
    "history": Group("SCD type 2", Scenario("history"), _OF_FLAT),
    "history-late": Group("SCD type 2, 1 % late", Scenario("history", late=0.01), {k: f"history/{k}" for k in _ON_READ}),
    "in-a-row": Group("200 merges in a row: one of the last ten beside one of the first ten", Scenario(), {"iceberg-in-a-row": "", "delta-in-a-row": ""}, repeat=1),
    "compaction": Group("2,000 small files", Scenario("small"), _COMPACTED),
    "z-order": Group("2,000 small files", Scenario("small"), {"delta-rs-curved": "delta-rs-curved", "delta-curved": "delta-rs-curved", "iceberg-curved": "delta-rs-curved"}),
    "fleet": Group("50 tables of 20,000 changes each in one run", Scenario(), {"iceberg-fleet": "", "delta-fleet": ""}),
    "engines": Group("uniform, unpartitioned, other engines", Scenario(), {
        "limit-on-read": "limit-on-read", "iceberg-on-read": "limit-on-read", "delta-on-read": "limit-on-read", "sail-iceberg": "iceberg-on-read", "sail-delta": "delta-on-read",
        "spark-iceberg": "iceberg-on-read", "spark-delta": "delta-on-read",
    }, repeat=1),
    "pyiceberg-1m": Group("1,000,000 changes", Scenario(changes=1_000_000), {"iceberg-on-read": "iceberg-on-read", "pyiceberg": "iceberg-on-read"}, repeat=1),
    "hot-large": Group("all changes among the last 400,000 of ten times the rows", Scenario(spread="hot", times=10), {k: f"hot/{k}" for k in _ON_READ}),
    "large": Group("uniform, ten times the rows", Scenario(times=10), _MERGED),
}  # fmt: skip
# what takes long, or much room, and is only done when it is named
ONLY_NAMED = ("pyiceberg-1m", "hot-large", "large")
