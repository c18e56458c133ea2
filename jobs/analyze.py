"""How many distinct values columns have, said by a table for those who plan joins."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.killpoints import reach
from penstock.maintenance import Maintain, changed_share
from penstock.schema import names
from penstock.tables import LakeTable

from .context import Context

_SHARE = 0.1  # of the rows changed, as databases have it, make it worth reading all of them


def due(table: LakeTable, policy: Maintain) -> Sequence[str]:
    """The columns to be counted: none where the table says of a state of almost the same rows how many values they have."""
    pinned = table.pin()
    columns = [c for c in policy.analyze if c in names(pinned.columns)]
    if not columns or pinned.version is None:
        return ()
    if (last := table.analyzed(columns)) is None:
        return columns
    return columns if changed_share(table.files(table.pin(last)), table.files(pinned)) > _SHARE else ()


def analyze(context: Context, table: LakeTable, policy: Maintain, sharing: int = 1) -> int:
    """Count the values of the columns for which it is due; returns how many columns, 0 also where another commit was quicker."""
    if not (columns := due(table, policy)):
        return 0
    pinned = table.pin()
    with context.engine.session(sharing) as session:
        sketches = session.sketch(table, pinned, columns)
    reach("before_analysis_commit")
    return len(columns) if table.describe(pinned, sketches) else 0
