"""The one way onto a lake table: commit a planned change by compare-and-swap, and settle what is unknown by reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

from penstock.commits import Outcome, settle
from penstock.errors import CommitConflictError, ExecutorLostError, TooHeavyError
from penstock.killpoints import reach
from penstock.tables import BATCH, COMMIT, RUN, STEP, Change, LakeTable, Pinned

from .context import Context
from .record import StepRecord

ATTEMPTS = 5


def publish(context: Context, table: LakeTable, pinned: Pinned, change: Change, step_id: str, batch: int) -> Outcome:
    """Commit one batch of one step onto the state that it was planned on; the ledger entry travels with it.

    Whether a commit without an answer arrived, its own mark in the table's history says: the ledger may have stood at that number before.
    Raises CommitConflictError after a lost race, CommitUnknownError when the target cannot say what became of the commit.
    """
    number = max(batch, context.applied(pinned.ledger, step_id))
    mark = uuid4().hex
    summary = {**change.summary, RUN: context.run, STEP: context.key(step_id), BATCH: str(batch), COMMIT: mark}
    reach("before_commit")
    outcome = table.commit(pinned, replace(change, ledger={context.key(step_id): number}, summary=summary))
    reach("after_commit")
    return settle(outcome, lambda: any(v.commit == mark for v in table.history()), batch)


def until_published(attempt: Callable[[], StepRecord]) -> StepRecord:
    """Do a batch; after a lost race, or a lost executor, or where the driver alone is too small for it, do it again from fresh pins, five times at most."""
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except (CommitConflictError, ExecutorLostError, TooHeavyError):
            continue
    return attempt()
