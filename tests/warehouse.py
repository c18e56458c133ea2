"""A warehouse, a table of a test's own, files for it, and processes that load them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from penstock.config import AwsSettings
from penstock.connections import FilesConnection, RedshiftConnection
from penstock.connectors.redshift.loading import Load
from penstock.connectors.redshift.sql import StagedFile, Target, manifest
from penstock.connectors.redshift.warehouse import Warehouse
from penstock.connectors.s3.access import client
from penstock.connectors.stores import open_store
from penstock.schema import Column, Columns, arrow_schema

LOCAL = RedshiftConnection(kind="redshift", workgroup="local")
BY_WIRE = RedshiftConnection(kind="redshift", workgroup="local", client="redshift-connector")
COLUMNS = (Column.parse("id", "bigint!"), Column.parse("amount", "decimal(38,10)"))
ONE, TWO = (1, Decimal("1.0000000001")), (2, None)


@dataclass(frozen=True)
class Place:
    """A bucket, a table and a step of the test's own."""

    aws: AwsSettings
    bucket: str
    state: Path
    connection: RedshiftConnection = LOCAL

    @property
    def name(self) -> str:
        return f"t_{self.bucket[-8:]}"

    @property
    def steps(self) -> tuple[str, ...]:
        return (f"test/{self.name}",)

    @property
    def target(self) -> Target:
        return Target("mart", self.name, COLUMNS, ("id",))

    def warehouse(self) -> Warehouse:
        """A warehouse as another process would open it: nothing is shared but the state store."""
        return Warehouse(self.connection, self.aws, open_store(FilesConnection(kind="files", path=str(self.state)), self.aws, self.state))

    def put(self, batch: int, rows: Sequence[tuple[Any, ...]], columns: Columns = COLUMNS) -> tuple[list[StagedFile], str]:
        """Rows as a Parquet file and its manifest on S3."""
        sink = pa.BufferOutputStream()
        records = [dict(zip((c.name for c in columns), r, strict=True)) for r in rows]
        pq.write_table(pa.Table.from_pylist(records, schema=arrow_schema(columns)), sink)
        body, folder = sink.getvalue().to_pybytes(), f"s3://{self.bucket}/{batch}"
        files = [StagedFile(f"{folder}.parquet", len(body), len(rows))]
        for key, data in {f"{batch}.parquet": body, f"{batch}.manifest": manifest(files)}.items():
            client("s3", self.aws).put_object(Bucket=self.bucket, Key=key, Body=data)
        return files, f"{folder}.manifest"

    def read(self, uri: str) -> bytes:
        return bytes(client("s3", self.aws).get_object(Bucket=self.bucket, Key=uri.split("/", 3)[3])["Body"].read())

    def load(self, batch: int, rows: Sequence[tuple[Any, ...]], write: str = "merge", *, claimed_rows: int | None = None) -> None:
        files, url = self.put(batch, rows)
        if claimed_rows is not None:
            files = [replace(f, rows=claimed_rows) for f in files]
        self.warehouse().load(self.steps, batch, Load(self.target, files, write, url))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.warehouse().query(sql).to_pylist()]

    def rows(self) -> list[tuple[Any, ...]]:
        return self.query(f"SELECT id, amount FROM {self.target.name} ORDER BY id")

    def stages(self) -> list[tuple[Any, ...]]:
        return self.query(f"SELECT table_name FROM information_schema.tables WHERE table_schema = 'penstock' AND table_name LIKE '%{self.name}%'")

    def statements(self, mark: str) -> list[str]:
        """The status of each statement sent that has a text in it."""
        found = client("redshift-data", self.aws).list_statements()["Statements"]
        texts = [(s["Status"], " ".join([s.get("QueryString", ""), *s["QueryStrings"]])) for s in found]
        return [status for status, text in texts if mark in text and "PROCEDURE" not in text]

    def procedure(self, body: str) -> str:
        """Define a procedure that logs that it ran, besides."""
        name = f"mart.p_{self.name}"
        self.warehouse().define(f"""CREATE SCHEMA IF NOT EXISTS mart; CREATE TABLE IF NOT EXISTS {name}_log (at TIMESTAMP);
          CREATE OR REPLACE PROCEDURE {name}() AS $$ BEGIN INSERT INTO {name}_log VALUES (GETDATE()); {body} END; $$ LANGUAGE plpgsql""")
        return name

    def ran(self) -> int:
        return int(self.query(f"SELECT COUNT(*) AS n FROM mart.p_{self.name}_log")[0][0])

    def child(self, code: str, **environment: str) -> subprocess.Popen[bytes]:
        """A process that has the same place as `place`."""
        script = f"import sys; sys.path[:0] = {[str(Path(__file__).parent)]!r}\nfrom pathlib import Path\nfrom warehouse import *\n"
        script += f"place = Place(AwsSettings.from_environment(), {self.bucket!r}, Path({str(self.state)!r}))\n{code}"
        return subprocess.Popen([sys.executable, "-c", script], env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
