"""What a lake table was: its former states, and the one that stood at a time."""

from __future__ import annotations

from datetime import UTC, datetime

from penstock.errors import ArgumentError
from penstock.tables import LakeTable, Version

from .context import Context
from .pins import existing


def declared_table(context: Context, location: str) -> LakeTable:
    """A lake table of the pipeline; raises ArgumentError for another name, DataError before a run made it."""
    context.check_lake_table(location)
    return existing(context, location)


def version_at(table: LakeTable, when: str) -> Version:
    """The state with that number, or the last one committed by that time (UTC where it names no zone). Raises ArgumentError where there is none."""
    known = table.history()
    if not known:
        raise ArgumentError(f"table {table.name} has no former states")
    found = [v for v in known if v.version == int(when)] if when.isdigit() else [v for v in known if v.at <= _time(when)]
    if not found:
        raise ArgumentError(
            f"table {table.name} has no state {when!r}: it goes back to {known[-1].at:%Y-%m-%dT%H:%M:%S}Z, {known[-1].version}", hint="see `penstock history`"
        )
    return found[0]


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentError(f"{text!r} is neither a time (2026-01-31, 2026-01-31T12:00:00Z) nor the number of a snapshot or version") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def after_batch(context: Context, table: LakeTable, step_id: str, batch: int) -> Version | None:
    """The newest state whose own commit says no later batch of a step; None where the table had no state before the first that says one.

    What a commit was for counts before its ledger, which may be ahead of it after a crash, as a memory's is.

    Raises ArgumentError where it is gone.
    """
    versions, keys = table.history(), context.keys(step_id)
    said = ((v, [v.ledger[key] for key in keys if key in v.ledger]) for v in versions)
    found = next((v for v, numbers in said if numbers and (max(numbers) if v.batch is None else v.batch) <= batch), None)
    if found is None and versions and not versions[-1].is_first:
        raise ArgumentError(f"table {table.name} no longer has the state after batch {batch}", hint="see `penstock history`; older states were expired")
    return found
