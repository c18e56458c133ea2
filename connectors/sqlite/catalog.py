"""SQLite as a catalog: pyiceberg's tables for Iceberg, one of ours for Delta, in the file `catalog.db` of the warehouse."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import Catalog
from penstock.connectors.files.store import locked
from penstock.connectors.paths import plain
from penstock.errors import ConnectionFailedError
from penstock.schema import Columns

_LOCK_SECONDS = 30
_CREATE = "CREATE TABLE IF NOT EXISTS penstock_delta_tables (namespace TEXT, name TEXT, location TEXT NOT NULL, PRIMARY KEY (namespace, name))"


@dataclass(frozen=True)
class SqliteLocations:
    """Delta tables by location."""

    file: Path

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.file, timeout=_LOCK_SECONDS)
        try:
            with connection:
                connection.execute(_CREATE)
                yield connection
        finally:
            connection.close()

    def all(self) -> Mapping[tuple[str, str], str]:
        with self._connection() as c:
            return {(namespace, name): location for namespace, name, location in c.execute("SELECT namespace, name, location FROM penstock_delta_tables")}

    def find(self, namespace: str, name: str) -> str | None:
        return self.all().get((namespace, name))

    def add(self, namespace: str, name: str, location: str, columns: Columns) -> None:
        del columns
        with self._connection() as c:
            c.execute("INSERT OR IGNORE INTO penstock_delta_tables VALUES (?, ?, ?)", (namespace, name, location))

    def remove(self, namespace: str, name: str) -> None:
        with self._connection() as c:
            c.execute("DELETE FROM penstock_delta_tables WHERE namespace = ? AND name = ?", (namespace, name))


def _refuse_moved(file: Path, warehouse: Path) -> None:
    """Tables name their files by absolute paths: those of a copied folder are the original's, those of a moved one are nowhere."""
    with closing(sqlite3.connect(file, timeout=_LOCK_SECONDS)) as connection:
        connection.execute(_CREATE)
        found = connection.execute("SELECT metadata_location FROM iceberg_tables UNION ALL SELECT location FROM penstock_delta_tables").fetchall()
    for (location,) in found:
        if location and not Path(plain(str(location))).is_relative_to(warehouse):
            hint = f"move it back, or remove {warehouse} and the pipeline's .penstock folder and run again"
            raise ConnectionFailedError(f"the warehouse {warehouse} was moved or copied: its catalog has {location}", hint=hint)


def open_sqlite(connection: CatalogConnection, aws: AwsSettings, folder: Path) -> Catalog:
    """The catalog in the warehouse's folder, made where it is missing."""
    from sqlalchemy import NullPool, create_engine

    from penstock.connectors.delta.shelf import DeltaShelf
    from penstock.connectors.iceberg.shelf import IcebergShelf
    from penstock.connectors.sqlite.iceberg import SqlCatalogOfFiles

    warehouse = (folder / Path(connection.warehouse).expanduser()).absolute()
    try:
        warehouse.mkdir(parents=True, exist_ok=True)
        file = warehouse / "catalog.db"
        with locked(warehouse):  # it looks whether its tables are there, and then makes them
            iceberg = SqlCatalogOfFiles("penstock", uri=f"sqlite:///{file}", warehouse=f"file://{warehouse}")
        # no connection outlives its statement: pooled ones are left open when the process forgets the catalog, and hold their locks
        iceberg.engine.dispose()
        iceberg.engine = create_engine(iceberg.engine.url, poolclass=NullPool, connect_args={"timeout": _LOCK_SECONDS})
    except OSError as error:
        raise ConnectionFailedError(f"the warehouse {warehouse} cannot be used: {error}", hint="correct `warehouse` of the catalog connection") from error
    _refuse_moved(file, warehouse)
    return Catalog(str(warehouse), {"iceberg": IcebergShelf(iceberg), "delta": DeltaShelf(SqliteLocations(file), aws)})
