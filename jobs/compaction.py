"""Files written anew and put in place of the old ones. Writers go first: what they changed meanwhile is left alone, the rest is committed beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.killpoints import reach
from penstock.maintenance import Clustering, Group
from penstock.tables import RUN, Change, DataFile, LakeTable, Pinned, WrittenFile

from .context import Context

_ATTEMPTS = 5
Written = Sequence[tuple[Group, Sequence[WrittenFile]]]


@dataclass(frozen=True)
class Compacted:
    """Groups that are in place now, and the bytes that were written for them."""

    groups: int = 0
    bytes: int = 0


def summary(context: Context, what: str) -> Mapping[str, str]:
    """What a commit of maintenance says of itself."""
    return {RUN: context.run, "penstock.maintenance": what}


def compact(context: Context, table: LakeTable, groups: Sequence[Group], order: Clustering, sharing: int = 1) -> Compacted:
    """Write groups anew and put them in place in one commit.

    What was written for a group stays good as long as its files are what they were, and the table's columns and order.
    """
    pinned, live = _state(table)
    shape = (pinned.schema, table.design.sort_by)
    with context.engine.session(sharing) as session:
        written: Written = [(g, session.compact(table, pinned, g, order, context.run).add) for g in groups if _is_live(g, live)]
    for _ in range(_ATTEMPTS):
        if not written:
            break
        reach("before_compaction_commit")
        add = [file for _, files in written for file in files]
        change = Change("replace", add, [live[f.uri] for g, _ in written for f in g.files], summary=summary(context, "compaction"))
        if _committed(table, pinned, change):
            reach("after_compaction_commit")
            return Compacted(len(written), change.bytes)
        pinned, live = _state(table)
        written = [(g, files) for g, files in written if shape == (pinned.schema, table.design.sort_by) and _is_live(g, live)]
    return Compacted()


def _state(table: LakeTable) -> tuple[Pinned, Mapping[str, DataFile]]:
    pinned = table.pin()
    return pinned, {f.uri: f for f in table.files(pinned)}


def _is_live(group: Group, live: Mapping[str, DataFile]) -> bool:
    """True while none of a group's files went, and no more of its rows were deleted."""
    return all(f.uri in live and (live[f.uri].rows, live[f.uri].deletes) == (f.rows, f.deletes) for f in group.files)


def _committed(table: LakeTable, pinned: Pinned, change: Change) -> bool:
    outcome = table.commit(pinned, change)
    if outcome.state != "unknown":
        return outcome.state == "done"
    _, live = _state(table)
    return all(file.uri in live for file in change.add) and not any(f.uri in live for f in change.remove)
