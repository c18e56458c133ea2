"""What pipelines do in Redshift: load, call, unload, ask. Each publishing act claims the ledger in its own transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from penstock.commits import Outcome, settle
from penstock.config import AwsSettings
from penstock.connections import RedshiftConnection, S3Connection
from penstock.connectors.stores import open_store
from penstock.errors import CommitConflictError, ConnectionFailedError, DataError, LedgerError, WarehouseBusyError, WarehouseError
from penstock.killpoints import reach
from penstock.locations import QUARANTINE
from penstock.maintenance import Maintain
from penstock.objects import ObjectStore
from penstock.scripts import statements

from . import publishing, sql, upkeep
from .client import DataApi, Done, Part
from .loading import Load, Loaded, Loading, compared
from .statements import Client, Statements
from .wire_client import WireClient

if TYPE_CHECKING:
    import pyarrow as pa

_ATTEMPTS = 5
_HIVE = {t: t for t in ("smallint", "bigint", "boolean", "date", "timestamp", "double")} | {"integer": "int", "real": "float"}


@dataclass(frozen=True)
class Unloaded:
    """Files of an unload, with their bytes, as its manifest lists them, verified: each is there, and rows are the query's own count."""

    sizes: Mapping[str, int]
    rows: int
    manifest: str

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())


class Warehouse:
    """One Redshift connection. A step is named by its ledger keys, the present one first.

    With a `state` store a run finds the statements again that a run before it left at work; without one it sends them anew, and the ledger
    keeps the second from taking effect.
    """

    def __init__(self, connection: RedshiftConnection, aws: AwsSettings, state: ObjectStore | None = None) -> None:
        self._connection, self._aws = connection, aws
        self._api: Client = DataApi(connection, aws) if connection.client == "data-api" else WireClient(connection, aws)
        self._statements = Statements(self._api, state if connection.client == "data-api" else None)

    def query(self, text: str) -> pa.Table:
        return self._api.query(text)

    def applied(self, steps: Sequence[str]) -> int:
        """The last batch that the warehouse holds of a step. Raises LedgerError for a ledger that a newer Penstock wrote."""
        return int(self._ledger(steps)["last"] or 0)

    def skip(self, steps: Sequence[str], batch: int) -> None:
        """Move the ledger to a batch, and nothing else."""
        self._publish(steps, batch, [])

    def forget(self, steps: Sequence[str], target: sql.Target | None = None) -> None:
        """Empty a table that a step loads, and begin its ledger anew."""
        self._ledger(steps)
        emptied = [*sql.create_table(target), f"DELETE FROM {target.name}"] if target else []
        if target and self._api.query(sql.is_there(target.schema, target.table + QUARANTINE)).num_rows:
            emptied.append(sql.released(replace(target, table=target.table + QUARANTINE).name, steps))
        self.copied(steps)
        self._api.run([*emptied, *sql.forget(steps)])

    def copied(self, steps: Sequence[str]) -> int | None:
        """The version of its source that a step's target was last made of; None before the first load."""
        row = self._own_row(sql.copied(steps))
        return None if row["version"] is None else int(row["version"])

    @cached_property
    def slices(self) -> int:
        """Of how many parts at once a cluster loads files; 1 where it does not tell. Serverless, which cuts files itself, has none to tell of."""
        if self._connection.workgroup:
            return 1
        try:
            return max(1, int(self._api.query(sql.SLICES)["n"][0].as_py()))
        except WarehouseBusyError:
            raise
        except WarehouseError:
            return 1

    def compare(self, steps: Sequence[str], target: sql.Target) -> list[str]:
        """What a load does to its table before it loads, as statements. Raises DataError where the table has other columns than are declared."""
        self._ledger(steps)  # what is declared is compared beside it, in Penstock's own schema
        if not self._api.query(sql.is_there(target.schema, target.table)).num_rows:
            return sql.create_table(target)
        return compared(self._api, target, [], steps[0], 0)

    def load(self, steps: Sequence[str], batch: int, load: Load) -> Loaded | None:
        """COPY into the batch's stage, count, then claim and publish in a second transaction, which notes the source's version.

        None where the ledger has the batch. Raises as `Loading.run` does, and SourceChangedError as `check` does, which is asked last; nothing is
        published then.
        """
        loading = Loading(self._api, self._statements, self._connection.iam_role, steps[0], batch, load)
        publish = publishing.publish(load.filled, loading.stage, load.write) + (sql.note_copied(steps, load.version) if load.version is not None else [])
        self._statements.wait(steps[0], "publish")
        if self.applied(steps) >= batch:
            return None
        loaded = loading.run()
        reach("after_stage")
        load.check()
        self._publish(steps, batch, publish)
        reach("after_publish")
        # the stage before this one is there still when its run was killed after publishing
        self._api.run([f"DROP TABLE IF EXISTS {loading.stage}", f"DROP TABLE IF EXISTS {sql.stage_of(steps[0], batch - 1)}"])
        return loaded

    def define(self, script: str) -> None:
        """Run a script of definitions as one transaction."""
        self._api.run(statements(script))

    def maintain(self, target: sql.Target, policy: Maintain) -> list[str]:
        """Vacuum and analyze a table as far as it needs that; returns what was done."""
        done = [s for found in self._api.query(upkeep.told(target)).to_pylist() for s in upkeep.statements(target, found, policy)]
        for statement in done:
            self._api.run([statement])
        return done

    def call(self, steps: Sequence[str], batch: int, procedure: str, arguments: Sequence[Any], *, together: bool = True) -> Mapping[str, Any]:
        """Claim the ledger and call a procedure in one transaction, or not `together`; returns what it gives back, its INOUT and OUT parameters."""
        done = self.script(steps, batch, [sql.call(procedure, arguments)], together=together)
        if not done or not done[-1].gives_rows:
            return {}
        return next(iter(self._api.rows(done[-1].id).to_pylist()), {})

    def script(self, steps: Sequence[str], batch: int, statements: Sequence[str], *, together: bool) -> Sequence[Part]:
        """Claim the ledger and run statements in one transaction; not `together`, each by itself, and the claim after them. Returns what each did."""
        if self.applied(steps) >= batch:
            return ()
        if not together:
            ran = [self._api.run([s]).parts[0] for s in statements]
            self._publish(steps, batch, [])
            return ran
        done = self._publish(steps, batch, statements)
        return done.parts[1:] if done else ()

    def unload(
        self,
        steps: Sequence[str],
        batch: int,
        text: str,
        prefix: str,
        options: sql.UnloadOptions,
        parameters: Mapping[str, Any],
        read: Callable[[str], bytes],
        note: Callable[[Unloaded], None] = lambda _: None,
    ) -> Unloaded:
        """Unload a query's rows to a prefix that only this batch uses, verify the manifest (read by `read`), have it noted, then claim the ledger.

        A batch that the ledger holds is not unloaded again: its manifest is read. Raises DataError when the manifest's rows are not the query's.
        """
        query = sql.bound(text, parameters)
        if self.applied(steps) >= batch:
            return _unloaded(prefix, read)
        statements = [f"SELECT COUNT(*) AS n FROM ({query}) q", sql.unload(query, prefix, self._connection.iam_role, options)]
        done = self._statements.run(steps[0], "unload", statements, prepare=lambda: self._clear(prefix))
        reach("after_unload")
        (expected,) = self._api.rows(done.parts[0].id)["n"].to_pylist()
        found = _unloaded(prefix, read)
        there = {f.uri: f.size for f in self._below(prefix).list()}
        missing = [uri for uri, size in found.sizes.items() if there.get(uri) != size]
        if found.rows != expected or missing:
            said = f"lacks {missing[0]}, or has not all of it" if missing else f"holds {found.rows} rows where the query gives {expected}"
            raise DataError(f"the unload to {prefix} {said}", hint="run again; this batch's prefix is cleared first")
        note(found)
        self._publish(steps, batch, [])
        return found

    def hive_columns(self, steps: Sequence[str], batch: int, text: str, parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
        """A query's columns, in order, with the types that Hive has for them."""
        _, found, _ = self._api.run(sql.shape(sql.bound(text, parameters), steps[0], batch)).parts
        return [(r["name"], _hive(r)) for r in self._api.rows(found.id).to_pylist()]

    def _clear(self, prefix: str) -> None:
        """Remove what an attempt before left below a batch's prefix, partitions among it that the query no longer gives."""
        store = self._below(prefix)
        for found in list(store.list()):
            store.delete(found.uri.removeprefix(store.root))

    def _below(self, prefix: str) -> ObjectStore:
        bucket, _, path = prefix.removeprefix("s3://").partition("/")
        return open_store(S3Connection(kind="s3", bucket=bucket), self._aws, Path(), path)

    def _ledger(self, steps: Sequence[str]) -> Mapping[str, Any]:
        """What the ledger, made where it is missing, holds of a step."""
        row = self._own_row(sql.ledger_of(steps))
        if (row["format"] or 0) > sql.LEDGER_FORMAT:
            raise LedgerError(f"the ledger of {steps[0]} has format {row['format']}; this Penstock reads up to {sql.LEDGER_FORMAT}", hint="upgrade Penstock")
        return row

    def _own_row(self, text: str) -> Mapping[str, Any]:
        """The one row of a query of Penstock's own tables, which are made where they are missing."""
        try:
            (row,) = self._api.query(text).to_pylist()
        except WarehouseBusyError:
            raise
        except WarehouseError:
            self._set_up(text)
            (row,) = self._api.query(text).to_pylist()
        return cast("Mapping[str, Any]", row)

    def _set_up(self, proof: str) -> None:
        """Make Penstock's own schema; of several processes that do so at once one succeeds, and `proof` then runs for all."""
        try:
            self._api.run(sql.setup())
        except WarehouseError as error:
            try:
                self._api.query(proof)
            except WarehouseError:
                raise error from None

    def _publish(self, steps: Sequence[str], batch: int, statements: Sequence[str]) -> Done | None:
        """Claim the ledger and run the statements in one transaction, until the ledger holds the batch: nothing else counts as done.

        Returns what was run last; None where the batch was there already, or came there unseen.

        Raises CommitConflictError after a lost race, CommitUnknownError when an answer was lost and the ledger cannot be read.
        """
        conflict: WarehouseBusyError | None = None
        done = None
        for _ in range(_ATTEMPTS):
            self._statements.wait(steps[0], "publish")
            row = self._ledger(steps)
            expected = int(row["last"] or 0)
            if expected >= batch:
                return done
            try:
                if not row["own"]:
                    self._api.run(sql.ledger_row(steps[0], expected))
                done = self._statements.run(steps[0], "publish", [sql.claim(steps[0], expected, batch), *statements])
            except WarehouseBusyError as error:
                conflict = error
            except ConnectionFailedError as error:
                settle(Outcome("unknown", cause=str(error)), lambda: self.applied(steps) >= batch, batch)
            except WarehouseError as error:
                if self.applied(steps) < batch:
                    raise _lost(steps[0], batch, error) from error
        if self.applied(steps) < batch:
            raise conflict or LedgerError(f"batch {batch} of {steps[0]} was published {_ATTEMPTS} times and the ledger does not hold it")
        return done


def _lost(step: str, batch: int, error: WarehouseError) -> CommitConflictError | WarehouseError:
    """A claim that another writer won is a lost race; all else is the server's own error."""
    return CommitConflictError(f"batch {batch} of {step} was not published: {error}") if sql.CLAIM_FAILED in str(error) else error


def _hive(column: Mapping[str, Any]) -> str:
    """A column's type in Hive; texts of any kind are strings."""
    if column["type"] == "numeric":
        return f"decimal({column['digits']},{column['scale']})"
    return _HIVE.get(column["type"].partition(" ")[0], "string")


def _unloaded(prefix: str, read: Callable[[str], bytes]) -> Unloaded:
    entries = json.loads(read(f"{prefix}manifest"))["entries"]
    sizes = {str(e["url"]): int(e["meta"]["content_length"]) for e in entries}
    return Unloaded(sizes, sum(int(e["meta"]["record_count"]) for e in entries), f"{prefix}manifest")
