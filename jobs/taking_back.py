"""What a step's memory, which is committed before its table, holds of a batch that the table never took."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import takewhile

from penstock.errors import LedgerError
from penstock.pipeline import MergeStep
from penstock.tables import Version

from .context import Context
from .ledger import others_of
from .restoring import planned_restoration, restore
from .targets import MEMORY


def take_back(context: Context, step: MergeStep, number: int) -> None:
    """Bring a step's memory back to what it was before batch `number`, which its table does not hold; nothing where it has none of that batch.

    Raises LedgerError where that state is gone, or where another pipeline wrote the memory since.
    """
    memory = context.lake_table(step.merge.into + MEMORY)
    if memory is None or context.applied(memory.state.ledger, step.id) < number:
        return
    versions = memory.history()
    is_ours = _ours(context, step, memory.state.ledger)
    ours = [place for place, v in enumerate(versions) if v.batch is not None and is_ours(v)]
    of_it = list(takewhile(lambda place: (versions[place].batch or 0) >= number, ours))
    if ours and not of_it:
        return  # it was taken back before
    if of_it and any(v.batch is not None and not is_ours(v) for v in versions[: of_it[-1]]):
        hint = "apply the batch with `penstock run`, and deliver what is to be otherwise as newer events"
        raise LedgerError(f"{memory.name} remembers events of batch {number}, and another pipeline's since, which would be taken back with them", hint=hint)
    before = versions[of_it[-1] + 1 :] if of_it else ()
    if not before and not (of_it and versions[of_it[-1]].is_first):
        hint = f"apply the batch with `penstock run`, or make {step.merge.into} anew from its sources with `penstock run --full-refresh`"
        raise LedgerError(f"{memory.name} remembers events of batch {number}, and the state that it had before them was expired", hint=hint)
    planned = planned_restoration(context, memory, before[0] if before else None)
    if planned.lost:
        hint = "apply the batch with `penstock run`, and then `penstock rollback` it"
        raise LedgerError(f"{memory.name} cannot be taken back to before batch {number}: its columns were renamed or dropped since", hint=hint)
    restore(context, planned, step.id, number - 1, "penstock.taken_back")


def _ours(context: Context, step: MergeStep, ledger: Mapping[str, int]) -> Callable[[Version], bool]:
    """Whether a commit with a batch is of this step; one that does not say so, only while no other pipeline has batches there."""
    keys, alone = context.keys(step.id), not others_of(context, ledger)
    return lambda version: version.step in keys or (alone and not version.step)
