"""What a step's memory, which is committed before its table, holds of a batch that the table never took."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

from penstock.errors import LedgerError
from penstock.maintenance import Clustering, Group
from penstock.pipeline import MergeStep
from penstock.schema import names
from penstock.tables import Change, LakeTable, Version, WrittenFile

from .context import Context
from .publish import publish
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
    _restore(context, memory, before[0] if before else None, step.id, number - 1)


def _restore(context: Context, memory: LakeTable, version: Version | None, step_id: str, batch: int) -> None:
    """One commit from the present files to those of a former state, to none where it is None; its ledger never goes back."""
    pinned, former = memory.pin(), memory.pin(version.version) if version else None
    if former:
        if former.rewritten != pinned.rewritten or set(names(former.columns)) - set(names(pinned.columns)):
            hint = "apply the batch with `penstock run`, and then `penstock rollback` it"
            raise LedgerError(f"{memory.name} cannot be taken back to before batch {batch + 1}: its columns were renamed or dropped since", hint=hint)
        former = replace(former, columns=pinned.columns, schema=pinned.schema, evolved=former.evolved or pinned.evolved)
    now = {(f.uri, f.deletes): f for f in memory.files(pinned)}
    then = {(f.uri, f.deletes): f for f in memory.files(former)} if former else {}
    add: list[WrittenFile] = []
    with context.engine.session() as session:
        for file in (f for key, f in then.items() if key not in now):
            assert former
            # of a file that is still live, or had deleted rows, the rows that were live then are written anew
            if file.deletes or file.uri in {uri for uri, _ in now}:
                add += session.compact(memory, former, Group(file.partition, (file,)), Clustering(), context.run).add
            else:
                add.append(WrittenFile(file.uri, file.partition, file.bytes, file.rows))
    gone = [f for key, f in now.items() if key not in then]
    change = Change("overwrite", add, gone, summary={"penstock.taken_back": str(batch + 1)})
    if not change.is_empty:
        publish(context, memory, pinned, change, step_id, batch)
