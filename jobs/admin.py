"""What a person does about batches: look, cut again, skip; and the state of each target."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock.batches import Batch
from penstock.connectors.readers import data_files
from penstock.errors import ArgumentError, choice
from penstock.pipeline import MergeStep, ReadStep

from .context import Context
from .cut import cut_again
from .ledger import applied_by, target_of
from .lock import exclusive
from .record import RUNS
from .skip import note_skipped, skip_batch
from .steps import JOBS, Job
from .taking_back import take_back
from .waiting import source_of


@dataclass(frozen=True)
class TargetState:
    """One step's progress: batches cut for it, applied by its target, and waiting."""

    step: str
    kind: str
    target: str
    cut: int
    applied: int

    @property
    def waiting(self) -> int:
        return self.cut - self.applied


def targets(context: Context) -> Sequence[TargetState]:
    """The state of every step that applies batches, read from the targets themselves."""
    found = []
    for planned in context.plan.steps:
        step = context.pipeline.step(planned.id)
        if isinstance(JOBS[planned.kind], Job):
            head = context.batches(source_of(context, step)).head()
            found.append(TargetState(step.id, planned.kind, target_of(step) or "checked", head, applied_by(context, step)))
    return found


def step_named(context: Context, name: str) -> Any:
    """The step; raises ArgumentError with the nearest name."""
    known = [s.id for s in context.pipeline.steps]
    if name not in known:
        raise ArgumentError(f"step {choice(name, known)}")
    return context.pipeline.step(name)


def batch_numbered(context: Context, name: str, number: int) -> Batch:
    """A batch of the step; raises ArgumentError when it was not cut."""
    step = step_named(context, name)
    log = context.batches(source_of(context, step))
    if not 1 <= number <= log.head():
        raise ArgumentError(
            f"step {name!r} has no batch {number}", hint=f"its batches are 1 to {log.head()}" if log.head() else "none was cut yet; run the pipeline"
        )
    return log.read(after=number - 1)[0]


def readers_of(context: Context, source: str) -> Sequence[Any]:
    """The steps that apply the batches of a source."""
    return [s for s in context.pipeline.steps if not isinstance(s, ReadStep) and source_of(context, s) == source]


def retry(context: Context, name: str, number: int) -> tuple[Batch, tuple[str, ...]]:
    """Cut a batch that no target holds again, from its files as they are now; returns it and the files that are gone.

    What a run that was killed left of it in a memory is taken back: the files may say something else now.

    Raises ArgumentError when a target holds the batch already, or when the step's batches are not made of files; LedgerError where a memory's
    former state is gone.
    """
    with exclusive(context.state, context.run):
        batch = batch_numbered(context, name, number)
        source = context.pipeline.step(source_of(context, step_named(context, name)))
        if not isinstance(source, ReadStep):
            raise ArgumentError(f"the batches of step {name!r} are not made of files; run the pipeline to try one again")
        for reader in readers_of(context, source.id):
            if applied_by(context, reader) >= number:
                raise ArgumentError(f"{target_of(reader)} holds batch {number} already; it cannot be cut again")
        for merge in readers_of(context, source.id):
            if isinstance(merge, MergeStep):
                take_back(context, merge, number)
        again, gone = cut_again(batch, data_files(context.store(source.read.from_)))
        return context.batches(source.id).revise(again), gone


def skip(context: Context, name: str, number: int) -> None:
    """Commit the next waiting batch of a step as skipped: the ledger moves, no row does.

    Raises ArgumentError when `number` is not the next one.
    """
    with exclusive(context.state, context.run):
        step = step_named(context, name)
        if isinstance(step, ReadStep):
            raise ArgumentError(f"step {name!r} only reads; skip the batch where it is applied: {', '.join(s.id for s in readers_of(context, name))}")
        batch, next_one = batch_numbered(context, name, number), applied_by(context, step) + 1
        if number != next_one:
            raise ArgumentError(f"batch {number} is not the next one of step {name!r}", hint=f"batches apply in order; the next is {next_one}")
        skip_batch(context, step, batch)
        note_skipped(context, name, [number])


def last_error(context: Context, name: str) -> str:
    """What ended a step in the newest run that has it; empty when nothing did."""
    runs = sorted((f.uri.removeprefix(context.state.root) for f in context.state.list(RUNS)), reverse=True)
    for key in runs:
        found = context.state.find(key)
        for step in json.loads(found[0])["steps"] if found else ():
            if step["step"] == name and step["status"] != "not run":
                return str(step["error"])
    return ""
