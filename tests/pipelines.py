"""Small pipelines for tests, run as a user runs them: by the command line."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from prepared import COMMAND as COMMAND
from prepared import Process, start

from penstock.cli import main
from penstock.jobs.context import Context
from penstock.jobs.run import new_run_id
from penstock.parse import load
from penstock.plan import compile_plan
from penstock.tables import LakeTable

AnyProcess = Process | subprocess.Popen[str]

# the beginning of a pipeline: its tables follow
SHOP = """
pipeline: shop
connections:
  raw: {kind: files, path: landing}
  lake: {kind: catalog, catalog: sqlite, warehouse: warehouse}
tables:
"""
EVENTS = (
    SHOP
    + """  lake.shop.orders:
    format: FORMAT
    columns: {id: bigint!, state: string, amount: "decimal(12,2)"}
    keys: [id]
steps:
  - id: changes
    read: {from: raw/orders/, format: debezium, decimal_handling_mode: string, batch: {max_files: 1}}
  - id: orders
    merge: {from: changes, into: lake.shop.orders}
"""
)

APPENDED = """
pipeline: rows
connections:
  raw: {kind: files, path: landing}
  lake: {kind: catalog, catalog: sqlite, warehouse: warehouse}
tables:
  lake.a.rows:
    format: FORMAT
    columns: {id: bigint!, name: string}
steps:
  - id: files
    read: {from: raw/rows/, format: csv, batch: {max_files: 1}}
  - id: rows
    copy: {from: files, into: lake.a.rows, write: append}
"""


def on_aws(text: str, bucket: str) -> str:
    """A pipeline of `raw` and `lake` with its files in a bucket and its tables in Glue, in a namespace of the bucket's name."""
    schema = bucket.replace("-", "_")
    text = text.replace("lake.shop", f"lake.{schema}").replace("pipeline: shop", f"pipeline: {schema}")
    text = text.replace("{kind: files, path: landing}", f"{{kind: s3, bucket: {bucket}}}")
    text = text.replace("catalog: sqlite, warehouse: warehouse", f'catalog: glue, warehouse: "s3://{bucket}/lake"')
    return text + "environments:\n  local: {aws: local}\n"


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Project:
    """A folder with a pipeline."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()

    def variables(self) -> dict[str, str]:
        """Those of a process that works on it."""
        return {**os.environ, **self.environment}

    def penstock(self, *arguments: str) -> Done:
        """Run a verb in this process, as the command does; the pipeline is the working folder's."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["penstock", *arguments])
            for name, value in self.environment.items():
                patch.setenv(name, value)
            try:
                main()
                code = 0
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Done(code, out.getvalue(), err.getvalue())

    def process(self, *arguments: str, **environment: str) -> Done:
        """Run a verb in a process of its own, which may be killed."""
        with self._started(arguments, environment) as (_, ended):
            return ended(300)

    @contextmanager
    def _started(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[tuple[AnyProcess, Callable[[float], Done]]]:
        """A process, and what waits for its end so many seconds."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = start(arguments, self.folder, {**self.variables(), **environment}, out, err)

            def ended(timeout: float) -> Done:
                code = process.wait(timeout)
                for file in (out, err):
                    file.seek(0)
                return Done(code, out.read(), err.read())

            try:
                yield process, ended
            finally:
                process.kill()
                process.wait(60)

    @contextmanager
    def stopped(self, *arguments: str, at: str) -> Iterator[Callable[[], Done]]:
        """A verb in a process of its own that stopped at a named point; what is yielded wakes it and waits for its end."""
        with self._started(arguments, {"PENSTOCK_STOP_AT": at}) as (process, ended):

            def woken() -> Done:
                process.send_signal(signal.SIGCONT)
                return ended(120)

            while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
                assert process.poll() is None, ended(1)
                time.sleep(0.01)
            yield woken

    def end_lease(self) -> None:
        """As if the lease of a run at work had run out by the clock: that the run lives, nobody can see from another host."""
        lock = next(self.folder.glob(".penstock/state/*/run.lock"))
        lock.write_text(json.dumps(json.loads(lock.read_text()) | {"until": 0.0}))

    def rows(self, table: str, columns: str = "*", connection: str | None = None) -> list[dict[str, Any]]:
        where, order = (["--connection", connection], "1") if connection else ([], "ALL")
        done = self.penstock("query", f"SELECT {columns} FROM {table} ORDER BY {order}", "--json", *where)
        assert done.code == 0, done.err
        return done.json()

    def batches(self, table: str) -> list[int]:
        """The batch of each commit of Penstock's in a table's history, the newest first."""
        return [v["batch"] for v in self.penstock("history", table, "--json").json() if v["batch"]]

    def record(self, *arguments: str) -> tuple[Done, dict[str, dict[str, Any]]]:
        """Run the pipeline; the command, and the record of each step."""
        done = self.penstock("run", ".", "--log", "json", *arguments)
        last = done.json()[-1] if done.out else {}
        return done, {s["step"]: s for s in last.get("steps", [])}


def event(op: str, number: int, lsn: int, state: str | None = None, amount: str | None = None) -> str:
    """A Debezium event of PostgreSQL, as a line."""
    image = {"id": number, "state": state, "amount": amount}
    source: Mapping[str, Any] = {"connector": "postgresql", "sequence": f'["{lsn}","{lsn}"]', "lsn": lsn, "snapshot": "false", "table": "orders"}
    return json.dumps({"before": {"id": number} if op == "d" else None, "after": None if op == "d" else image, "source": source, "op": op, "ts_ms": lsn})


def truncate(lsn: int) -> str:
    source = {"connector": "postgresql", "sequence": f'["{lsn}","{lsn}"]', "lsn": lsn, "snapshot": "false", "table": "orders"}
    return json.dumps({"before": None, "after": None, "source": source, "op": "t", "ts_ms": lsn})


def events(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def context(project: Project) -> Context:
    """The pipeline as a job sees it."""
    loaded = load(project.folder)
    return Context(loaded, compile_plan(loaded), new_run_id(datetime.now(UTC)))


def lake(project: Project, namespace: str, name: str) -> LakeTable:
    table = context(project).catalog("lake").table(namespace, name)
    assert table
    return table


def append_as_others(table: LakeTable, *rows: dict[str, Any]) -> None:
    """Rows appended by the format's own library, in a file of their own."""
    pinned = table.pin()
    native: Any = pinned.native
    data = pa.Table.from_pylist(list(rows), schema=pa.schema([pa.field(c.name, c.type.arrow(), nullable=not c.required) for c in pinned.columns]))
    if hasattr(native, "append"):
        native.append(data)
    else:
        from deltalake import write_deltalake

        write_deltalake(table.location, data, mode="append")
