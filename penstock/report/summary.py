"""The end of a run in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from penstock.jobs.record import RunRecord, StepRecord

COUNTS = ("read", "applied", "unchanged", "superseded", "duplicate", "filtered", "quarantined")


def size(count: int) -> str:
    """Bytes as a person reads them."""
    if count < 1000:
        return f"{count} B"
    power = min((len(str(count)) - 1) // 3, 4)
    return f"{count / 1000**power:.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def row(step: StepRecord) -> tuple[str, ...]:
    """A step's cells: id, status, batches, the seven counts, commits, bytes, seconds, gate."""
    counts = [f"{getattr(step.counts, name):,}" if step.counts.read else "" for name in COUNTS]
    gate = "" if not step.gates else "passed" if all(g.passed for g in step.gates) else "failed"
    batches = "" if not step.batches else str(len(step.batches))
    return (step.step, step.status, batches, *counts, str(step.commits or ""), size(step.bytes) if step.bytes else "", f"{step.seconds:.1f}", gate)


def show_summary(record: RunRecord, out: TextIO) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=None, pad_edge=False)
    for name in ("step", "status", "batches", *COUNTS, "commits", "bytes", "seconds", "gate"):
        table.add_column(name, justify="left" if name in ("step", "status", "gate") else "right", no_wrap=name == "step")
    for step in record.steps:
        table.add_row(*row(step))
    console = Console(file=out, width=None if out.isatty() else 180, soft_wrap=False)
    console.print(table)
    for step in record.steps:
        if step.note and step.status != "not run":
            console.print(f"{step.step}: {step.note}", highlight=False, markup=False)
    what = "nothing to do: no new input" if record.status == "nothing to do" else record.status
    console.print(f"run {record.id}: {what}, {record.seconds:.1f} s", highlight=False, markup=False)
