"""AWS Glue as a catalog: pyiceberg's client for Iceberg; Delta tables as Athena and Spark find them there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import Catalog
from penstock.connectors.s3.access import client
from penstock.schema import Columns

# Athena goes by table_type, Trino and Spark by the provider; Spark takes the location from the SerDe's `path` alone.
_DELTA = {"table_type": "DELTA", "spark.sql.sources.provider": "delta", "EXTERNAL": "TRUE"}


@dataclass(frozen=True)
class GlueLocations:
    """Delta tables by the Glue tables that name them."""

    glue: Any

    def all(self) -> Mapping[tuple[str, str], str]:
        found = {}
        for databases in self.glue.get_paginator("get_databases").paginate():
            for database in databases["DatabaseList"]:
                for tables in self.glue.get_paginator("get_tables").paginate(DatabaseName=database["Name"]):
                    found.update({(database["Name"], t["Name"]): _location(t) for t in tables["TableList"] if _is_delta(t)})
        return found

    def find(self, namespace: str, name: str) -> str | None:
        try:
            table = self.glue.get_table(DatabaseName=namespace, Name=name)["Table"]
        except self.glue.exceptions.EntityNotFoundException:
            return None
        return _location(table) if _is_delta(table) else None

    def add(self, namespace: str, name: str, location: str, columns: Columns) -> None:
        described = {"Columns": [{"Name": c.name, "Type": c.type.hive} for c in columns], "Location": location, "SerdeInfo": {"Parameters": {"path": location}}}
        table = {"Name": name, "TableType": "EXTERNAL_TABLE", "Parameters": _DELTA, "StorageDescriptor": described}
        for create, request in (
            (self.glue.create_database, {"DatabaseInput": {"Name": namespace}}),
            (self.glue.create_table, {"DatabaseName": namespace, "TableInput": table}),
        ):
            try:
                create(**request)
            except self.glue.exceptions.AlreadyExistsException:
                continue

    def remove(self, namespace: str, name: str) -> None:
        if self.find(namespace, name):
            self.glue.delete_table(DatabaseName=namespace, Name=name)


def _is_delta(table: Mapping[str, Any]) -> bool:
    return str(table.get("Parameters", {}).get("table_type", "")).lower() == "delta"


def _location(table: Mapping[str, Any]) -> str:
    return str(table["StorageDescriptor"]["Location"])


def open_glue(connection: CatalogConnection, aws: AwsSettings) -> Catalog:
    """The Glue catalog of the account, or of the stand-in."""
    from penstock.connectors.delta.shelf import DeltaShelf
    from penstock.connectors.glue.iceberg import GlueCatalogOfFiles
    from penstock.connectors.iceberg.shelf import IcebergShelf

    settings = replace(aws, region=connection.region) if connection.region else aws
    iceberg = GlueCatalogOfFiles(settings, connection.warehouse)
    locations = GlueLocations(client("glue", settings))
    return Catalog(connection.warehouse.rstrip("/"), {"iceberg": IcebergShelf(iceberg), "delta": DeltaShelf(locations, settings)})
