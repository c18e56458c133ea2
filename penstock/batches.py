"""Numbered batches: immutable manifests that say what each batch reads.

A batch is cut once, numbered without gaps, and applied in order; its number travels in the target's own commit.
`<step>/batches/00000042.json` below the state store's root; a revision (`00000042.r1.json`) is what `penstock batch retry` writes.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from penstock.errors import LedgerError
from penstock.objects import ObjectInfo, ObjectStore

FORMAT = 2  # 2: `replays`
CHECKPOINT_EVERY = 100
_NAME = re.compile(r"(?P<number>\d{8})(?:\.r(?P<revision>\d+))?\.json$")


@dataclass(frozen=True)
class Batch:
    """One manifest. Either `files` (a reading step) or `pins` (what is read -> its snapshot, version or batch) says what it holds.

    `seen` is set on every hundredth manifest: uri -> etag of all files of this and earlier batches. `replays`: the number of the batch that this one is
    in place of, after a rollback; 0 for none.
    """

    step: str
    number: int
    files: tuple[ObjectInfo, ...] = ()
    pins: Mapping[str, int] = field(default_factory=dict)
    seen: Mapping[str, str] | None = None
    replays: int = 0
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(f.size for f in self.files)

    def dumps(self) -> bytes:
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def loads(cls, data: bytes) -> Batch:
        """Raises LedgerError for a manifest that a newer Penstock wrote."""
        raw: dict[str, Any] = json.loads(data)
        if raw["format"] > FORMAT:
            raise LedgerError(f"a manifest of format {raw['format']} was written by a newer Penstock; this one reads up to {FORMAT}", hint="upgrade Penstock")
        return cls(**{**raw, "files": tuple(ObjectInfo(**f) for f in raw["files"])})


def group(files: Iterable[ObjectInfo], *, max_files: int, max_bytes: int) -> Iterator[tuple[ObjectInfo, ...]]:
    """Consecutive files, each group within both bounds; a file larger than `max_bytes` stands alone."""
    current: list[ObjectInfo] = []
    size = 0
    for file in files:
        if current and (len(current) >= max_files or size + file.size > max_bytes):
            yield tuple(current)
            current, size = [], 0
        current.append(file)
        size += file.size
    if current:
        yield tuple(current)


class BatchLog:
    """The manifests of one step; those of its former name are read too, new ones go below its present name."""

    def __init__(self, store: ObjectStore, step: str, formerly: str | None = None) -> None:
        self._store, self._step = store, step
        self._folders = [f"{name}/batches/" for name in (formerly, step) if name]

    def _keys(self) -> dict[int, tuple[int, str]]:
        """number -> (revision, key), the newest revision of each."""
        newest: dict[int, tuple[int, str]] = {}
        for folder in self._folders:
            for found in self._store.list(folder):
                if name := _NAME.search(found.uri):
                    number, revision = int(name["number"]), int(name["revision"] or 0)
                    newest[number] = max(newest.get(number, (-1, "")), (revision, f"{folder}{name[0]}"))
        if newest and sorted(newest) != list(range(1, len(newest) + 1)):
            missing = sorted(set(range(1, max(newest) + 1)) - set(newest))
            raise LedgerError(
                f"step {self._step!r}: the manifests of batches {missing[:5]} are gone from {self._store.root}",
                hint="restore the state store, or run with --full-refresh",
            )
        return newest

    def head(self) -> int:
        """The last batch that was cut; 0 before the first. Raises LedgerError when a number is missing."""
        return len(self._keys())

    def read(self, after: int = 0) -> Sequence[Batch]:
        """The batches with a number above `after`, in order."""
        return [self._load(key) for number, (_, key) in sorted(self._keys().items()) if number > after]

    def _load(self, key: str) -> Batch:
        found = self._store.find(key)
        if found is None:
            raise LedgerError(f"the manifest {key} vanished from {self._store.root} while it was read")
        return Batch.loads(found[0])

    def seen(self) -> dict[str, str]:
        """uri -> etag of every file that was cut into a batch."""
        head = self.head()
        files: dict[str, str] = {}
        for batch in self.read(after=max(0, head // CHECKPOINT_EVERY * CHECKPOINT_EVERY - 1)):
            files |= batch.seen or {}
            files |= {f.uri: f.etag for f in batch.files}
        return files

    def cut(self, batch: Batch) -> Batch:
        """Write the next manifest. When another process took the number first, its manifest is returned instead of ours."""
        number = self.head() + 1
        numbered = replace(batch, step=self._step, number=number)
        if number % CHECKPOINT_EVERY == 0:
            numbered = replace(numbered, seen=self.seen() | {f.uri: f.etag for f in batch.files})
        key = f"{self._step}/batches/{number:08d}.json"
        if self._store.create(key, numbered.dumps()):
            return numbered
        taken = self._load(key)
        return numbered if taken.nonce == numbered.nonce else taken

    def revise(self, batch: Batch) -> Batch:
        """Write another revision of a batch."""
        revision, _ = self._keys()[batch.number]
        again = replace(batch, nonce=secrets.token_hex(8))
        key = f"{self._step}/batches/{batch.number:08d}.r{revision + 1}.json"
        if not self._store.create(key, again.dumps()) and self._load(key).nonce != again.nonce:
            raise LedgerError(f"batch {batch.number} of step {self._step!r} is being revised by another process")
        return again

    def rewritten(self, now: Mapping[str, ObjectInfo]) -> None:
        """Name files by what they are now, in every manifest that has them: what a batch holds was changed on purpose."""
        for batch in self.read():
            files = tuple(now.get(f.uri, f) for f in batch.files)
            seen = batch.seen and {uri: now[uri].etag if uri in now else etag for uri, etag in batch.seen.items()}
            if (files, seen) != (batch.files, batch.seen):
                self.revise(replace(batch, files=files, seen=seen))

    def forget(self) -> None:
        """Remove all manifests, the last first, so that a crash in between leaves no gap."""
        for _, (_, key) in sorted(self._keys().items(), reverse=True):
            self._store.delete(key)
