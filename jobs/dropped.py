"""Folders of lake tables that a full refresh dropped: their files stay for a while, as those of former states do, and then go."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from penstock.connectors.paths import plain
from penstock.connectors.stores import store_at
from penstock.tables import LakeTable

from .context import Context

_OURS = re.compile(r"-[0-9a-f]{8}$")  # what new tables' folders end in; one that was adopted is not ours to remove


@dataclass(frozen=True)
class Cleared:
    """A dropped table's folder, what was removed from it (URI and bytes), and how many files it still has."""

    folder: str
    removed: tuple[tuple[str, int], ...]
    left: int


def remember(context: Context, location: str, table: LakeTable) -> None:
    """Note a table that is about to be dropped."""
    folder = plain(table.location).rstrip("/")
    if _OURS.search(folder):
        note = {"folder": folder, "dropped": context.now.isoformat()}
        context.state.write(f"{_notes(location)}{folder.rpartition('/')[2]}.json", json.dumps(note).encode())


def clear(context: Context, location: str, before: datetime | None = None) -> Iterator[Cleared]:
    """Empty the folders of tables of this name that were dropped, all without `before`."""
    for note in list(context.state.list(_notes(location))):
        key = note.uri.removeprefix(context.state.root)
        said = json.loads(context.state.read(key))
        if before and datetime.fromisoformat(said["dropped"]) >= before:
            continue
        table = context.lake_table(location)
        if table is None or plain(table.location).rstrip("/") != said["folder"]:  # else the run ended between the note and the drop
            store = store_at(said["folder"], context.aws)
            found = list(store.list())
            for file in found:
                store.delete(file.uri.removeprefix(store.root))
            yield Cleared(said["folder"], tuple((f.uri, f.size) for f in found), len(list(store.list())))
        context.state.delete(key)


def _notes(location: str) -> str:
    return f"dropped/{location}/"
