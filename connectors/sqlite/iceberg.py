"""pyiceberg's catalog in a SQL database."""

from __future__ import annotations

from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from penstock.connectors.iceberg.catalogs import ParsedOnce


class SqlCatalogOfFiles(ParsedOnce, SqlCatalog):
    def _convert_orm_to_iceberg(self, orm_table: Any) -> Table:
        identifier = (*Catalog.identifier_to_tuple(orm_table.table_namespace), orm_table.table_name)
        return self.once(identifier, orm_table.metadata_location, lambda: SqlCatalog._convert_orm_to_iceberg(self, orm_table))
