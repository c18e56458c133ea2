"""`--full-refresh`: the selected steps forget what they did, and their targets are made anew from their sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.errors import ArgumentError
from penstock.pipeline import ReconcileStep

from .context import Context
from .copy import target_table
from .ledger import forget_applied, target_of
from .pins import is_warehouse
from .targets import MEMORY, QUARANTINE
from .waiting import source_of

if TYPE_CHECKING:
    from penstock.plan import PlannedStep


def forget(context: Context, chosen: Sequence[PlannedStep]) -> None:
    """Drop the lake tables, the ledger entries and the manifests of the chosen steps. Manifests go first: a crash in between is found by the ledger check.

    Raises ArgumentError when a step that is not chosen reads the same manifests.
    """
    names = {p.id for p in chosen}
    for step in context.pipeline.steps:
        source = source_of(context, step)
        if step.id not in names and source in names:
            raise ArgumentError(f"step {step.id!r} reads {source!r} too and was not selected", hint=f"select it as well: --select {source}+")
    for step in (s for s in context.pipeline.steps if s.id in names):
        context.batches(source_of(context, step)).forget()
        forget_applied(context, step)
    for step in (s for s in context.pipeline.steps if s.id in names):
        _forget_target(context, step.id, target_of(step))
        if isinstance(step, ReconcileStep):
            for found in list(context.state.list(f"{step.id}/results/")):
                context.state.delete(found.uri.removeprefix(context.state.root))


def _forget_target(context: Context, step_id: str, target: str | None) -> None:
    if target is None:
        return
    if target in context.pipeline.connections or is_warehouse(context, target):
        loaded = target_table(context, target) if "." in target else None
        context.warehouse(target.partition(".")[0]).forget(context.keys(step_id), loaded)
        return
    where = context.table_location(target)
    for suffix in ("", MEMORY, QUARANTINE):
        context.catalog(where.connection).drop(where.namespace, where.table + suffix)
