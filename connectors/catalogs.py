"""Catalogs of lake tables: AWS Glue, or SQLite in a folder. Tables of every format stand in one catalog, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.reaching import reaching
from penstock.errors import DataError
from penstock.evolution import BY_DECLARATION, Evolution, OnSchemaChange, evolution
from penstock.schema import Columns
from penstock.tables import Design, LakeTable, PartitionField, Pinned, Reshape


class Shelf(Protocol):
    """The tables of one format in a catalog."""

    def find(self, namespace: str, name: str) -> LakeTable | None: ...

    def create(self, namespace: str, name: str, location: str, columns: Columns, partition_by: Sequence[PartitionField], design: Design) -> LakeTable:
        """Create a table and its namespace; when another process was first, the table that is there."""
        ...

    def drop(self, namespace: str, name: str) -> None:
        """Take the table out of the catalog, where it is there; its files stay."""
        ...

    def names(self) -> Sequence[tuple[str, str]]:
        """(namespace, name) of each table."""
        ...


_ANEW = "declare what the table has, or make it anew with `penstock run --full-refresh`"


@dataclass(frozen=True)
class Catalog:
    """One catalog connection, opened. `warehouse` is where new tables lie."""

    warehouse: str
    shelves: Mapping[str, Shelf]

    def table(self, namespace: str, name: str, likely: str | None = None) -> LakeTable | None:
        """The table, or None where there is none of that name; `likely`: the format that is asked for first."""
        found = self._find(namespace, name, likely)
        return found[1] if found else None

    def _find(self, namespace: str, name: str, likely: str | None) -> tuple[str, LakeTable] | None:
        with reaching(f"the catalog of {self.warehouse}"):
            shelves = sorted(self.shelves.items(), key=lambda shelf: shelf[0] != likely)
            return next(((kind, found) for kind, shelf in shelves if (found := shelf.find(namespace, name))), None)

    def create(
        self,
        namespace: str,
        name: str,
        format_name: str,
        columns: Columns,
        partition_by: Sequence[PartitionField] = (),
        on_change: OnSchemaChange = BY_DECLARATION,
        design: Design | None = None,
        reshape: Reshape | None = None,
    ) -> LakeTable:
        """The table, made where it is missing, its columns changed as far as `on_change` allows (by `reshape` where its files have to be), its design as given.

        Raises DataError when it is there with another format, other columns or partitions.
        """
        found = self._held(namespace, name, format_name)
        if found is None:
            with reaching(f"the catalog of {self.warehouse}"):
                location = f"{self.warehouse}/{namespace}/{name}"
                found = self.shelves[format_name].create(namespace, name, location, columns, partition_by, design or Design())
        pinned = found.state
        if change := _change(found, pinned, columns, partition_by, on_change):
            found.evolve(pinned, change, reshape)
        if design is not None:
            found.redesign(found.state, design)
        return found

    def compare(
        self, namespace: str, name: str, format_name: str, columns: Columns, partition_by: Sequence[PartitionField], on_change: OnSchemaChange
    ) -> Evolution | None:
        """How `create` would change the columns of a table; None where it would make it. Raises DataError as `create` does."""
        found = self._held(namespace, name, format_name)
        return None if found is None else _change(found, found.state, columns, partition_by, on_change)

    def _held(self, namespace: str, name: str, format_name: str) -> LakeTable | None:
        held, found = self._find(namespace, name, format_name) or (format_name, None)
        if held != format_name:
            raise DataError(f"table {namespace}.{name} is there in {held} but {format_name} is declared", hint=_ANEW)
        return found

    def drop(self, namespace: str, name: str) -> None:
        with reaching(f"the catalog of {self.warehouse}"):
            for shelf in self.shelves.values():
                shelf.drop(namespace, name)

    def tables(self) -> list[tuple[str, str, str]]:
        """(namespace, name, format) of every table, in order."""
        with reaching(f"the catalog of {self.warehouse}"):
            return sorted((namespace, name, kind) for kind, shelf in self.shelves.items() for namespace, name in shelf.names())


def _change(table: LakeTable, pinned: Pinned, columns: Columns, partition_by: Sequence[PartitionField], on_change: OnSchemaChange) -> Evolution:
    change = evolution(table.name, pinned.columns, columns, on_change, pinned.former, is_begun=bool(pinned.ledger))
    renamed = dict(change.rename)
    if [replace(p, column=renamed.get(p.column, p.column)) for p in table.partition_by] != list(partition_by):
        raise DataError(f"table {table.name} is partitioned by {_listed(table.partition_by)} but {_listed(partition_by)} is declared", hint=_ANEW)
    return change


def _listed(fields: Sequence[PartitionField]) -> str:
    return ", ".join(map(str, fields)) or "nothing"


def open_catalog(connection: CatalogConnection, aws: AwsSettings, folder: Path) -> Catalog:
    """Open a declared catalog; a relative warehouse of a SQLite catalog starts at `folder`. Raises ConnectionFailedError when it cannot be reached."""
    if connection.catalog == "glue":
        from penstock.connectors.glue.catalog import open_glue

        return open_glue(connection, aws)
    from penstock.connectors.sqlite.catalog import open_sqlite

    return open_sqlite(connection, aws, folder)
