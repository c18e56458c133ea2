"""What each target holds, read from the target itself, and whether that agrees with the state store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.errors import LedgerError, nearest
from penstock.pipeline import CallStep, CopyStep, DeleteStep, MergeStep, ReconcileStep, TransformStep, UnloadStep, UpdateStep

from . import reconcile
from .context import Context
from .pins import is_warehouse


def target_of(step: Any) -> str | None:
    """A table's location, or a warehouse connection: where a step's ledger lies. None where the step has none of its own."""
    match step:
        case MergeStep():
            return step.merge.into
        case TransformStep():
            return step.transform.into
        case CopyStep():
            return step.copy_.into
        case DeleteStep():
            return step.delete.table
        case UpdateStep():
            return step.update.table
        case CallStep():
            return step.call.on
        case UnloadStep():
            return step.unload.from_
    return None


def lake_ledger(context: Context, location: str) -> Mapping[str, int]:
    """A lake table's ledger; empty while the table does not exist."""
    table = context.lake_table(location)
    return table.pin().ledger if table else {}


def applied_by(context: Context, step: Any) -> int:
    """The last batch that a step's target holds."""
    target = target_of(step)
    if isinstance(step, ReconcileStep):
        return reconcile.checked(context, step)
    if target is None:
        return context.batches(step.id).head()
    if target in context.pipeline.connections or is_warehouse(context, target):
        name = target.partition(".")[0]
        return context.warehouse(name).applied(context.keys(step.id))
    return context.applied(lake_ledger(context, target), step.id)


def check_owners(context: Context, location: str, ledger: Mapping[str, int]) -> None:
    """Raises LedgerError for an entry that no step of this pipeline owns: a step was renamed or removed, or another pipeline writes here."""
    owned = {key for step in context.pipeline.steps for key in context.keys(step.id)}
    for key in sorted(set(ledger) - owned):
        owner, _, step = key.partition("/")
        if owner == context.pipeline.pipeline:
            hint = f"if step {step!r} was renamed, give the new step `renamed_from: {step}`{nearest(step, [s.id for s in context.pipeline.steps])}"
            raise LedgerError(f"{location} holds batches of a step {step!r} that the pipeline does not have", hint=hint)
        raise LedgerError(
            f"{location} is kept by pipeline {owner!r} (step {step!r}); a table has one owner", hint="write to a table of your own, and read this one"
        )


def check_ledgers(context: Context, source_of: Any) -> None:
    """Hold every target against the state store before anything is done.

    Raises LedgerError when a target is ahead of the manifests (the state store was lost, or restored from an older copy), or holds entries of others.
    """
    for step in context.pipeline.steps:
        target = target_of(step)
        if target is None:
            continue
        if target not in context.pipeline.connections and not is_warehouse(context, target):
            check_owners(context, target, lake_ledger(context, target))
        source = source_of(context, step)
        held, cut = applied_by(context, step), context.batches(source).head()
        if held > cut:
            raise LedgerError(
                f"{target} holds batch {held} of step {step.id!r}, but the state store {context.state.root} knows only {cut}",
                hint="it is another or an older state store: point the pipeline at the right one, or rebuild with `penstock run --full-refresh`",
            )
