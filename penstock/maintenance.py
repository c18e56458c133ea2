"""What a table's files need: a policy as declared, and plans made of file statistics."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from penstock.connections import Model
from penstock.tables import DataFile

MEGABYTE = 1024 * 1024
_SMALL = 0.75
_DURATION = re.compile(r"(\d+) (hour|day|week)s?")
_SHORTEST_ORPHAN = timedelta(days=1)


def duration(text: str) -> timedelta:
    """`12 hours`, `7 days`, `2 weeks`; raises ValueError for another form."""
    if found := _DURATION.fullmatch(text.strip()):
        return timedelta(**{f"{found[2]}s": int(found[1])})
    raise ValueError(f"{text!r} is no duration: a number and hours, days or weeks (7 days)")


def _is_duration(text: str) -> str:
    duration(text)
    return text


Duration = Annotated[str, AfterValidator(_is_duration)]


class Maintain(Model):
    """How a table's files are kept: small ones compacted, old states expired, files that no state needs removed."""

    compact: Literal["binpack", "sort"] = "binpack"
    sort_by: tuple[str, ...] = Field(default=(), description="for compact: sort; by default the keys")
    target_file_mb: int = Field(default=256, ge=1)
    min_files: int = Field(default=5, ge=2, description="so many small files make a partition worth compacting")
    keep_snapshots: Duration = "7 days"
    orphans_after: Duration = Field(default="3 days", description="at least a day: younger files may belong to a run at work")

    @field_validator("orphans_after")
    @classmethod
    def _is_long(cls, text: str) -> str:
        if duration(text) < _SHORTEST_ORPHAN:
            raise ValueError(f"{text!r} is shorter than a day: files of a run at work could be removed")
        return text


@dataclass(frozen=True)
class Group:
    """Files of one partition to be written as fewer."""

    partition: tuple[object, ...]
    files: tuple[DataFile, ...]

    @property
    def bytes(self) -> int:
        return sum(f.bytes for f in self.files)


def plan_compaction(files: Iterable[DataFile], policy: Maintain, first_key: str | None = None) -> list[Group]:
    """The groups of small files worth writing anew, those that save the most files first; files whose keys lie near each other stay together."""
    target = policy.target_file_mb * MEGABYTE
    small: dict[str, list[DataFile]] = defaultdict(list)
    for file in files:
        if file.bytes < target * _SMALL:
            small[repr(file.partition)].append(file)
    groups: list[Group] = []
    for part in small.values():
        if len(part) >= policy.min_files:
            groups += [Group(part[0].partition, tuple(part))] if policy.compact == "sort" else _bins(_by_key(part, first_key), target)
    return sorted((g for g in groups if len(g.files) > 1), key=lambda g: -saved(g, target))


def saved(group: Group, target: int) -> int:
    """How many files fewer there will be."""
    return len(group.files) - max(1, -(-group.bytes // target))


def _by_key(files: Sequence[DataFile], first_key: str | None) -> list[DataFile]:
    known = [f for f in files if first_key in f.lower]
    return sorted(known, key=lambda f: f.lower[str(first_key)]) + [f for f in files if first_key not in f.lower]  # type: ignore[arg-type,return-value]


def _bins(files: Sequence[DataFile], target: int) -> list[Group]:
    """Neighbours together, up to the target."""
    found: list[list[DataFile]] = [[]]
    size = 0
    for file in files:
        if found[-1] and size + file.bytes > target:
            found.append([])
            size = 0
        found[-1].append(file)
        size += file.bytes
    return [Group(part[0].partition, tuple(part)) for part in found if part]
