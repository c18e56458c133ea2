"""Tables maintained: files compacted, old states expired, files that no state needs removed, lists of files written together."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from penstock.errors import CommitConflictError, PenstockError, StepFailedError
from penstock.killpoints import reach
from penstock.maintenance import Group, Maintain, benefit, commits, duration, plan_compaction, saved
from penstock.schema import names
from penstock.tables import DataFile, LakeTable, Pinned

from .analyze import analyze, due
from .compaction import compact, summary
from .context import Context
from .dropped import clear
from .horizon import forget
from .lock import open_run
from .targets import MEMORY, QUARANTINE, merge_into
from .waiting import may_go_back, pinned_versions

_DAILY = timedelta(days=1)
_CLOCKS_DIFFER = timedelta(minutes=20)  # S3 refuses callers whose clock is a quarter of an hour off


@dataclass(frozen=True)
class Sizes:
    """A table's live data files; `rows` are all that lie in them, `deleted` those of which a delete file says so. `planning_ms`: how long listing them took."""

    files: int = 0
    bytes: int = 0
    rows: int = 0
    deleted: int = 0
    planning_ms: float | None = None

    @property
    def delete_share(self) -> float:
        return self.deleted / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Work:
    """What a table needs; `benefit` is what a reader would be spared, `bytes` what would be read to be written anew, both in bytes."""

    location: str
    table: LakeTable = field(repr=False)
    policy: Maintain
    before: Sizes
    groups: tuple[Group, ...] = ()

    @property
    def benefit(self) -> int:
        return sum(benefit(g, self.policy.file_bytes) for g in self.groups)

    @property
    def bytes(self) -> int:
        return sum(g.bytes for g in self.groups)


@dataclass(frozen=True)
class Maintained:
    """What was done, or in a dry run would be, to one table.

    `compacted`: groups written anew. `yielded`: groups left alone because writers were quicker. `expired`: states.
    `manifests`: how many fewer. `forgotten`: keys. `analyzed`: columns whose values were counted.
    """

    location: str
    before: Sizes
    after: Sizes
    compacted: int = 0
    yielded: int = 0
    written_bytes: int = 0
    expired: int = 0
    removed: Sizes = Sizes()
    manifests: int = 0
    forgotten: int = 0
    analyzed: int = 0

    @property
    def is_nothing(self) -> bool:
        return not (self.compacted or self.expired or self.removed.files or self.manifests or self.forgotten or self.analyzed)


def measure(table: LakeTable) -> tuple[Pinned, Sequence[DataFile], Sizes]:
    """A table's present state, its live files and their sizes."""
    clock = time.monotonic()
    pinned = table.pin()
    files = table.files(pinned)
    milliseconds = round(1000 * (time.monotonic() - clock), 1)
    deleted = sum(f.deleted for f in files)
    return pinned, files, Sizes(len(files), sum(f.bytes for f in files), sum(f.rows for f in files) + deleted, deleted, milliseconds)


def work_list(context: Context, only: Sequence[str] = ()) -> tuple[list[Work], list[PenstockError]]:
    """What each declared lake table that exists needs, and its companion and its quarantine, the greatest benefit first; and why of others nobody can say.

    Raises ArgumentError for a name that is no lake table of the pipeline.
    """
    for name in only:
        context.check_lake_table(name)
    found, failed = [], []
    for name in only or [name for name, table in context.pipeline.tables.items() if table.format]:
        for suffix in ("", MEMORY, QUARANTINE):
            try:
                found += _work(context, name, suffix)
            except PenstockError as error:
                failed.append(error)
    return sorted(found, key=lambda w: -w.benefit), failed


def _work(context: Context, name: str, suffix: str) -> list[Work]:
    """None for a table that is not there."""
    with _maintaining(name + suffix):
        if (table := context.lake_table(name + suffix)) is None:
            return []
        policy, keys = context.declared(name).maintain, _keys(context, name + suffix)
        policy = policy.model_copy(update={"analyze": ()}) if suffix else policy  # nobody joins with a memory or a quarantine
        _, files, before = measure(table)
        groups = tuple(plan_compaction(files, policy, keys[0] if keys else None))
        return [Work(name + suffix, table, policy, before, groups)]


def within(works: Sequence[Work], max_bytes: int | None) -> list[Work]:
    """The work that keeps to a bound of bytes, that with the greatest benefit for a byte first."""
    if max_bytes is None:
        return list(works)
    chosen: dict[str, list[Group]] = {w.location: [] for w in works}
    every = [(benefit(g, w.policy.file_bytes) / max(1, g.bytes), w.location, g) for w in works for g in w.groups]
    for _, location, group in sorted(every, key=lambda found: -found[0]):
        if group.bytes <= max_bytes:
            max_bytes -= group.bytes
            chosen[location].append(group)
    return [replace(w, groups=tuple(chosen[w.location])) for w in works]


def maintain(
    context: Context,
    only: Sequence[str] = (),
    *,
    max_bytes: int | None = None,
    dry_run: bool = False,
    jobs: int = 1,
    daily: bool = False,
    now: datetime | None = None,
) -> Iterator[Maintained]:
    """Maintain tables, all without `only`, `jobs` of them at a time; those of the greatest benefit come first.

    With `daily` a table's folder, whose listing is dear on S3, is searched for files that no state needs once a day at most.
    What was done stays done when another table fails. Raises ArgumentError for an unknown table, and the errors of tables after the others are done.
    """
    found, failed = work_list(context, only)
    works = within(found, max_bytes)
    if dry_run:
        yield from map(_planned, works)
    else:
        one = partial(_tried, context, now=now or datetime.now(UTC), sharing=jobs, daily=daily)
        yield from _each(context, one, works, jobs, failed)
    told = {str(error): error for error in failed}  # one cause may keep a table and its memory
    if failed:
        raise failed[0] if len(told) == 1 else StepFailedError("\n".join(told))


def _each(context: Context, one: Callable[[Work], Maintained], works: Sequence[Work], jobs: int, failed: list[PenstockError]) -> Iterator[Maintained]:
    """What was done, table by table; errors are added to `failed`."""
    if works:
        _ = context.engine  # made once, before there are threads
    with ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(one, work) for work in works]:
            try:
                yield future.result()
            except PenstockError as error:
                failed.append(error)


def _planned(work: Work) -> Maintained:
    was = work.before
    files = was.files - sum(saved(g, work.policy.file_bytes) for g in work.groups)
    gone = sum(f.deleted for g in work.groups for f in g.files)
    after = Sizes(files, was.bytes - sum(g.deleted_bytes for g in work.groups), was.rows - gone, was.deleted - gone)
    analyzed = len(due(work.table, work.policy)[1])
    return Maintained(work.location, was, after, len(work.groups), written_bytes=sum(g.bytes - g.deleted_bytes for g in work.groups), analyzed=analyzed)


@contextmanager
def _maintaining(location: str) -> Iterator[None]:
    """An error that is not Penstock's own becomes one that names the table."""
    try:
        yield
    except PenstockError:
        raise
    except Exception as error:
        said = f"maintaining {location}: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise StepFailedError(said, hint="what was committed stays; maintain it again to go on") from error


def _tried(context: Context, work: Work, *, now: datetime, sharing: int, daily: bool) -> Maintained:
    with _maintaining(work.location):
        return _maintained(context, work, now=now, sharing=sharing, daily=daily)


def _maintained(context: Context, work: Work, *, now: datetime, sharing: int, daily: bool) -> Maintained:
    table, policy = work.table, work.policy
    order = policy.clustering(_keys(context, work.location), names(table.pin().columns))
    forgotten = _forgotten(context, work.location, now)
    done = [compact(context, table, groups, order, sharing) for groups in commits(work.groups, policy.group_bytes)]
    manifests = table.compact_metadata(policy.max_manifests, summary(context, "manifests"))
    kept = now - duration(policy.keep_snapshots)
    expired = 0 if may_go_back(context, work.location) else table.expire(_before_runs(context, kept), pinned_versions(context, work.location))
    reach("after_expiry")
    is_due = not daily or _is_due(context, work.location, now)
    removed = _swept(context, work, now, kept) if is_due and not may_go_back(context, work.location) else []
    analyzed = analyze(context, table, policy, sharing)  # last, for it may be refused for want of memory, or of the engine's
    _, _, after = measure(table)
    compacted = sum(d.groups for d in done)
    sizes = Sizes(len(removed), sum(size for _, size in removed))
    return Maintained(
        work.location, work.before, after, compacted, len(work.groups) - compacted, sum(d.bytes for d in done), expired, sizes, manifests, forgotten, analyzed
    )  # fmt: skip


def _forgotten(context: Context, location: str, now: datetime) -> int:
    """How many keys a memory lets go of; a writer that was quicker has its way."""
    step = merge_into(context, location.removesuffix(MEMORY)) if location.endswith(MEMORY) else None
    try:
        return forget(replace(context, now=now), step) if step else 0
    except CommitConflictError:
        return 0


def _swept(context: Context, work: Work, now: datetime, kept: datetime) -> Sequence[tuple[str, int]]:
    """Nothing that a run at work wrote may go: its files are younger than its start. What was dropped before goes as strays do."""
    before = _before_runs(context, now - duration(work.policy.orphans_after))
    removed = list(work.table.sweep(before, kept, pinned_versions(context, work.location)))
    removed += [file for cleared in clear(context, work.location, before) for file in cleared.removed]
    context.state.write(_note(work.location), json.dumps({"swept": now.isoformat()}).encode())
    return removed


def _before_runs(context: Context, time: datetime) -> datetime:
    """A time, or before the start of a run at work, give or take what clocks may differ: the states that it reads were present then, or since.

    Its batches may not say yet what they pin; those of a run that ended do, so they are to be asked after this.
    """
    started = open_run(context.state)
    return min(time, started - _CLOCKS_DIFFER) if started else time


def _is_due(context: Context, location: str, now: datetime) -> bool:
    found = context.state.find(_note(location))
    return found is None or now - datetime.fromisoformat(json.loads(found[0])["swept"]) >= _DAILY


def _note(location: str) -> str:
    return f"maintenance/{location}.json"


def _keys(context: Context, location: str) -> tuple[str, ...]:
    """The keys by which a table's rows lie together; a quarantine has none."""
    return () if location.endswith(QUARANTINE) else context.declared(location.removesuffix(MEMORY)).keys
