"""What a run works with: each connection opened once, when first needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.batches import BatchLog
from penstock.commits import applied, ledger_key
from penstock.config import AwsSettings
from penstock.connections import CatalogConnection, FilesConnection, RedshiftConnection, S3Connection
from penstock.connectors.catalogs import Catalog, open_catalog
from penstock.connectors.stores import open_store
from penstock.errors import ArgumentError, choice
from penstock.lineage import SqlProblem, bound
from penstock.locations import MEMORY, QUARANTINE, PathLocation, TableLocation, parse_location
from penstock.objects import ObjectStore
from penstock.pipeline import Pipeline, Table
from penstock.tables import LakeTable

from .record import Watcher, ignore

if TYPE_CHECKING:
    from penstock.connectors.redshift.warehouse import Warehouse
    from penstock.engines.base import Engine
    from penstock.parse import Loaded
    from penstock.plan import Plan

LOCAL_STATE = "PENSTOCK_LOCAL_STATE"


@dataclass
class Context:
    """One pipeline in one environment; nothing is opened before it is used. `backfill`: events behind the horizon are taken."""

    loaded: Loaded
    plan: Plan
    run: str
    watch: Watcher = ignore
    aws: AwsSettings = field(default_factory=AwsSettings.from_environment)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    backfill: bool = False
    engine_name: str | None = None
    _engines: dict[str, Engine] = field(default_factory=dict)
    _catalogs: dict[str, Catalog] = field(default_factory=dict)
    _warehouses: dict[str, Warehouse] = field(default_factory=dict)

    @property
    def pipeline(self) -> Pipeline:
        return self.loaded.pipeline

    @property
    def engine(self) -> Engine:
        """That of the step at work, else the environment's; each is opened once."""
        from penstock.engines.opening import open_engine

        from .spark_session import session_of

        name = self.engine_name or self.loaded.environment.engine
        if name not in self._engines:
            remote = session_of(self.loaded, self.aws, self.watch)
            self._engines[name] = open_engine(name, self.aws, self.loaded.environment.spark_from_mb, remote)
        return self._engines[name]

    def on(self, engine_name: str | None) -> Context:
        """The same, for a step that names its engine."""
        return self if engine_name is None else replace(self, engine_name=engine_name)

    @cached_property
    def state(self) -> ObjectStore:
        """Where batches and records lie: the file's `state`, else with a local AWS (kept or lost together), else `.penstock/state` beside the file."""
        if self.pipeline.state:
            return self.store(f"{self.pipeline.state.rstrip('/')}/{self.pipeline.pipeline}/")
        local = os.environ.get(LOCAL_STATE) if self.loaded.environment.aws == "local" else None
        folder = Path(local or self.loaded.folder / ".penstock" / "state") / self.pipeline.pipeline
        return open_store(FilesConnection(kind="files", path=str(folder.resolve())), self.aws, self.loaded.folder)

    def batches(self, step_id: str) -> BatchLog:
        return BatchLog(self.state, step_id, self.pipeline.step(step_id).renamed_from)

    def key(self, step_id: str) -> str:
        """The name under which a target's ledger knows a step."""
        return ledger_key(self.pipeline.pipeline, step_id)

    def keys(self, step_id: str) -> tuple[str, ...]:
        """The step's key in a ledger, and the key of its former name."""
        former = self.pipeline.step(step_id).renamed_from
        return tuple(self.key(name) for name in (step_id, former) if name)

    def applied(self, ledger: Mapping[str, int], step_id: str) -> int:
        """The last batch a ledger holds for a step, under its present or its former name."""
        return max(applied(ledger, key) for key in self.keys(step_id))

    def tables_read(self, step_id: str) -> tuple[str, ...]:
        """The tables that a step reads, as the plan found them."""
        return next(s.reads for s in self.plan.steps if s.id == step_id)

    def table_location(self, text: str) -> TableLocation:
        found = parse_location(text, self.pipeline.connections)
        if not isinstance(found, TableLocation):
            raise ArgumentError(f"{text!r} is a path; a table is named connection.namespace.table")
        return found

    def declared(self, location: str) -> Table:
        return self.pipeline.tables[location]

    def check_lake_table(self, location: str) -> None:
        """Raises ArgumentError, with the nearest name, for what is no declared lake table."""
        lake = [name for name, table in self.pipeline.tables.items() if table.format]
        if location not in lake:
            raise ArgumentError(f"table {choice(location, lake)}")

    def bound(self, expression: str) -> str:
        """A Spark SQL expression over a row, with the run's parameters, as a session takes it. Raises ArgumentError for one without a value."""
        found = bound(expression, self.loaded.parameters)
        if isinstance(found, SqlProblem):
            raise ArgumentError(found.message)
        return found

    def lake_table(self, location: str) -> LakeTable | None:
        """A lake table as its catalog has it, None where there is none."""
        where, declared = self.table_location(location), self.pipeline.tables.get(location.removesuffix(MEMORY).removesuffix(QUARANTINE))
        return self.catalog(where.connection).table(where.namespace, where.table, declared.format if declared else None)

    def store(self, text: str) -> ObjectStore:
        """The objects below a `connection/path/`."""
        found = parse_location(text, self.pipeline.connections)
        connection = self.pipeline.connections[found.connection]
        if not isinstance(found, PathLocation) or not isinstance(connection, S3Connection | FilesConnection):
            raise ArgumentError(f"{text!r} is not a connection/path/ of an s3 or files connection")
        return open_store(connection, self.aws, self.loaded.folder, found.path)

    def catalog(self, name: str) -> Catalog:
        if name not in self._catalogs:
            connection = self.pipeline.connections[name]
            if not isinstance(connection, CatalogConnection):
                raise ArgumentError(f"connection {name!r} is a {connection.kind}, not a catalog")
            self._catalogs[name] = open_catalog(connection, self.aws, self.loaded.folder)
        return self._catalogs[name]

    def warehouse(self, name: str) -> Warehouse:
        if name not in self._warehouses:
            from penstock.connectors.redshift.warehouse import Warehouse

            connection = self.pipeline.connections[name]
            if not isinstance(connection, RedshiftConnection):
                raise ArgumentError(f"connection {name!r} is a {connection.kind}, not a Redshift")
            self._warehouses[name] = Warehouse(connection, self.aws, self.state)
        return self._warehouses[name]
