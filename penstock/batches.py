"""Numbered batches: immutable manifests that say what each batch reads.

A batch is cut once, numbered without gaps, and applied in order; the number travels in the target's own commit.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from penstock.errors import LedgerError
from penstock.objects import ObjectInfo, ObjectStore

FORMAT = 1


@dataclass(frozen=True)
class Batch:
    """One manifest. Either `files` (a reading step) or `pins` (location or step -> snapshot, version or batch) says what it holds."""

    step: str
    number: int
    files: tuple[ObjectInfo, ...] = ()
    pins: Mapping[str, int] = field(default_factory=dict)
    skipped: bool = False
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))
    format: int = FORMAT

    @property
    def bytes(self) -> int:
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
    """The manifests of one step: `<step>/batches/00000042.json` below the store's root."""

    def __init__(self, store: ObjectStore, step: str) -> None:
        self._store, self._step = store, step
        self._known: list[Batch] = []

    def _key(self, number: int) -> str:
        return f"{self._step}/batches/{number:08d}.json"

    def all(self) -> Sequence[Batch]:
        """Every batch, in order; raises LedgerError when a number is missing."""
        while found := self._store.find(self._key(len(self._known) + 1)):
            self._known.append(Batch.loads(found[0]))
        return tuple(self._known)

    def head(self) -> int:
        return len(self.all())

    def cut(self, batch: Batch) -> Batch:
        """Write the next manifest. When another process took the number first, its manifest is returned instead of ours."""
        numbered = replace(batch, step=self._step, number=self.head() + 1)
        if self._store.create(self._key(numbered.number), numbered.dumps()):
            return numbered
        taken = self.all()[numbered.number - 1]
        return numbered if taken.nonce == numbered.nonce else taken
