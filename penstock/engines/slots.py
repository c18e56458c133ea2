"""Which files a change writes: one for each slot, in place of live files or new in its partition, so that tables stay clustered by their keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penstock.tables import DataFile

from .deleting import Arrival, absorbed, is_large

Partition = tuple[object, ...]


@dataclass(frozen=True)
class Slot:
    """One file to be written: in place of live ones, or new in its partition."""

    number: int
    partition: Partition
    files: tuple[DataFile, ...] = ()


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


def bound(value: object) -> str | None:
    """A bound as text that casts back to the key's type; none for bytes, which do not."""
    return None if value is None or isinstance(value, bytes) else str(value)
