"""A table from its present files to those of a former state, planned and checked, then in one commit like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock.connectors.stores import store_at
from penstock.errors import ArgumentError, NotSupportedError
from penstock.maintenance import Clustering, Group
from penstock.schema import names
from penstock.tables import Change, DataFile, LakeTable, Pinned, Version, WrittenFile

from .context import Context
from .publish import publish


@dataclass(frozen=True)
class Restoration:
    """From a table's present files to those of a former state (None: to none), and the names of columns that only the former state had.

    Both states have the present columns, and a file of which other rows were deleted then is another file.
    """

    table: LakeTable
    pinned: Pinned
    former: Pinned | None = None
    missing: Sequence[DataFile] = ()
    gone: Sequence[DataFile] = ()
    lost: frozenset[str] = frozenset()


def planned_restoration(context: Context, table: LakeTable, version: Version | None) -> Restoration:
    """Raises NotSupportedError for a state that cannot stand again, ArgumentError where its files are gone."""
    pinned = table.pin()
    now = {(f.uri, f.deletes): f for f in table.files(pinned)}
    if version is None:
        return Restoration(table, pinned, gone=tuple(now.values()))
    former = table.pin(version.version)
    if former.rewritten != pinned.rewritten:
        hint = "make it anew from its sources with `penstock run --full-refresh`"
        raise NotSupportedError(f"rolling back {table.name} to version {former.version}, whose files have other columns,", hint=hint)
    lost = frozenset(names(former.columns)) - set(names(pinned.columns))
    former = replace(former, columns=pinned.columns, schema=pinned.schema, evolved=former.evolved or pinned.evolved)
    then = {(f.uri, f.deletes): f for f in table.files(former)}
    missing, gone = [f for key, f in then.items() if key not in now], [f for key, f in now.items() if key not in then]
    _check_files(context, table, version, missing)
    return Restoration(table, pinned, former, missing, gone, lost)


def _check_files(context: Context, table: LakeTable, version: Version, missing: Sequence[DataFile]) -> None:
    own = {f.uri for f in missing if f.uri.startswith(f"{table.location}/")}
    if own and (vacuumed := own - {found.uri for found in store_at(table.location, context.aws).list()}):
        raise ArgumentError(f"{len(vacuumed)} files of version {version.version} of {table.name} are gone", hint="a vacuum removed them")


def restore(context: Context, planned: Restoration, step_id: str, batch: int, why: str) -> None:
    """One commit from the present files to those of a former state; none of it for a table without commits, or in that very state.

    `why`: what the commit says of itself.
    """
    table, pinned, former = planned.table, planned.pinned, planned.former
    if pinned.version is None or (former and former.version == pinned.version):
        return
    present = {f.uri for f in table.files(pinned)}
    back = [WrittenFile(f.uri, f.partition, f.bytes, f.rows, native=f.native) for f in planned.missing if not f.deletes and f.uri not in present]
    with context.engine.session() as session:
        for file in planned.missing:
            if former and file.uri not in {f.uri for f in back}:
                back += session.compact(table, former, Group(file.partition, (file,)), Clustering(), context.run).add
    change = Change("overwrite", back, planned.gone, summary={why: str(former.version if former else 0)})
    publish(context, table, pinned, change, step_id, batch)
