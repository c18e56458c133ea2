"""Rows kept from a table, published beside it before the batch itself."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from penstock.engines.base import Session
from penstock.errors import GateStoppedError
from penstock.killpoints import reach
from penstock.schema import literal

from .context import Context
from .publish import publish
from .targets import QUARANTINE, quarantine_table

if TYPE_CHECKING:
    import pyarrow as pa

_KEYS = "__step, __batch, __position"


def _within_limit(limit: int | str | None, bad: pa.Table, read: int, batch: int) -> None:
    most = read * Decimal(limit.rstrip(" %")) / 100 if isinstance(limit, str) else limit
    if most is None or bad.num_rows <= most:
        return
    reasons = "; ".join(sorted({str(r) for r in bad["__reason"].slice(0, 1000).to_pylist()})[:3])
    raise GateStoppedError(
        f"batch {batch} would quarantine {bad.num_rows} of {read} rows, more than max_quarantined: {limit} lets it: {reasons}",
        hint="correct the source and `penstock batch retry`, or raise max_quarantined and run again, or `penstock batch skip`",
    )


def quarantine(context: Context, session: Session, location: str, step_id: str, batch: int, bad: pa.Table, *, read: int) -> int:
    """Publish a batch's bad rows, of so many read; a batch done again replaces what it had put there. Returns the number of commits.

    Raises GateStoppedError, before anything is published, for more of them than the step's `max_quarantined`.
    """
    _within_limit(context.pipeline.step(step_id).max_quarantined, bad, read, batch)
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
