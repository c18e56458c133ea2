"""`penstock batch ls | show | retry | skip`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.cli.opening import ready
from penstock.report.summary import size
from penstock.report.tables import show_rows

if TYPE_CHECKING:
    from penstock.jobs.context import Context


def _context(path: Path, env: str | None) -> Context:
    from datetime import UTC, datetime

    from penstock.jobs.context import Context
    from penstock.jobs.run import new_run_id

    return Context(*ready(path, env), run=new_run_id(datetime.now(UTC)))


def ls_command(path: Path, env: str | None, only: str | None) -> None:
    """A line for each batch of each step."""
    from penstock.jobs.admin import step_named
    from penstock.jobs.ledger import applied_by
    from penstock.jobs.waiting import source_of

    context = _context(path, env)
    chosen = [step_named(context, only)] if only else context.pipeline.steps
    rows = []
    for step in chosen:
        held = applied_by(context, step)
        for batch in context.batches(source_of(context, step)).read():
            what = f"{len(batch.files)} files" if batch.files else ", ".join(batch.pins)
            status = "cut" if hasattr(step, "read") else "applied" if batch.number <= held else "waiting"
            rows.append((step.id, batch.number, status, size(batch.size) if batch.files else "", what))
    show_rows(sys.stdout, ("step", "batch", "status", "bytes", "reads"), rows)


def show_command(path: Path, env: str | None, name: str, number: int) -> None:
    """One batch: what it reads, where it is applied, and the last error that a run met on it."""
    from penstock.jobs.admin import batch_numbered, last_error, readers_of, step_named
    from penstock.jobs.ledger import applied_by, target_of
    from penstock.jobs.waiting import source_of

    context = _context(path, env)
    batch = batch_numbered(context, name, number)
    source = source_of(context, step_named(context, name))
    print(f"batch {number} of step {source}")  # noqa: T201
    show_rows(sys.stdout, ("reads", "bytes or version"), [(f.uri, f.size) for f in batch.files] or list(batch.pins.items()))
    steps = readers_of(context, source)
    show_rows(sys.stdout, ("step", "target", "status"), [(s.id, target_of(s), "applied" if applied_by(context, s) >= number else "waiting") for s in steps])
    for step in steps:
        if applied_by(context, step) + 1 == number and (error := last_error(context, step.id)):
            print(f"step {step.id}, last run: {error}")  # noqa: T201


def retry_command(path: Path, env: str | None, name: str, number: int) -> None:
    from penstock.jobs.admin import retry

    batch, gone = retry(_context(path, env), name, number)
    for uri in gone:
        print(f"no longer there, left out: {uri}")  # noqa: T201
    print(f"batch {number} was cut again: {len(batch.files)} files, {size(batch.size)}; next: penstock run {path}")  # noqa: T201


def skip_command(path: Path, env: str | None, name: str, number: int) -> None:
    from penstock.jobs.admin import skip

    skip(_context(path, env), name, number)
    print(f"batch {number} of step {name} is committed as skipped; next: penstock run {path}")  # noqa: T201
