"""What pipelines do in Redshift: load, call, unload, ask. Each publishing act claims the ledger in its own transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.config import AwsSettings
from penstock.connections import RedshiftConnection
from penstock.errors import CommitConflictError, DataError, LedgerError, WarehouseError
from penstock.killpoints import reach

from . import sql
from .client import DataApi, Done

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Unloaded:
    """Files of an unload as its manifest lists them, verified: rows are the query's own count."""

    files: tuple[str, ...]
    rows: int
    bytes: int
    manifest: str


class Warehouse:
    """One Redshift connection. A step is named by its ledger keys, the present one first."""

    def __init__(self, connection: RedshiftConnection, aws: AwsSettings) -> None:
        self._connection, self._api = connection, DataApi(connection, aws)
        self._is_set_up = False

    def query(self, text: str) -> pa.Table:
        return self._api.query(text)

    def applied(self, steps: Sequence[str]) -> int:
        """The last batch that the warehouse holds of a step. Raises LedgerError for a ledger that a newer Penstock wrote."""
        self._set_up()
        (row,) = self._api.query(sql.ledger_of(steps)).to_pylist()
        if (row["format"] or 0) > sql.LEDGER_FORMAT:
            raise LedgerError(f"the ledger of {steps[0]} has format {row['format']}; this Penstock reads up to {sql.LEDGER_FORMAT}", hint="upgrade Penstock")
        return int(row["last"] or 0)

    def skip(self, steps: Sequence[str], batch: int) -> None:
        """Move the ledger to a batch, and nothing else."""
        self._publish(steps, batch, [])

    def forget(self, steps: Sequence[str], target: sql.Target | None = None) -> None:
        """Empty a table that a step loads, and begin its ledger anew."""
        self._set_up()
        named = ", ".join(map(sql.constant, steps))
        there = target is not None and self._columns_of(target)
        self._api.run([*([f"DELETE FROM {target.name}"] if there and target else []), f"DELETE FROM {sql.SCHEMA}.ledger WHERE step IN ({named})"])

    def load(self, steps: Sequence[str], batch: int, target: sql.Target, files: Sequence[sql.StagedFile], write: str, manifest_url: str) -> None:
        """Load a whole snapshot: COPY into the batch's stage, count, then claim and publish in a second transaction.

        `manifest_url` names a manifest of `files` that lies on S3 already. Raises DataError when the stage holds other rows than the files or
        a key twice; nothing is published then.
        """
        self._set_up()
        self._ensure(target)
        stage = sql.stage_of(steps[0], batch)
        if files:
            self._api.run(sql.stage(stage, target.columns, manifest_url, self._connection.iam_role))
        else:
            self._api.run([f"DROP TABLE IF EXISTS {stage}", f"CREATE TABLE {stage} ({sql.definition(target.columns)})"])
        reach("after_stage")
        self._counted(stage, target, sum(f.rows for f in files))
        self._publish(steps, batch, sql.publish(target, stage, write))
        reach("after_publish")
        self._api.run([f"DROP TABLE IF EXISTS {stage}"])

    def define(self, script: str) -> None:
        """Run a script of definitions as one transaction."""
        self._api.run(sql.statements(script))

    def call(self, steps: Sequence[str], batch: int, procedure: str, arguments: Sequence[Any]) -> None:
        """Claim the ledger and call a procedure in one transaction."""
        self._set_up()
        self._publish(steps, batch, [sql.call(procedure, arguments)])

    def unload(
        self, steps: Sequence[str], batch: int, text: str, prefix: str, partition_by: Sequence[str], parameters: Mapping[str, Any], read: Callable[[str], bytes]
    ) -> Unloaded:
        """Unload a query's rows to a prefix that only this batch uses, verify the manifest (read by `read`), then claim the ledger.

        Raises DataError when the manifest's rows are not the query's.
        """
        self._set_up()
        query = sql.bound(text, parameters)
        done = self._api.run([f"SELECT COUNT(*) AS n FROM ({query}) q", sql.unload(query, prefix, self._connection.iam_role, partition_by)])
        reach("after_unload")
        (expected,) = self._api.rows(done.parts[0])["n"].to_pylist()
        found = json.loads(read(f"{prefix}manifest"))
        rows = sum(e["meta"]["record_count"] for e in found["entries"])
        if rows != expected:
            raise DataError(
                f"the unload to {prefix} holds {rows} rows where the query gives {expected}", hint="run again; this batch's prefix is cleared first"
            )
        self._publish(steps, batch, [])
        files = tuple(e["url"] for e in found["entries"])
        return Unloaded(files, rows, sum(e["meta"]["content_length"] for e in found["entries"]), f"{prefix}manifest")

    def _set_up(self) -> None:
        if not self._is_set_up:
            self._api.run(sql.setup())
            self._is_set_up = True

    def _columns_of(self, target: sql.Target) -> list[str]:
        where = f"table_schema = {sql.constant(target.schema)} AND table_name = {sql.constant(target.table)}"
        found = self._api.query(f"SELECT column_name FROM information_schema.columns WHERE {where} ORDER BY ordinal_position")
        return [str(c) for c in found["column_name"].to_pylist()]

    def _ensure(self, target: sql.Target) -> None:
        """Make the table where it is missing; raises DataError when it is there with other columns."""
        self._api.run(sql.create_table(target))
        held, declared = self._columns_of(target), [c.name.lower() for c in target.columns]
        if held != declared:
            raise DataError(
                f"{target.name} has the columns {', '.join(held)} but {', '.join(declared)} are declared", hint="declare what is there, or drop the table"
            )

    def _counted(self, stage: str, target: sql.Target, expected: int) -> None:
        (loaded,) = self._api.query(f"SELECT COUNT(*) AS n FROM {stage}")["n"].to_pylist()
        if loaded != expected:
            raise DataError(f"COPY loaded {loaded} rows into {stage} where the files hold {expected}; nothing was published")
        if target.keys and (twice := self._api.query(sql.duplicate_keys(stage, target.keys))["n"].to_pylist()[0]):
            raise DataError(f"{twice} keys of {target.name} ({', '.join(target.keys)}) stand more than once in the rows to be loaded; nothing was published")

    def _publish(self, steps: Sequence[str], batch: int, statements: Sequence[str]) -> Done | None:
        """Claim the ledger and run the statements in one transaction; a lost answer or a lost race is settled by reading the ledger."""
        expected = self.applied(steps)
        if expected >= batch:
            return None
        self._api.run(sql.ledger_row(steps[0], expected))
        try:
            return self._api.run([sql.claim(steps[0], expected, batch), *statements])
        except WarehouseError as error:
            held = self.applied(steps)
            if held >= batch:
                return None
            if "penstock: the ledger of" in str(error):
                raise CommitConflictError(f"batch {batch} of {steps[0]} was not published: {error}") from error
            raise
