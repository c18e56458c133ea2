"""What a table's files need: a policy as declared, and plans made of file statistics."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, field_validator, model_validator

from penstock.connections import Model
from penstock.tables import DataFile

T = TypeVar("T")
MEGABYTE = 1024 * 1024
OPENING = 4 * MEGABYTE  # what the opening of a file costs a reader, in bytes read: Spark's own reckoning
_SMALL = 0.75
_DURATION = re.compile(r"(\d+) (hour|day|week)s?")
_SHORTEST_ORPHAN = timedelta(days=1)


@dataclass(frozen=True)
class Clustering:
    """How the rows of new files lie: in the order that they had (no columns), sorted, or along a curve that keeps all columns near (`zorder`)."""

    columns: tuple[str, ...] = ()
    zorder: bool = False
    file_bytes: int = 256 * MEGABYTE

    def keeps(self, sort_by: Sequence[str]) -> bool:
        """True where rows come to lie in the order that the table declares."""
        return not self.columns or (self.columns == tuple(sort_by) and (not self.zorder or len(self.columns) == 1))


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
    """How a table's files are kept: small ones and those with many deleted rows compacted, old states expired, files that no state needs removed."""

    compact: Literal["binpack", "sort", "zorder"] = "binpack"
    sort_by: tuple[str, ...] = Field(default=(), description="for compact: sort; by default the keys")
    zorder_by: tuple[str, ...] = Field(default=(), max_length=4, description="for compact: zorder; the columns that readers filter by")
    target_file_mb: int = Field(default=256, ge=1)
    min_files: int = Field(default=5, ge=2, description="so many small files make a partition worth compacting")
    max_delete_share: float = Field(default=0.1, gt=0, le=1, description="a file of which a greater share of rows is deleted is written anew")
    max_unsorted: float = Field(default=0.05, gt=0, le=1, description="Redshift: a table of which a greater share is not in the sort key's order is vacuumed")
    max_stale: float = Field(default=0.1, gt=0, le=1, description="Redshift: a table is analyzed whose statistics are further off")
    max_group_mb: int = Field(default=4096, ge=1, description="at most so much is sorted together, and written in one commit")
    max_manifests: int = Field(default=20, ge=2, description="more small manifests (Delta: log entries since the checkpoint) are written together")
    analyze: tuple[str, ...] = Field(default=(), description="columns whose distinct values are counted for readers that plan joins (Iceberg)")
    keep_snapshots: Duration = "7 days"
    orphans_after: Duration = Field(default="3 days", description="at least a day: younger files may belong to a run at work")

    @field_validator("orphans_after")
    @classmethod
    def _is_long(cls, text: str) -> str:
        if duration(text) < _SHORTEST_ORPHAN:
            raise ValueError(f"{text!r} is shorter than a day: files of a run at work could be removed")
        return text

    @model_validator(mode="after")
    def _columns_go_with_the_order(self) -> Self:
        for field, kind in (("sort_by", "sort"), ("zorder_by", "zorder")):
            if getattr(self, field) and self.compact != kind:
                raise ValueError(f"{field} goes with compact: {kind}")
        if self.compact == "zorder" and not self.zorder_by:
            raise ValueError("compact: zorder needs the columns that readers filter by: zorder_by: [a, b]")
        return self

    @property
    def file_bytes(self) -> int:
        return self.target_file_mb * MEGABYTE

    @property
    def group_bytes(self) -> int:
        return max(self.max_group_mb * MEGABYTE, self.file_bytes)

    def clustering(self, keys: Sequence[str], columns: Iterable[str]) -> Clustering:
        """The order of a table with these keys and columns; rows stay as they are where it lacks one of the columns asked for."""
        asked = {"binpack": (), "sort": self.sort_by or tuple(keys), "zorder": self.zorder_by}[self.compact]
        there = asked if set(asked) <= set(columns) else ()
        return Clustering(there, bool(there) and self.compact == "zorder", self.file_bytes)


@dataclass(frozen=True)
class Group:
    """Files of one partition to be written as fewer, or without their deleted rows."""

    partition: tuple[object, ...]
    files: tuple[DataFile, ...]

    @property
    def bytes(self) -> int:
        return sum(f.bytes for f in self.files)

    @property
    def rows(self) -> int:
        return sum(f.rows for f in self.files)

    @property
    def delete_files(self) -> int:
        """How many files of deletes of their own go with the files."""
        return sum(d.is_own for f in self.files for d in f.deletes)

    @property
    def deleted_bytes(self) -> int:
        """About what the deleted rows take."""
        return sum(round(f.bytes * delete_share(f)) for f in self.files)


def delete_share(file: DataFile) -> float:
    """The part of a file's rows that is deleted, as far as files of its own say."""
    return file.deleted / (file.rows + file.deleted) if file.deleted else 0.0


def changed_share(before: Iterable[DataFile], now: Iterable[DataFile]) -> float:
    """How much of the rows came or went since, as far as files of their own say: the greater of both parts."""
    former, present = {f.uri: f for f in before}, {f.uri: f for f in now}
    came = sum(f.rows for uri, f in present.items() if uri not in former)
    went = sum(f.rows - (present[uri].rows if uri in present else 0) for uri, f in former.items())
    return max(came, went) / max(1, sum(f.rows for f in former.values()))


def plan_compaction(files: Iterable[DataFile], policy: Maintain, first_key: str | None = None) -> list[Group]:
    """The groups of files worth writing anew, the most useful first: small files where there are many, and files with many deleted rows.

    A group is one partition's, and with `binpack` one new file; files whose keys lie near each other stay together.
    """
    small: dict[str, list[DataFile]] = defaultdict(list)
    thin: dict[str, list[DataFile]] = defaultdict(list)
    for file in files:
        if delete_share(file) > policy.max_delete_share:
            thin[repr(file.partition)].append(file)
        elif file.bytes < policy.file_bytes * _SMALL:
            small[repr(file.partition)].append(file)
    bound = policy.file_bytes if policy.compact == "binpack" else policy.group_bytes
    groups: list[Group] = []
    for part in (*small, *(p for p in thin if p not in small)):
        many = len(small[part]) + len(thin[part]) >= policy.min_files
        chosen = _by_key([*thin[part], *(small[part] if many else ())], first_key)
        fitting = (Group(found[0].partition, tuple(found)) for found in packed(chosen, bound, lambda f: f.bytes))
        groups += (g for g in fitting if len(g.files) > 1 or delete_share(g.files[0]) > policy.max_delete_share)
    return sorted(groups, key=lambda g: -benefit(g, policy.file_bytes))


def saved(group: Group, target: int) -> int:
    """How many data files fewer there will be."""
    return len(group.files) - max(1, -(-(group.bytes - group.deleted_bytes) // target))


def benefit(group: Group, target: int) -> int:
    """What a reader of all the rows is spared, in bytes: deleted rows, and the opening of files."""
    return (saved(group, target) + group.delete_files) * OPENING + group.deleted_bytes


def commits(groups: Iterable[Group], most: int) -> list[list[Group]]:
    """Groups to be committed together, up to so many bytes: a commit costs the same for one partition as for a thousand."""
    return packed(groups, most, lambda g: g.bytes)


def _by_key(files: Sequence[DataFile], first_key: str | None) -> list[DataFile]:
    known = [f for f in files if first_key in f.lower]
    return sorted(known, key=lambda f: f.lower[str(first_key)]) + [f for f in files if first_key not in f.lower]  # type: ignore[arg-type,return-value]


def packed(items: Iterable[T], most: int, size_of: Callable[[T], int]) -> list[list[T]]:
    """Neighbours together, up to so many bytes; what is larger stands alone."""
    found: list[list[T]] = []
    size = 0
    for item in items:
        if not found or size + size_of(item) > most:
            found.append([])
            size = 0
        found[-1].append(item)
        size += size_of(item)
    return found
