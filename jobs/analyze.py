"""How many distinct values columns have, said by a table for those who plan joins."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.errors import LedgerError, NotSupportedError
from penstock.killpoints import reach
from penstock.maintenance import Maintain, changed_share
from penstock.schema import names
from penstock.tables import LakeTable, Pinned

from .context import Context

_SHARE = 0.1  # of the rows changed, as databases have it, make it worth reading all of them


def due(table: LakeTable, policy: Maintain) -> tuple[Pinned, Sequence[str]]:
    """The newest state, and the columns to be counted: none where the table says of a state of almost the same rows how many values they have."""
    pinned = table.pin()
    columns = [c for c in policy.analyze if c in names(pinned.columns)]
    if not columns or pinned.version is None:
        return pinned, ()
    last = table.analyzed(pinned, columns)
    return pinned, () if last is not None and _is_like(table, last, pinned) else columns


def _is_like(table: LakeTable, former: int, pinned: Pinned) -> bool:
    try:
        before = table.files(table.pin(former))
    except (LedgerError, NotSupportedError):  # expired meanwhile, or of a time when others wrote the table
        return False
    return changed_share(before, table.files(pinned)) <= _SHARE


def analyze(context: Context, table: LakeTable, policy: Maintain, sharing: int = 1) -> int:
    """Count the values of the columns for which it is due; returns how many columns, 0 also where that could not be told of the state that was read."""
    pinned, columns = due(table, policy)
    if not columns:
        return 0
    with context.engine.session(sharing) as session:
        sketches = session.sketch(table, pinned, columns)
    reach("before_analysis_commit")
    return len(columns) if table.describe(pinned, sketches) else 0
