"""The Iceberg tables of a pyiceberg catalog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.connectors.reaching import lost_answers
from penstock.errors import DataError
from penstock.schema import Columns
from penstock.tables import Design, PartitionField

from .table import IcebergTable, create

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog


@dataclass(frozen=True)
class IcebergShelf:
    """Any catalog that pyiceberg speaks to."""

    catalog: Catalog

    def find(self, namespace: str, name: str) -> IcebergTable | None:
        from pyiceberg.exceptions import NoSuchIcebergTableError, NoSuchNamespaceError, NoSuchPropertyException, NoSuchTableError

        try:
            return IcebergTable(self.catalog, (namespace, name))
        except (NoSuchTableError, NoSuchIcebergTableError, NoSuchNamespaceError, NoSuchPropertyException):
            return None

    def create(self, namespace: str, name: str, location: str, columns: Columns, partition_by: Sequence[PartitionField], design: Design) -> IcebergTable:
        from pyiceberg.exceptions import TableAlreadyExistsError

        try:
            self.catalog.create_namespace_if_not_exists(namespace)
        except lost_answers():  # another process may have been first, or the first try was done
            if not self.catalog.namespace_exists(namespace):
                raise
        try:
            return create(self.catalog, (namespace, name), location, columns, partition_by, design)
        except TableAlreadyExistsError:
            return IcebergTable(self.catalog, (namespace, name))

    def drop(self, namespace: str, name: str) -> None:
        try:
            found = self.find(namespace, name) is not None
        except DataError:  # of its files some are gone; its entry is to go too
            found = True
        if found:
            self.catalog.drop_table((namespace, name))

    def names(self) -> Sequence[tuple[str, str]]:
        found = [identifier for namespace in self.catalog.list_namespaces() for identifier in self.catalog.list_tables(namespace)]
        return [(namespace, name) for namespace, name in found]
