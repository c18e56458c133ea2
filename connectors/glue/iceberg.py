"""pyiceberg's catalog in AWS Glue; it brings boto3, which other catalogs do without."""

from __future__ import annotations

from typing import Any

from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.table import Table

from penstock.connectors.iceberg.catalogs import ParsedOnce


class GlueCatalogOfFiles(ParsedOnce, GlueCatalog):
    def _convert_glue_to_iceberg(self, glue_table: Any) -> Table:
        parameters = glue_table.get("Parameters") or {}
        location = parameters.get("metadata_location") if str(parameters.get("table_type")).lower() == "iceberg" else None
        return self.once((glue_table.get("DatabaseName"), glue_table.get("Name")), location, lambda: GlueCatalog._convert_glue_to_iceberg(self, glue_table))
