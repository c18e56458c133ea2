"""What each target holds, read from the target itself, and whether that agrees with the state store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.errors import LedgerError, NotSupportedError, nearest
from penstock.pipeline import CallStep, CopyStep, DeleteStep, ExternalStep, MergeStep, ReconcileStep, SqlStep, TransformStep, UnloadStep, UpdateStep
from penstock.tables import LakeTable

from . import reconcile
from .context import Context
from .pins import is_warehouse

_APPLIED = "applied.json"
_ROLLBACK = "rollback.json"


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
        case SqlStep():
            return step.sql.on
        case UnloadStep():
            return step.unload.from_
        case ExternalStep():
            return step.external.on
    return None


def lake_ledger(context: Context, location: str) -> Mapping[str, int]:
    """A lake table's ledger; empty while the table does not exist."""
    table = context.lake_table(location)
    return table.state.ledger if table else {}


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


def note_applied(context: Context, step: Any, batch: int, version: int | None = None) -> None:
    """Keep beside the step's manifests that a lake table holds a batch: only to see, later, that it was there. What it holds, it says itself.

    `version`: the state that the batch made; the table is asked for its present one where that is not known.
    """
    if (place := _lake_place(context, step)) is not None:
        if version is None:
            table = context.lake_table(target_of(step) or "")
            version = table.state.version if table else None
        noted = {"target": place, "batch": batch, "version": version}
        context.state.write(f"{step.id}/{_APPLIED}", json.dumps(noted).encode())


def forget_applied(context: Context, step: Any) -> None:
    """Forget what is known of a lake table that is to be made anew: also that a rollback of it was interrupted."""
    context.state.delete(f"{step.id}/{_APPLIED}")
    if (found := rollback_begun(context)) and found["table"] == target_of(step):
        note_rollback(context, None)


def note_rollback(context: Context, asked: Mapping[str, Any] | None) -> None:
    """Keep what is being rolled back until all of it is done (None): in between table and memory are of two times, and what is cut again is not complete."""
    if asked is None:
        context.state.delete(_ROLLBACK)
    else:
        context.state.write(_ROLLBACK, json.dumps(asked).encode())


def rollback_begun(context: Context) -> Mapping[str, Any] | None:
    """What is being rolled back, or was when that was interrupted."""
    found = context.state.find(_ROLLBACK)
    return dict(json.loads(found[0])) if found else None


def check_rollback(context: Context, asked: Mapping[str, Any] | None = None) -> bool:
    """True where the rollback that is asked for was begun before. Raises LedgerError where another one was, and not finished."""
    begun = rollback_begun(context)
    if begun and begun != asked:
        hint = f"repeat it: penstock rollback {begun['table']} --to {begun['to']} --then {begun['then']}"
        raise LedgerError(f"a rollback of {begun['table']} was interrupted", hint=hint)
    return begun is not None


def _lake_place(context: Context, step: Any) -> str | None:
    """A lake table with the warehouse that it lies in; None for other targets."""
    target = target_of(step)
    if target is None or target in context.pipeline.connections or is_warehouse(context, target):
        return None
    return f"{context.catalog(context.table_location(target).connection).warehouse} {target}"


def _noted(context: Context, step: Any) -> tuple[int, int | None]:
    """The last batch that the step's lake table is known to have held, and the version that the table had then; 0 where it never held any."""
    place = _lake_place(context, step)
    for name in filter(None, (step.id, step.renamed_from)):
        note = context.state.find(f"{name}/{_APPLIED}") if place else None
        if note and (said := json.loads(note[0]))["target"] == place:
            return said["batch"], said.get("version")
    return 0, None


def check_owners(context: Context, location: str, ledger: Mapping[str, int]) -> None:
    """Raises LedgerError for an entry that no step of this pipeline owns: a step was renamed or removed, or another pipeline writes here unasked."""
    owned = {key for step in context.pipeline.steps for key in context.keys(step.id)}
    for key in sorted(set(ledger) - owned):
        owner, _, step = key.partition("/")
        if owner == context.pipeline.pipeline:
            hint = f"if step {step!r} was renamed, give the new step `renamed_from: {step}`{nearest(step, [s.id for s in context.pipeline.steps])}"
            raise LedgerError(f"{location} holds batches of a step {step!r} that the pipeline does not have", hint=hint)
        if not context.declared(location).shared:
            hint = "write to a table of your own, and read this one; or declare `shared: true` on the table in both pipelines"
            raise LedgerError(f"{location} is kept by pipeline {owner!r} (step {step!r}); a table has one owner", hint=hint)


def others_of(context: Context, ledger: Mapping[str, int]) -> Sequence[str]:
    """The other pipelines that have batches in a ledger."""
    return sorted({key.partition("/")[0] for key in ledger} - {context.pipeline.pipeline})


def check_sole(context: Context, location: str, ledger: Mapping[str, int], doing: str, *, hint: str) -> None:
    """Raises NotSupportedError where a table holds batches of other pipelines too."""
    if others := others_of(context, ledger):
        raise NotSupportedError(f"{doing} {location}, into which pipeline {', '.join(others)} writes too,", hint=hint)


def check_adopted(location: str, table: LakeTable) -> None:
    """Raises LedgerError for a table with rows that no pipeline ever wrote."""
    if not table.state.ledger and table.files(table.state):
        raise LedgerError(f"{location} has rows that Penstock never wrote", hint=f"`penstock adopt {location}` says what taking it over means, and does so")


def check_ledgers(context: Context, source_of: Any) -> None:
    """Hold every target against the state store before anything is done.

    Raises LedgerError when a rollback was interrupted, or when a target is ahead of the manifests (the state store was lost, or restored from an older
    copy), holds entries of others, or lacks what it held (it was dropped).
    """
    check_rollback(context)
    for step in context.pipeline.steps:
        target = target_of(step)
        if target is None:
            continue
        is_lake = target not in context.pipeline.connections and not is_warehouse(context, target)
        table = context.lake_table(target) if is_lake else None
        ledger = table.state.ledger if table else {}
        if table:
            check_adopted(target, table)
            check_owners(context, target, ledger)
        held = context.applied(ledger, step.id) if is_lake else applied_by(context, step)
        cut = context.batches(source_of(context, step)).head()
        if held > cut:
            raise LedgerError(
                f"{target} holds batch {held} of step {step.id!r}, but the state store {context.state.root} knows only {cut}",
                hint="it is another or an older state store: point the pipeline at the right one, or rebuild with `penstock run --full-refresh`",
            )
        _check_kept(context, step, target, table, held)


def _check_kept(context: Context, step: Any, target: str, table: LakeTable | None, held: int) -> None:
    """Raises LedgerError where another tool took away what was applied: the rows and the number, or, the number left in its place, the rows alone."""
    batch, version = _noted(context, step)
    if held < batch:
        raise LedgerError(
            f"{target} holds batch {held} of step {step.id!r}, but batch {batch} was applied to it: another tool dropped it, or made it anew",
            hint="bring it back as it was, or make it anew from its sources with `penstock run --full-refresh`",
        )
    if table and version is not None and not table.has_kept(version):
        raise LedgerError(
            f"{target} had batch {batch} of step {step.id!r} in its state {version}, and another tool brought it back to a state from before",
            hint=f"bring that state back, or say what becomes of the batches since: `penstock history {target}`, then "
            f"`penstock rollback {target} --to BATCH --then replay` (or skip)",
        )
