"""A lake table that others made is taken over: with the columns that a merge needs, and a ledger that begins at 0."""

from __future__ import annotations

from dataclasses import dataclass, replace

from penstock.changes.facts import listed
from penstock.engines.base import Session
from penstock.errors import ArgumentError, DataError, NotSupportedError
from penstock.pipeline import Merge, MergeStep
from penstock.schema import Columns, names
from penstock.tables import RUN, Change, LakeTable, Pinned

from .context import Context
from .history import declared_table
from .ledger import target_of
from .lock import exclusive
from .targets import hidden_columns, lake_target

OLDEST = {"int": "-2147483648", "bigint": "-9223372036854775808", "date": "DATE '0001-01-01'"}
_OLDEST_INSTANT = "'0001-01-01 00:00:00'"
_MERGED = (
    "Every row counts as older than any event, so the first event of a key replaces it, and a delete removes it. Deletes from before are not known: "
    "an event of a key that was deleted by then makes its row again, so let the feed begin where the table ends."
)
_COPIED = (
    "The next full copy is compared with these rows: one that differs is replaced, and one whose key the copy does not have is deleted, or marked where "
    "`soft_delete` says so. Keys that only this table has go, so let the copy be of the whole source."
)
_WRITTEN = "An append adds to these rows; an overwrite replaces them, or those of the partitions that it writes."


@dataclass(frozen=True)
class Adopted:
    rows: int
    steps: tuple[str, ...]
    meaning: str


def adopt(context: Context, location: str) -> Adopted:
    """Take a table over for the steps that write it.

    Raises ArgumentError where no step does, or the table is Penstock's already; DataError for columns that are not as declared, and for keys that are NULL or
    stand twice; NotSupportedError for a history, whose versions others cannot have made.
    """
    steps = [s for s in context.pipeline.steps if target_of(s) == location]
    table = declared_table(context, location)
    if not steps:
        raise ArgumentError(f"no step of the pipeline writes {location}", hint="only what a step writes needs adopting; any table can be read")
    if table.pin().ledger:
        raise ArgumentError(f"{location} is kept by Penstock already", hint="`penstock history` shows by which steps")
    merge = next((s.merge for s in steps if isinstance(s, MergeStep)), None)
    if merge and merge.stored_as_scd_type == 2:
        raise NotSupportedError(f"adopting {location} as a history", hint="merge into a new table, and load the old rows as its first events")
    with exclusive(context.state, context.run), context.engine.session() as session:
        rows = _counted(session, table, table.pin(), context.declared(location).keys if merge else ())
        table = lake_target(context, location).table
        pinned, hidden = table.pin(), hidden_columns(context, location)
        change = session.amend(table, pinned, "TRUE", {c: _oldest(hidden, c) for c in names(hidden)}, context.run) if hidden and rows else Change("append")
        ledger = {context.key(s.id): 0 for s in steps}
        outcome = table.commit(pinned, replace(change, ledger=ledger, summary={RUN: context.run, "penstock.adopted": "true"}))
    if outcome.state != "done":
        raise DataError(f"{location} was not adopted: {outcome.cause}", hint="another program wrote it meanwhile; adopt it again")
    return Adopted(rows, tuple(s.id for s in steps), _meaning(merge))


def _meaning(merge: Merge | None) -> str:
    if merge is None:
        return _WRITTEN
    return _COPIED if merge.full_copy else _MERGED


def _oldest(hidden: Columns, column: str) -> str:
    kind = next(c.type for c in hidden if c.name == column)
    return OLDEST.get(kind.name, _OLDEST_INSTANT)


def _counted(session: Session, table: LakeTable, pinned: Pinned, keys: tuple[str, ...]) -> int:
    session.scan("present", table, pinned)
    (found,) = session.query("SELECT COUNT(*) AS rows FROM present").to_pylist()
    if keys:
        nothing = listed("{0} IS NULL", keys, " OR ")
        (bad,) = session.query(f"""SELECT (SELECT COUNT(*) FROM present WHERE {nothing}) AS nothing,
          (SELECT COUNT(*) FROM (SELECT 1 FROM present GROUP BY {listed("{0}", keys)} HAVING COUNT(*) > 1)) AS twice""").to_pylist()
        if bad["nothing"] or bad["twice"]:
            said = f"{bad['nothing']} rows of {table.name} have no key, {bad['twice']} keys stand more than once"
            raise DataError(said, hint=f"a merge needs each key ({', '.join(keys)}) once: correct the rows, or declare other keys")
    return int(found["rows"])
