"""Declared tables beside those that are there: what the next run makes of each before it writes, or why it would stop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from penstock.errors import DataError
from penstock.evolution import Evolution
from penstock.pipeline import CopyStep

from .context import Context
from .load import target_table
from .pins import is_warehouse
from .targets import declaration


@dataclass(frozen=True)
class Compared:
    """A table: the changes that are coming, none where it is as declared; `refused` says what stops the run."""

    table: str
    changes: tuple[str, ...] = ()
    refused: str = ""


def compare(context: Context) -> Iterator[Compared]:
    """Each declared table that a step writes, in the order of the steps; those of procedures and scripts are their own affair."""
    told = set[str]()
    for planned in context.plan.steps:
        step = context.pipeline.step(planned.id)
        for location in (w for w in planned.writes if w in context.pipeline.tables and w not in told):
            if not is_warehouse(context, location) or isinstance(step, CopyStep):
                told.add(location)
                yield _compared(context, step if isinstance(step, CopyStep) else None, location)


def _compared(context: Context, step: CopyStep | None, location: str) -> Compared:
    try:
        if step and is_warehouse(context, location):
            found = context.warehouse(context.table_location(location).connection)
            return Compared(location, tuple(found.compare(context.keys(step.id), target_table(context, location, step.copy_))))
        where = context.table_location(location)
        change = context.catalog(where.connection).compare(where.namespace, where.table, *declaration(context, location))
    except DataError as error:
        return Compared(location, refused=str(error))
    return Compared(location, ("CREATE TABLE",) if change is None else tuple(_said(change)))


def _said(change: Evolution) -> Iterator[str]:
    yield from (f"RENAME COLUMN {old} TO {new}" for old, new in change.rename)
    yield from (f"ADD COLUMN {column}" for column in change.append)
    yield from (f"ALTER COLUMN {column.name} TYPE {column.type}" for column in change.widen)
    yield from (f"DROP COLUMN {name}" for name in change.drop)
