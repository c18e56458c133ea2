"""A table's rows written anew with other columns, for formats whose files know columns by their names."""

from __future__ import annotations

from dataclasses import replace

from penstock.evolution import Evolution
from penstock.killpoints import reach
from penstock.schema import quote
from penstock.tables import RUN, Change, LakeTable, Pinned

from .context import Context


def reshaped(context: Context, table: LakeTable, pinned: Pinned, evolution: Evolution) -> Change:
    """Files with the columns that an evolution gives the rows of a pinned state, in place of all that it has."""
    columns, before = evolution.of(pinned.columns), evolution.former_names
    new = {c.name for c in evolution.append}
    values = (f"CAST({'NULL' if c.name in new else quote(before.get(c.name, c.name))} AS {c.type.duckdb}) AS {quote(c.name)}" for c in columns)
    with context.engine.session() as session:
        session.scan("former", table, pinned)
        session.execute(f"CREATE VIEW reshaped AS SELECT {', '.join(values)} FROM former")
        change = session.overwrite(table, replace(pinned, columns=columns), "reshaped", context.run)
    reach("before_reshape_commit")
    return replace(change, summary={RUN: context.run})
