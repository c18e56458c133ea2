"""Tables maintained: small files compacted, old states expired, files that no state needs removed. Writers go first: what loses a race is planned anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from penstock.killpoints import reach
from penstock.maintenance import MEGABYTE, Group, Maintain, duration, plan_compaction, saved
from penstock.tables import RUN, Change, DataFile, LakeTable, Pinned

from .context import Context
from .lock import open_run
from .targets import MEMORY, QUARANTINE
from .waiting import pinned_versions

_ATTEMPTS = 3


@dataclass(frozen=True)
class Sizes:
    files: int
    bytes: int

    @classmethod
    def of(cls, files: Iterable[DataFile]) -> Sizes:
        found = list(files)
        return cls(len(found), sum(f.bytes for f in found))


@dataclass(frozen=True)
class Work:
    """What a table needs; `saves` is in files, `bytes` what would be written."""

    location: str
    table: LakeTable = field(repr=False)
    policy: Maintain
    groups: tuple[Group, ...]

    @property
    def saves(self) -> int:
        return sum(saved(g, self.policy.target_file_mb * MEGABYTE) for g in self.groups)

    @property
    def bytes(self) -> int:
        return sum(g.bytes for g in self.groups)


@dataclass(frozen=True)
class Maintained:
    """What was done, or in a dry run would be, to one table. `yielded`: groups left alone because writers were quicker."""

    location: str
    before: Sizes
    after: Sizes
    compacted: int = 0
    yielded: int = 0
    expired: int = 0
    removed: Sizes = Sizes(0, 0)


def lake_tables(context: Context, only: Sequence[str] = ()) -> Iterator[tuple[str, LakeTable, Maintain]]:
    """The declared lake tables that exist, each followed by its companion and its quarantine. Raises ArgumentError for another name."""
    declared = {name: table for name, table in context.pipeline.tables.items() if table.format}
    for name in only:
        context.check_lake_table(name)
    for name in only or declared:
        for suffix in ("", MEMORY, QUARANTINE):
            if found := context.lake_table(name + suffix):
                yield name + suffix, found, declared[name].maintain


def work_list(context: Context, only: Sequence[str] = ()) -> list[Work]:
    """What each table needs, the greatest benefit first."""
    found = []
    for location, table, policy in lake_tables(context, only):
        pinned = table.pin()
        keys = _keys(context, location)
        found.append(Work(location, table, policy, tuple(plan_compaction(table.files(pinned), policy, keys[0] if keys else None))))
    return sorted(found, key=lambda w: -w.saves)


def maintain(
    context: Context, only: Sequence[str] = (), *, max_bytes: int | None = None, dry_run: bool = False, now: datetime | None = None
) -> Iterator[Maintained]:
    """Maintain tables one after the other; compaction ends when `max_bytes` were written. Raises ArgumentError for an unknown table."""
    left, clock = max_bytes, now or datetime.now(UTC)
    for work in work_list(context, only):
        groups = [g for g in work.groups if left is None or g.bytes <= left]
        left = None if left is None else left - sum(g.bytes for g in groups)
        yield _planned(work, groups) if dry_run else _maintained(context, work, groups, clock)


def _planned(work: Work, groups: Sequence[Group]) -> Maintained:
    before = Sizes.of(work.table.files(work.table.pin()))
    fewer = sum(saved(g, work.policy.target_file_mb * MEGABYTE) for g in groups)
    return Maintained(work.location, before, Sizes(before.files - fewer, before.bytes), len(groups))


def _maintained(context: Context, work: Work, groups: Sequence[Group], now: datetime) -> Maintained:
    table, policy = work.table, work.policy
    before = Sizes.of(table.files(table.pin()))
    done = sum(_compact(context, work, group) for group in groups)
    expired = table.expire(now - duration(policy.keep_snapshots), pinned_versions(context, work.location))
    oldest = _oldest_work(context, now - duration(policy.orphans_after))
    removed = table.sweep(oldest)
    after = Sizes.of(table.files(table.pin()))
    return Maintained(work.location, before, after, done, len(groups) - done, expired, Sizes(len(removed), sum(size for _, size in removed)))


def _oldest_work(context: Context, cutoff: datetime) -> datetime:
    """Nothing that a run at work wrote may go: its files are younger than its start."""
    started = open_run(context.state)
    return min(cutoff, started - timedelta(minutes=5)) if started else cutoff


def _keys(context: Context, location: str) -> tuple[str, ...]:
    name = location.removesuffix(MEMORY).removesuffix(QUARANTINE)
    return context.pipeline.tables[name].keys if not location.endswith(QUARANTINE) else ()


def _compact(context: Context, work: Work, group: Group) -> bool:
    """Write a group anew and commit it; False where other writers took its files each time."""
    wanted = {f.uri for f in group.files}
    for _ in range(_ATTEMPTS):
        pinned = work.table.pin()
        files = [f for f in work.table.files(pinned) if f.uri in wanted]
        if len(files) < len(wanted):
            return False
        with context.engine.session() as session:
            order = (work.policy.sort_by or _keys(context, work.location)) if work.policy.compact == "sort" else ()
            change = session.compact(work.table, pinned, Group(group.partition, tuple(files)), order, context.run)
        reach("before_compaction_commit")
        if _committed(context, work.table, pinned, change):
            return True
    return False


def _committed(context: Context, table: LakeTable, pinned: Pinned, change: Change) -> bool:
    outcome = table.commit(pinned, Change("replace", change.add, change.remove, summary={RUN: context.run, "penstock.maintenance": "compaction"}))
    if outcome.state != "unknown":
        return outcome.state == "done"
    return not {f.uri for f in change.remove} & {f.uri for f in table.files(table.pin())}
