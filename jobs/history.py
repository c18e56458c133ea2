"""What a lake table was: its former states, and the one that stood at a time."""

from __future__ import annotations

from collections.abc import Sequence
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


def after_batch(table: LakeTable, versions: Sequence[Version], key: str, batch: int) -> Version:
    """The newest state whose own commit says no later batch of a step. Raises ArgumentError where it is gone."""
    found = next((v for v in versions if v.ledger.get(key, batch + 1) <= batch), None)
    if found is None:
        raise ArgumentError(f"table {table.name} no longer has the state after batch {batch}", hint="see `penstock history`; older states were expired")
    return found
