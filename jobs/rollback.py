"""A table brought back to a former state by a commit like any other: files that it had come back, later ones go. Its ledger never goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from penstock.batches import Batch
from penstock.changes.facts import is_unavailable
from penstock.errors import ArgumentError, LedgerError, NotSupportedError, some
from penstock.killpoints import reach
from penstock.pipeline import MergeStep
from penstock.tables import Version

from .context import Context
from .history import after_batch, declared_table
from .ledger import applied_by, check_rollback, check_sole, note_applied, note_rollback, target_of
from .lock import exclusive
from .pins import existing
from .restoring import Restoration, planned_restoration, restore
from .skip import note_skipped, skipped
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
    are named in them. One that was interrupted is done when it is repeated.

    Raises ArgumentError for a batch that is not applied, and where the state is gone; NotSupportedError for a table that other pipelines write too;
    LedgerError where another rollback was interrupted.
    """
    table = declared_table(context, location)
    step = _keeper(context, location)
    with exclusive(context.state, context.run):
        last = applied_by(context, step)
        if not 0 < to < last:
            raise ArgumentError(f"batch {to} of step {step.id}: a table is rolled back to one of its batches 1 to {last - 1}")
        asked = {"table": location, "to": to, "then": then}
        undone, begun = tuple(range(to + 1, last + 1)), check_rollback(context, asked)
        if then == "replay" and not begun:
            _check_replay(context, step, undone)
        version = after_batch(context, table, step.id, to)
        if version is None:
            raise ArgumentError(f"table {location} never stood after batch {to}", hint="see `penstock history`; another tool made it anew")
        restored = [planned_restoration(context, table, version)]
        hint = "read the former rows with `penstock query --as-of`, and deliver them again as newer events"
        check_sole(context, location, restored[0].pinned.ledger, "rolling back", hint=hint)
        if isinstance(step, MergeStep):
            memory = context.lake_table(location + MEMORY) or memory_table(context, step)
            restored.append(planned_restoration(context, memory, after_batch(context, memory, step.id, to)))
            _check_names(context, restored[-1])
        note_rollback(context, asked)
        for planned in restored:
            restore(context, planned, step.id, last, "penstock.rollback")
        note_applied(context, step, last)
        again = _cut_again(context, step, _to_be_replayed(context, step, undone), last) if then == "replay" else ()
        if then == "skip":
            note_skipped(context, step.id, undone)
        note_rollback(context, None)
    return RolledBack(version, undone, again)


def _keeper(context: Context, location: str):  # type: ignore[no-untyped-def]
    found = [s for s in context.pipeline.steps if target_of(s) == location]
    if len(found) != 1:
        raise ArgumentError(f"{len(found)} steps write {location}: {', '.join(s.id for s in found) or 'none'}; a table of one step is rolled back")
    return found[0]


def _check_replay(context: Context, step, undone: Sequence[int]) -> None:  # type: ignore[no-untyped-def]
    source, last = source_of(context, step), undone[-1]
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
    for batch in context.batches(source).read(after=undone[0] - 1):
        _check_pins(context, batch, context.tables_read(step.id))


def _check_pins(context: Context, batch: Batch, tables: Sequence[str]) -> None:
    for location in (t for t in tables if t in batch.pins):
        try:
            existing(context, location).pin(batch.pins[location])
        except LedgerError as error:
            hint = "use --then skip: what it read is read again, as it is then, when that or its code changes"
            raise ArgumentError(f"batch {batch.number} cannot be replayed: {error.message}", hint=hint) from error


def _check_names(context: Context, memory: Restoration) -> None:
    """Raises NotSupportedError where former events leave out values of columns by names that these no longer have."""
    if memory.former is None or not memory.lost:
        return
    with context.engine.session() as session:
        session.scan("remembered", memory.table, memory.former)
        (found,) = session.query(f"SELECT COUNT(*) AS events FROM remembered WHERE {' OR '.join(map(is_unavailable, sorted(memory.lost)))}").to_pylist()
    if found["events"]:
        what = f"rolling back {memory.table.name}, whose events then lacked values of {some(sorted(memory.lost))}, which the table no longer has,"
        raise NotSupportedError(what, hint="make the table anew from its sources with `penstock run --full-refresh`")


def _cut_again(context: Context, step, again: Sequence[int], last: int) -> tuple[int, ...]:  # type: ignore[no-untyped-def]
    """The batches anew, under the next numbers: the same files, or the same states of the tables that they read."""
    log = context.batches(source_of(context, step))
    held = {b.number: b for b in log.read(after=again[0] - 1)} if again else {}
    for number in again[log.head() - last :]:  # an interrupted rollback cut those before
        log.cut(replace(held[number], seen=None, replays=number))
        reach("after_cut")
    return tuple(range(last + 1, last + len(again) + 1))


def _to_be_replayed(context: Context, step, undone: Sequence[int]) -> tuple[int, ...]:  # type: ignore[no-untyped-def]
    """Those of the undone batches that no later one of them is in place of, and that nobody gave up."""
    log = context.batches(source_of(context, step))
    replaced = {b.replays for b in log.read(after=undone[0] - 1) if b.number <= undone[-1]}
    return tuple(n for n in undone if n not in replaced | skipped(context, step))
