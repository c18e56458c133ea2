"""`maintain`: tables kept small, after the steps that write them. It has no batches: each run does what is due."""

from __future__ import annotations

from penstock.pipeline import MaintainStep

from .context import Context
from .record import Status, StepRecord
from .upkeep import Maintained, maintain


def work(context: Context, step: MaintainStep) -> StepRecord:
    """Maintain the step's tables; one that is written meanwhile is left to the next run."""
    done = list(maintain(context, step.maintain.tables, max_bytes=step.maintain.max_bytes, daily=True))
    said = [_said(m) for m in done if m.yielded or not m.is_nothing]
    status: Status = "nothing to do" if all(m.is_nothing for m in done) else "done"
    return StepRecord(step.id, "maintain", status, bytes=sum(m.written_bytes for m in done), note="; ".join(said))


def _said(done: Maintained) -> str:
    counts = {
        "groups written anew": done.compacted,
        "groups left to writers": done.yielded,
        "manifests fewer": done.manifests,
        "states expired": done.expired,
        "keys forgotten": done.forgotten,
        "columns analyzed": done.analyzed,
        "files removed": done.removed.files,
    }
    return f"{done.location}: {', '.join(f'{number} {what}' for what, number in counts.items() if number)}"
