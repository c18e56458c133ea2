"""What a step's memory, which is committed before its table, holds of a batch that the table never took."""

from __future__ import annotations

from itertools import takewhile

from penstock.errors import LedgerError
from penstock.pipeline import MergeStep

from .context import Context
from .restoring import planned_restoration, restore
from .targets import MEMORY


def take_back(context: Context, step: MergeStep, number: int) -> None:
    """Bring a step's memory back to what it was before batch `number`, which its table does not hold; nothing where it has none of that batch.

    Raises LedgerError where that state is gone.
    """
    memory = context.lake_table(step.merge.into + MEMORY)
    if memory is None or context.applied(memory.state.ledger, step.id) < number:
        return
    versions = memory.history()
    since = list(takewhile(lambda v: v.batch is None or v.batch >= number, versions))
    of_it = [place for place, v in enumerate(since) if v.batch is not None]
    if not of_it and len(since) < len(versions):
        return  # it was taken back before
    before = versions[of_it[-1] + 1 :] if of_it else ()
    if not before and not (of_it and versions[of_it[-1]].is_first):
        hint = f"apply the batch with `penstock run`, or make {step.merge.into} anew from its sources with `penstock run --full-refresh`"
        raise LedgerError(f"{memory.name} remembers events of batch {number}, and the state that it had before them was expired", hint=hint)
    planned = planned_restoration(context, memory, before[0] if before else None)
    if planned.lost:
        hint = "apply the batch with `penstock run`, and then `penstock rollback` it"
        raise LedgerError(f"{memory.name} cannot be taken back to before batch {number}: its columns were renamed or dropped since", hint=hint)
    restore(context, planned, step.id, number - 1, "penstock.taken_back")
