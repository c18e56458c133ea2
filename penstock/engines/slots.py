"""Which files a change writes: one for each slot, in place of live files or new in its partition, so that tables stay clustered by their keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.tables import DataFile

from .deleting import Arrival, absorbed, is_large

Partition = tuple[object, ...]


@dataclass(frozen=True)
class Slot:
    """One file to be written: in place of live ones, or new in its partition. `begins`: the least key that comes to it, where that is none of a file's."""

    number: int
    partition: Partition
    files: tuple[DataFile, ...] = ()
    begins: object = None

    def least(self, first_key: str) -> object:
        """The least key of the rows that come to it rather than to another slot of its partition; None for all that come to no other."""
        return self.files[0].lower.get(first_key) if self.begins is None and len(self.files) == 1 else self.begins


def place(partition: Partition) -> Partition:
    """A partition's values, to be compared: NaN is one place, though it does not equal itself."""
    return tuple("NaN" if value != value else value for value in partition)


def by_place(files: Iterable[DataFile]) -> dict[Partition, list[DataFile]]:
    """The files of each partition."""
    found: dict[Partition, list[DataFile]] = defaultdict(list)
    for file in files:
        found[place(file.partition)].append(file)
    return found


def slots_of(arrivals: Sequence[Arrival], files: Sequence[DataFile], rewritten: set[str], first_key: str, *, apart: bool) -> list[Slot]:
    """The files to be written: for rows that come to a partition, and for every file that is to be rewritten anyway.

    Rows go to the file whose keys they lie among; with `apart`, to a partition that has large files they come in a file of their own, which takes up
    small ones, so that no large file is rewritten for a few rows.
    """
    found: list[Slot] = []
    homes = by_place(files)
    for arrival in arrivals:
        home = homes.get(place(arrival.partition), [])
        if apart and any(is_large(f) for f in home):
            found.append(Slot(0, arrival.partition, absorbed(home, arrival.rows)))
        else:
            mine = sorted((f for f in home if first_key in f.lower), key=lambda f: f.lower[first_key])  # type: ignore[arg-type,return-value]
            found += [Slot(0, arrival.partition, (f,)) for f in mine] or [Slot(0, arrival.partition)]
    listed_uris = {f.uri for slot in found for f in slot.files}
    found += [Slot(0, f.partition, (f,)) for f in files if f.uri in rewritten and f.uri not in listed_uris]
    return [Slot(i, slot.partition, slot.files) for i, slot in enumerate(found)]


def slots_by_place(slots: Iterable[Slot]) -> dict[Partition, list[Slot]]:
    """The slots of each partition."""
    found: dict[Partition, list[Slot]] = defaultdict(list)
    for slot in slots:
        found[place(slot.partition)].append(slot)
    return found


def slot_of(home: Sequence[Slot], key: Any, first_key: str) -> Slot:
    """That one of a partition's slots to which a key comes."""
    fit = [s for s in home if bound(s.least(first_key)) is not None and bound(key) is not None and s.least(first_key) <= key]
    return max(fit, key=lambda s: s.least(first_key)) if fit else min(home, key=lambda s: s.number)  # type: ignore[arg-type,return-value]


def shares(slots: Sequence[Slot], new: Mapping[int, int], keys: Mapping[Partition, Sequence[Any]], first_key: str, file_rows: int) -> list[Slot]:
    """Further slots, which share what comes to those to which more comes than a file should have. `keys`: some of what comes to each partition."""
    found: list[Slot] = []
    homes = slots_by_place(slots)
    for slot in slots:
        pieces = -(-new.get(slot.number, 0) // file_rows)
        if pieces < 2:
            continue
        home = homes[place(slot.partition)]
        mine = sorted(k for k in keys[place(slot.partition)] if bound(k) is not None and slot_of(home, k, first_key) == slot)
        begins = sorted({mine[len(mine) * i // pieces] for i in range(1, pieces)} - set(mine[:1])) if mine else []
        found += [Slot(number, slot.partition, (), key) for number, key in enumerate(begins, len(slots) + len(found))]
    return found


def bound(value: object) -> str | None:
    """A bound as text that casts back to the key's type; none for bytes, which do not."""
    return None if value is None or isinstance(value, bytes) else str(value)
