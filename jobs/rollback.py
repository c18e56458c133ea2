"""A table brought back to a former state by a commit like any other: files that it had come back, later ones go. Its ledger never goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from penstock.errors import ArgumentError, NotSupportedError
from penstock.maintenance import Clustering, Group
from penstock.pipeline import MergeStep
from penstock.tables import Change, LakeTable, Pinned, Version, WrittenFile

from .context import Context
from .history import after_batch, declared_table
from .ledger import applied_by, check_sole, note_applied, target_of
from .lock import exclusive
from .publish import publish
from .targets import MEMORY, memory_table
from .waiting import source_of


@dataclass(frozen=True)
class RolledBack:
    """What was done: the state that stands again, and the batches that were after it, replayed ones under their new numbers."""

    version: Version
    undone: tuple[int, ...]
    cut_again: tuple[int, ...] = ()


def rollback(context: Context, location: str, *, to: int, then: Literal["replay", "skip"]) -> RolledBack:
    """Bring a table, and its memory, back to what they were after batch `to` of the step that keeps it.

    Batches after it count as done; with `replay` they are cut again under new numbers, which the next run applies. Quarantined rows stay: their batches
    are named in them. Raises ArgumentError for a batch that is not applied, and where the state is gone, NotSupportedError for a table that other pipelines
    write too.
    """
    table = declared_table(context, location)
    step = _keeper(context, location)
    with exclusive(context.state, context.run):
        last = applied_by(context, step)
        if not 0 < to < last:
            raise ArgumentError(f"batch {to} of step {step.id}: a table is rolled back to one of its batches 1 to {last - 1}")
        undone = tuple(range(to + 1, last + 1))
        if then == "replay":
            _check_replay(context, step, last)
        version = after_batch(context, table, step.id, to)
        if version is None:
            raise ArgumentError(f"table {location} never stood after batch {to}", hint="see `penstock history`; another tool made it anew")
        restored = [_planned(table, version)]
        hint = "read the former rows with `penstock query --as-of`, and deliver them again as newer events"
        check_sole(context, location, restored[0].pinned.ledger, "rolling back", hint=hint)
        if isinstance(step, MergeStep):
            memory = context.lake_table(location + MEMORY) or memory_table(context, step)
            restored.append(_planned(memory, after_batch(context, memory, step.id, to)))
        for planned in restored:
            _restore(context, planned, step.id, last)
        note_applied(context, step, last)
        again = _cut_again(context, step, undone) if then == "replay" else ()
    return RolledBack(version, undone, again)


def _keeper(context: Context, location: str):  # type: ignore[no-untyped-def]
    found = [s for s in context.pipeline.steps if target_of(s) == location]
    if len(found) != 1:
        raise ArgumentError(f"{len(found)} steps write {location}: {', '.join(s.id for s in found) or 'none'}; a table of one step is rolled back")
    return found[0]


def _check_replay(context: Context, step, last: int) -> None:  # type: ignore[no-untyped-def]
    source = source_of(context, step)
    if (head := context.batches(source).head()) > last:
        raise ArgumentError(
            f"batches {last + 1} to {head} wait, and would come before the replayed ones", hint=f"penstock run --select {step.id}, then roll back"
        )
    others = [s.id for s in context.pipeline.steps if s.id not in (step.id, source) and source_of(context, s) == source]
    if others:
        raise ArgumentError(
            f"step {', '.join(others)} applies the same batches, and would take the replayed ones for new",
            hint="use --then skip, and deliver what is needed again",
        )


@dataclass(frozen=True)
class _Planned:
    """A table's present state, and the one that is to stand again: None for a table without rows."""

    table: LakeTable
    pinned: Pinned
    former: Pinned | None


def _planned(table: LakeTable, version: Version | None) -> _Planned:
    """Raises NotSupportedError for a state that cannot stand again."""
    pinned = table.pin()
    former = table.pin(version.version) if version else None
    if former and former.rewritten != pinned.rewritten:
        hint = "make it anew from its sources with `penstock run --full-refresh`"
        raise NotSupportedError(f"rolling back {table.name} to version {former.version}, whose files have other columns,", hint=hint)
    return _Planned(table, pinned, former)


def _restore(context: Context, planned: _Planned, step_id: str, last: int) -> None:
    """One commit from the present files to those of a former state; none of it for a table without commits.

    A file of which other rows were deleted then is written anew, as it was.
    """
    table, pinned, former = planned.table, planned.pinned, planned.former
    if pinned.version is None or (former and former.version == pinned.version):
        return
    now = {(f.uri, f.deletes): f for f in table.files(pinned)}
    then = {(f.uri, f.deletes): f for f in table.files(former)} if former else {}
    missing = [f for key, f in then.items() if key not in now]
    back = [WrittenFile(f.uri, f.partition, f.bytes, f.rows) for f in missing if not f.deletes and f.uri not in {uri for uri, _ in now}]
    with context.engine.session() as session:
        for file in missing:
            if former and file.uri not in {f.uri for f in back}:
                back += session.compact(table, former, Group(file.partition, (file,)), Clustering(), context.run).add
    gone = [f for key, f in now.items() if key not in then]
    change = Change("overwrite", back, gone, summary={"penstock.rollback": str(former.version if former else 0)})
    publish(context, table, pinned, change, step_id, last)


def _cut_again(context: Context, step, undone: Sequence[int]) -> tuple[int, ...]:  # type: ignore[no-untyped-def]
    """The batches anew, under the next numbers. A step that reads tables cuts its own from what they are now."""
    log = context.batches(source_of(context, step))
    held = {b.number: b for b in log.read(after=undone[0] - 1)}
    return tuple(log.cut(replace(held[n], seen=None)).number for n in undone if held[n].files)
