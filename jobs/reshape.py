"""A table's files written anew with other columns, for formats whose files know columns by their names."""

from __future__ import annotations

from penstock.evolution import Evolution
from penstock.killpoints import reach
from penstock.maintenance import Clustering, Group
from penstock.tables import RUN, Change, LakeTable, Pinned

from .context import Context


def reshaped(context: Context, table: LakeTable, pinned: Pinned, evolution: Evolution) -> Change:
    """Each file of a pinned state with the columns that an evolution gives its rows, in their order."""
    files = table.files(pinned)
    with context.engine.session() as session:
        written = [session.compact(table, pinned, Group(f.partition, (f,)), Clustering(), context.run, evolution).add for f in files]
    reach("before_reshape_commit")
    return Change("overwrite", [file for part in written for file in part], files, summary={RUN: context.run})
