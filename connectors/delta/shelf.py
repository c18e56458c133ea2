"""The Delta tables of a catalog: Delta's log knows no catalog, so one keeps each table's location."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.config import AwsSettings
from penstock.schema import Columns
from penstock.tables import Design, PartitionField

from .table import DeltaTable, create


class Locations(Protocol):
    """What a catalog keeps of each Delta table."""

    def all(self) -> Mapping[tuple[str, str], str]:
        """(namespace, name) -> location."""
        ...

    def find(self, namespace: str, name: str) -> str | None: ...

    def add(self, namespace: str, name: str, location: str, columns: Columns) -> None:
        """Register a table; what is there already stays."""
        ...

    def remove(self, namespace: str, name: str) -> None: ...


@dataclass(frozen=True)
class DeltaShelf:
    """Delta tables by the locations that a catalog keeps."""

    locations: Locations
    aws: AwsSettings

    def find(self, namespace: str, name: str) -> DeltaTable | None:
        location = self.locations.find(namespace, name)
        return DeltaTable(f"{namespace}.{name}", location, self.aws) if location else None

    def create(self, namespace: str, name: str, location: str, columns: Columns, partition_by: Sequence[PartitionField], design: Design) -> DeltaTable:
        """A location is never used again for a table that was dropped: it bears a number of its own."""
        table = create(f"{namespace}.{name}", f"{location}-{secrets.token_hex(4)}", columns, partition_by, self.aws, design)
        self.locations.add(namespace, name, table.location, columns)
        return self.find(namespace, name) or table

    def drop(self, namespace: str, name: str) -> None:
        self.locations.remove(namespace, name)

    def names(self) -> Sequence[tuple[str, str]]:
        return list(self.locations.all())
