"""Other tools at a pipeline's tables: pyiceberg and delta-rs, as their own users use them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any, Protocol

import pyarrow as pa
from deltalake import DeltaTable, Field, write_deltalake
from deltalake.schema import PrimitiveType
from pipelines import Project
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table
from pyiceberg.types import StringType
from sqlalchemy import NullPool, create_engine


class Tool(Protocol):
    """`name` is `namespace.table`."""

    def rows(self, name: str) -> pa.Table: ...
    def append(self, name: str, row: dict[str, Any]) -> None: ...
    def overwrite(self, name: str, rows: pa.Table) -> None:
        """All rows and all columns replaced."""
        ...

    def delete(self, name: str, condition: str) -> None: ...
    def add_text(self, name: str, column: str) -> None: ...
    def set_properties(self, name: str, properties: dict[str, str]) -> None: ...
    def bring_back(self, name: str, version: int) -> None:
        """To a former snapshot or version."""
        ...

    def property(self, name: str, key: str) -> str | None: ...
    def location(self, name: str) -> str: ...
    def drop(self, name: str) -> None: ...


class Iceberg:
    def __init__(self, project: Project) -> None:
        warehouse = project.folder / "warehouse"
        self.catalog = SqlCatalog("penstock", uri=f"sqlite:///{warehouse}/catalog.db", warehouse=f"file://{warehouse}")
        self.catalog.engine.dispose()
        self.catalog.engine = create_engine(self.catalog.engine.url, poolclass=NullPool)

    def table(self, name: str) -> Table:
        return self.catalog.load_table(name)

    def rows(self, name: str) -> pa.Table:
        return self.table(name).scan().to_arrow()

    def append(self, name: str, row: dict[str, Any]) -> None:
        self.table(name).append(pa.Table.from_pylist([row], schema=self.table(name).schema().as_arrow()))

    def overwrite(self, name: str, rows: pa.Table) -> None:
        table = self.table(name)
        for column in set(table.schema().as_arrow().names) - set(rows.column_names):
            with table.update_schema() as update:
                update.delete_column(column)
        table.overwrite(rows.cast(table.schema().as_arrow()))

    def delete(self, name: str, condition: str) -> None:
        self.table(name).delete(condition)

    def add_text(self, name: str, column: str) -> None:
        with self.table(name).update_schema() as update:
            update.add_column(column, StringType())

    def set_properties(self, name: str, properties: dict[str, str]) -> None:
        with self.table(name).transaction() as transaction:
            transaction.set_properties(properties)

    def bring_back(self, name: str, version: int) -> None:
        self.table(name).manage_snapshots().rollback_to_snapshot(version).commit()

    def property(self, name: str, key: str) -> str | None:
        return self.table(name).properties.get(key)

    def location(self, name: str) -> str:
        return self.table(name).location().removeprefix("file://")

    def drop(self, name: str) -> None:
        self.catalog.drop_table(name)


class Delta:
    def __init__(self, project: Project) -> None:
        self.file = project.folder / "warehouse" / "catalog.db"

    def _ask(self, sql: str, name: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            return connection.execute(f"{sql} WHERE namespace = ? AND name = ?", name.split(".", 1)).fetchall()

    def table(self, name: str) -> DeltaTable:
        return DeltaTable(self.location(name))

    def rows(self, name: str) -> pa.Table:
        return self.table(name).to_pyarrow_table()

    def append(self, name: str, row: dict[str, Any]) -> None:
        write_deltalake(self.table(name), pa.Table.from_pylist([row], schema=pa.schema(self.table(name).schema().to_arrow())), mode="append")

    def overwrite(self, name: str, rows: pa.Table) -> None:
        write_deltalake(self.table(name), rows, mode="overwrite", schema_mode="overwrite")

    def delete(self, name: str, condition: str) -> None:
        self.table(name).delete(condition)

    def add_text(self, name: str, column: str) -> None:
        self.table(name).alter.add_columns([Field(column, PrimitiveType("string"))])

    def set_properties(self, name: str, properties: dict[str, str]) -> None:
        self.table(name).alter.set_table_properties(properties, raise_if_not_exists=False)

    def bring_back(self, name: str, version: int) -> None:
        self.table(name).restore(version)

    def property(self, name: str, key: str) -> str | None:
        return self.table(name).metadata().configuration.get(key)

    def location(self, name: str) -> str:
        return str(self._ask("SELECT location FROM penstock_delta_tables", name)[0][0])

    def drop(self, name: str) -> None:
        self._ask("DELETE FROM penstock_delta_tables", name)


TOOLS: dict[str, type[Iceberg] | type[Delta]] = {"iceberg": Iceberg, "delta": Delta}
