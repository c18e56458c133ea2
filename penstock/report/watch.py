"""A run as it happens: progress bars on a terminal, plain lines elsewhere, JSON lines for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from penstock.jobs.record import Event


def as_line(event: Event) -> str:
    """One event as plain text; empty for those that say nothing by themselves."""
    match event.kind:
        case "run started":
            return f"run {event.message}: {event.total} steps"
        case "batch done":
            return f"{event.step}: batch {event.batch} done"
        case "step done":
            return f"{event.step}: {event.message}"
        case "note":
            return f"{event.step}: {event.message}"
    return ""


def _lines(out: TextIO) -> Callable[[Event], None]:
    def watch(event: Event) -> None:
        if line := as_line(event):
            print(line, file=out, flush=True)

    return watch


def _json(out: TextIO) -> Callable[[Event], None]:
    def watch(event: Event) -> None:
        print(json.dumps(asdict(event), default=str), file=out, flush=True)

    return watch


@contextmanager
def _bars(out: TextIO) -> Iterator[Callable[[Event], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[said]}"),
    )
    with Progress(*columns, console=Console(file=out)) as progress:
        tasks = {}

        def watch(event: Event) -> None:
            match event.kind:
                case "step started":
                    tasks[event.step] = progress.add_task(event.step, total=None, said="")
                case "batch started":
                    progress.update(tasks[event.step], total=event.total)
                case "batch done":
                    progress.advance(tasks[event.step])
                case "step done":
                    task = progress.tasks[tasks[event.step]]
                    progress.update(task.id, total=task.total or 1, completed=task.total or 1, said=event.message)
                    progress.stop_task(task.id)
                case "note":
                    progress.console.print(as_line(event), markup=False, highlight=False)

        yield watch


@contextmanager
def watching(out: TextIO, *, as_json: bool) -> Iterator[Callable[[Event], None]]:
    """A watcher that fits where its output goes."""
    if as_json:
        yield _json(out)
    elif out.isatty():
        with _bars(out) as watch:
            yield watch
    else:
        yield _lines(out)
