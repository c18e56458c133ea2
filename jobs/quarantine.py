"""Rows kept from a table, published beside it before the batch itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.engines.base import Session
from penstock.killpoints import reach
from penstock.schema import literal

from .context import Context
from .publish import publish
from .targets import QUARANTINE, quarantine_table

if TYPE_CHECKING:
    import pyarrow as pa

_KEYS = "__step, __batch, __position"


def quarantine(context: Context, session: Session, location: str, step_id: str, batch: int, bad: pa.Table) -> int:
    """Publish a batch's bad rows; a batch done again replaces what it had put there. Returns the number of commits."""
    if not bad.num_rows and context.lake_table(location + QUARANTINE) is None:
        return 0
    table = quarantine_table(context, location)
    pinned = table.state
    held = context.applied(pinned.ledger, step_id) >= batch
    if not bad.num_rows and not held:
        return 0
    session.load("bad", bad)
    if held:
        session.scan("kept", table, pinned)
        mine = f"__step = {literal(context.key(step_id))} AND __batch = {batch}"
        session.execute(f"CREATE OR REPLACE TEMP TABLE withdrawn AS SELECT {_KEYS} FROM kept WHERE {mine} EXCEPT SELECT {_KEYS} FROM bad")
        change = session.rewrite(table, pinned, "bad", "withdrawn", context.run)
    else:
        change = session.append(table, pinned, "bad", context.run)
    publish(context, table, pinned, change, step_id, batch)
    reach("after_quarantine")
    return 1
