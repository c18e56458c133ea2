"""Delta's log as files: commits put there if absent, and what delta-rs does not tell of live files: their deletion vectors, their statistics as written."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.commits import Outcome
from penstock.connectors.reaching import lost_answers
from penstock.objects import ObjectStore
from penstock.threads import each

Action = Mapping[str, Any]

_FOLDER = "_delta_log/"
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.\d{10}\.(?P<parts>\d{10}))?(?:\.[0-9a-f-]{36})?\.(?:parquet|json)")
_ADD = ("path", "partitionValues", "size", "modificationTime", "stats", "tags", "deletionVector")
_REMOVE = ("path", "deletionTimestamp", "deletionVector")
_COLUMNS = [*(f"add.{c}" for c in _ADD), *(f"remove.{c}" for c in _REMOVE), "sidecar.path"]


@dataclass(frozen=True)
class Replayed:
    """The newest `add` of every path that is live at a version, by path, and the `remove` actions that the log still holds."""

    version: int
    adds: dict[str, Action] = field(default_factory=dict)
    removes: list[Action] = field(default_factory=list)

    def after(self, version: int, commits: Iterable[Iterable[Action]]) -> Replayed:
        """A file of which further rows are deleted is removed and added in one commit, in whichever order."""
        adds, removes = dict(self.adds), list(self.removes)
        for commit in map(list, commits):
            gone = [a["remove"] for a in commit if a.get("remove")]
            removes += gone
            for remove in gone:
                adds.pop(remove["path"], None)
            adds |= {a["add"]["path"]: a["add"] for a in commit if a.get("add")}
        return Replayed(version, adds, removes)


class Log:
    """The log of a table; `store` is the table's folder."""

    def __init__(self, store: ObjectStore) -> None:
        self._store, self._known = store, Replayed(-1)

    def create(self, actions: Sequence[Action]) -> bool:
        """The first version; False where there is a table."""
        return self._store.create(_name(0), _lines(actions))

    def commit(self, version: int, actions: Sequence[Action]) -> Outcome:
        """Put one version, whose content is like no other's. A client that put twice is refused by its own first put: what lies there decides."""
        data = _lines(actions)
        try:
            done = self._store.create(_name(version), data) or self._store.read(_name(version)) == data
        except lost_answers() as error:
            return Outcome("unknown", cause=f"{type(error).__name__}: {error}")
        return Outcome("done", version) if done else Outcome("failed", cause=f"another writer put version {version}")

    def replayed(self, version: int) -> Replayed:
        """What is live at a version that delta-rs has loaded; from what was replayed last, where that is older, else from a checkpoint."""
        start = self._known if 0 <= self._known.version <= version else self._checkpoint(version)
        commits = each(lambda v: _parsed(self._store.read(_name(v))), range(start.version + 1, version + 1))
        self._known = start.after(version, commits)
        return self._known

    def _checkpoint(self, version: int) -> Replayed:
        """The newest whole checkpoint that is not behind a version; nothing where there is none."""
        hint = self._store.find(f"{_FOLDER}_last_checkpoint")
        last = int(json.loads(hint[0])["version"]) if hint else -1
        by_version: dict[int, list[str]] = defaultdict(list)
        for found in self._store.list(_FOLDER + (f"{last:020}.checkpoint" if 0 <= last <= version else "")):
            name = found.uri.removeprefix(self._store.root + _FOLDER)
            if (match := _CHECKPOINT.fullmatch(name)) and int(match[1]) <= version:
                by_version[int(match[1])].append(name)
        for number in sorted(by_version, reverse=True):
            if parts := _whole(by_version[number]):
                return Replayed(-1).after(number, [self._actions(parts)])
        return Replayed(-1)

    def _actions(self, names: Sequence[str]) -> Iterator[Action]:
        """The actions of a checkpoint's files, and of the files that these name."""
        found = [a for part in each(lambda n: _parsed(self._store.read(_FOLDER + n), n), names) for a in part]
        yield from found
        if sidecars := [f"_sidecars/{a['sidecar']['path'].rpartition('/')[2]}" for a in found if a.get("sidecar")]:
            yield from self._actions(sidecars)


def _whole(names: Sequence[str]) -> Sequence[str]:
    """One checkpoint out of all of a version: a single file, or all the parts of one that has several."""
    parts: dict[str | None, list[str]] = defaultdict(list)
    for name in names:
        match = _CHECKPOINT.fullmatch(name)
        parts[match["parts"] if match else None].append(name)
    if None in parts:
        return parts[None][:1]
    return next((found for count, found in parts.items() if len(found) == int(count or 0)), ())


def _name(version: int) -> str:
    return f"{_FOLDER}{version:020}.json"


def _lines(actions: Sequence[Action]) -> bytes:
    """No escapes: delta-rs reads those of characters beyond the first plane as others."""
    return "".join(f"{json.dumps(a, separators=(',', ':'), ensure_ascii=False)}\n" for a in actions).encode()


def _parsed(data: bytes, name: str = "") -> list[dict[str, Any]]:
    if not name.endswith(".parquet"):
        return [json.loads(line) for line in data.splitlines() if line.strip()]
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = pq.ParquetFile(pa.BufferReader(data)).read(columns=_COLUMNS)
    # one kind of action at a time: nearly all of each column is NULL
    return [{kind: action} for kind in found.column_names for action in found[kind].drop_null().to_pylist(maps_as_pydicts="strict")]
