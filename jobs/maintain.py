"""`maintain`: tables kept small, after the steps that write them. It has no batches: each run does what is due."""

from __future__ import annotations

from penstock.pipeline import MaintainStep

from .context import Context
from .load import target_table
from .pins import is_warehouse
from .record import Status, StepRecord
from .upkeep import Maintained, maintain


def work(context: Context, step: MaintainStep) -> StepRecord:
    """Maintain the step's tables; one of the lake that is written meanwhile is left to the next run."""
    loaded = [t for t in step.maintain.tables if is_warehouse(context, t)]
    done = list(maintain(context, [t for t in step.maintain.tables if t not in loaded], max_bytes=step.maintain.max_bytes, daily=True))
    said = [_said(m) for m in done if m.yielded or not m.is_nothing]
    vacuumed = [s for t in loaded for s in context.warehouse(t.partition(".")[0]).maintain(target_table(context, t), context.declared(t).maintain)]
    status: Status = "nothing to do" if all(m.is_nothing for m in done) and not vacuumed else "done"
    return StepRecord(step.id, "maintain", status, bytes=sum(m.written_bytes for m in done), note="; ".join([*said, *vacuumed]))


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
