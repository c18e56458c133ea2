"""A plan executed: step by step, batch by batch, and the record of it. Every door enters here."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from secrets import token_hex

from penstock.changes.counts import Counts
from penstock.errors import ArgumentError, GateStoppedError, PenstockError, Retryable, StepFailedError
from penstock.killpoints import reach
from penstock.parse import Loaded
from penstock.plan import Plan, PlannedStep

from .context import Context
from .gate import warm_up
from .ledger import check_ledgers, note_applied
from .lock import exclusive
from .probe import check_stores
from .publish import until_published
from .record import Event, RunRecord, Status, StepRecord, Watcher, ignore, record_key
from .refresh import forget
from .steps import JOBS, Job
from .waiting import source_of, waiting


@dataclass(frozen=True)
class Finished:
    """A run's record, and the first error that ended a step of it."""

    record: RunRecord
    error: PenstockError | None = None

    @property
    def failed_step(self) -> str:
        return next((s.step for s in self.record.steps if s.status in ("failed", "stopped")), "")


def new_run_id(now: datetime) -> str:
    return f"{now:%Y%m%dT%H%M%S}-{token_hex(3)}"


def checked_run_id(text: str) -> str:
    """Raises ArgumentError for what is not a run's id, which sorts by time."""
    try:
        datetime.strptime(text[:15], "%Y%m%dT%H%M%S")
        if re.fullmatch(r"-[0-9a-f]{6}", text[15:]):
            return text
    except ValueError:
        pass
    raise ArgumentError(f"--run-id {text!r} is not a time and six hexadecimal digits, such as 20260101T120000-0a1b2c")


def run(
    loaded: Loaded,
    plan: Plan,
    *,
    select: str | None = None,
    full_refresh: bool = False,
    backfill: bool = False,
    watch: Watcher = ignore,
    run_id: str | None = None,
    now: datetime | None = None,
) -> Finished:
    """Run the selected steps of a plan, all without `select`, and store the record; with `backfill` events behind a merge's horizon are taken.

    `run_id`: what the run is called, as `new_run_id` gives it; by default it is called so.

    Raises RunLockedError when another run of the pipeline is at work, ArgumentError when one was done under this id, LedgerError when a target and the
    state store contradict each other, NotSupportedError for a store on which two writers would overwrite each other.
    What goes wrong in a step ends in the record and in `error`; steps after it are not run.
    """
    started, clock = now or datetime.now(UTC), time.monotonic()
    chosen = plan.select(select)
    context = Context(loaded, plan, run_id or new_run_id(started), watch, now=started, backfill=backfill)
    watch(Event("run started", total=len(chosen), message=context.run))
    for engine in {context.pipeline.step(p.id).engine for p in chosen}:
        _ = context.on(engine).engine  # one that takes long to start does so meanwhile
    check_stores(context)
    with exclusive(context.state, context.run):
        if run_id and context.state.find(record_key(run_id)):
            raise ArgumentError(f"run {run_id} was done before", hint="give another id, or none")
        if full_refresh:
            forget(context, chosen)
        check_ledgers(context, source_of)
        records, error = _run_steps(context, chosen)
        record = RunRecord(context.run, loaded.pipeline.pipeline, loaded.env, started, round(time.monotonic() - clock, 3), tuple(records))
        context.state.write(record_key(context.run), record.dumps().encode())
    watch(Event("run done", message=record.status))
    return Finished(record, error)


def _run_steps(context: Context, chosen: Sequence[PlannedStep]) -> tuple[list[StepRecord], PenstockError | None]:
    """Each step in order; after an error the steps that depend on it, and all others, are recorded as not run."""
    records: list[StepRecord] = []
    error: PenstockError | None = None
    for planned in chosen:
        if error:
            records.append(StepRecord(planned.id, planned.kind, "not run"))
            continue
        record, error = _run_step(context, planned)
        context.watch(Event("step done", planned.id, message=record.status))
        records.append(record)
    return records, error


def _run_step(context: Context, planned: PlannedStep) -> tuple[StepRecord, PenstockError | None]:
    clock, context = time.monotonic(), context.on(context.pipeline.step(planned.id).engine)
    done: list[StepRecord] = []
    error: PenstockError | None = None
    context.watch(Event("step started", planned.id, message=planned.kind))
    try:
        done.extend(_batches(context, planned))
    except PenstockError as raised:
        error = raised
    except Exception as raised:
        error = StepFailedError(f"{type(raised).__name__}: {str(raised).strip() or 'no message'}", hint="what was committed stays; run again to go on")
        error.__cause__ = raised
    record = combined(planned, done, error)
    if record.batches:
        note_applied(context, context.pipeline.step(planned.id), record.batches[-1], record.version)
    return replace(record, seconds=round(time.monotonic() - clock, 3)), error


def _batches(context: Context, planned: PlannedStep) -> Iterator[StepRecord]:
    """Cut what is new, then apply what the step's target lacks, in order."""
    step = context.pipeline.step(planned.id)
    job = JOBS[planned.kind]
    if not isinstance(job, Job):
        yield job(context, step)
        return
    job.cut(context, step)
    reach("after_cut")
    found = waiting(context, step)
    if found and planned.gate:
        warm_up()
    for batch in found:
        context.watch(Event("batch started", step.id, batch.number, len(found)))
        record = until_published(partial(job.apply, context, step, batch))
        reach("after_batch")
        context.watch(Event("batch done", step.id, batch.number, len(found)))
        yield record


def combined(planned: PlannedStep, done: Sequence[StepRecord], error: PenstockError | None) -> StepRecord:
    """The step's record from those of its batches."""
    worked = [r for r in done if r.status == "done"]
    status: Status = "done" if worked else "nothing to do"
    if error:
        status = "stopped" if isinstance(error, GateStoppedError) else "failed"
    return StepRecord(
        planned.id, planned.kind, status,
        tuple(b for r in worked for b in r.batches), sum((r.counts for r in worked), Counts()), sum(r.commits for r in worked), sum(r.bytes for r in worked),
        gates=tuple(g for r in worked for g in r.gates), note="; ".join(dict.fromkeys(r.note for r in done if r.note)), error=str(error or ""),
        retryable=isinstance(error, Retryable), version=worked[-1].version if worked else None,
    )  # fmt: skip
