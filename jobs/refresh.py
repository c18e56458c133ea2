"""`--full-refresh`: the selected steps forget what they did, and their targets are made anew from their sources."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from penstock.errors import ArgumentError, DataError
from penstock.pipeline import ReconcileStep

from .context import Context
from .dropped import remember
from .ledger import check_sole, forget_applied, lake_ledger, others_of, target_of
from .load import target_table
from .pins import is_warehouse
from .targets import MEMORY, QUARANTINE
from .waiting import source_of

if TYPE_CHECKING:
    from penstock.plan import PlannedStep


def forget(context: Context, chosen: Sequence[PlannedStep]) -> None:
    """Drop the lake tables, the ledger entries and the manifests of the chosen steps. Manifests go first: a crash in between is found by the ledger check.

    Raises ArgumentError when a step that is not chosen reads the same manifests, NotSupportedError where other pipelines have rows in a table beside ours.
    """
    names = {p.id for p in chosen}
    for step in context.pipeline.steps:
        source = source_of(context, step)
        if step.id not in names and source in names:
            raise ArgumentError(f"step {step.id!r} reads {source!r} too and was not selected", hint=f"select it as well: --select {source}+")
    emptied = {step.id: _is_ours(context, step) for step in context.pipeline.steps if step.id in names}
    for step in (s for s in context.pipeline.steps if s.id in names):
        context.batches(source_of(context, step)).forget()
        forget_applied(context, step)
    for step in (s for s in context.pipeline.steps if s.id in names):
        if emptied[step.id]:
            _forget_target(context, step.id, target_of(step))
        if isinstance(step, ReconcileStep):
            for found in list(context.state.list(f"{step.id}/results/")):
                context.state.delete(found.uri.removeprefix(context.state.root))


def _is_ours(context: Context, step: Any) -> bool:
    """False for a table with rows of other pipelines alone, which stays: it was dropped, and they have filled it again.

    Raises NotSupportedError for one with rows of ours beside theirs.
    """
    target = target_of(step)
    if target is None or target in context.pipeline.connections or is_warehouse(context, target):
        return True
    try:
        ledger = lake_ledger(context, target)
    except DataError:  # its metadata is gone: of such a table there is nothing to lose
        return True
    if any(context.applied(ledger, s.id) for s in context.pipeline.steps if target_of(s) == target):
        hint = "leave the step out (--select), and deliver its rows again as newer events; or drop the table, and --full-refresh each pipeline that writes it"
        check_sole(context, target, ledger, "--full-refresh of", hint=hint)
        return True
    return not others_of(context, ledger)


def _forget_target(context: Context, step_id: str, target: str | None) -> None:
    if target is None:
        return
    if target in context.pipeline.connections or is_warehouse(context, target):
        loaded = target_table(context, target) if "." in target else None
        context.warehouse(target.partition(".")[0]).forget(context.keys(step_id), loaded)
        return
    where = context.table_location(target)
    for suffix in ("", MEMORY, QUARANTINE):
        with suppress(DataError):  # its metadata is gone: where its files lay, nobody knows
            if table := context.lake_table(target + suffix):
                remember(context, target + suffix, table)
        context.catalog(where.connection).drop(where.namespace, where.table + suffix)
