"""Redshift under bad luck: killed and taken over, busy, answers lost, tables that others touched. Faults 20 and 24 to 28 of the catalogue."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.config import AwsSettings
from penstock.connections import FilesConnection, RedshiftConnection
from penstock.connectors.redshift.sql import StagedFile, Target, manifest
from penstock.connectors.redshift.warehouse import Warehouse
from penstock.connectors.s3.access import client
from penstock.connectors.stores import open_store
from penstock.errors import DataError, WarehouseError
from penstock.infra.local.control import LocalAws, down, up
from penstock.schema import Column, Columns, arrow_schema

LOCAL = RedshiftConnection(kind="redshift", workgroup="local")
COLUMNS = (Column.parse("id", "bigint!"), Column.parse("amount", "decimal(38,10)"))
ONE, TWO = (1, Decimal("1.0000000001")), (2, None)


@dataclass(frozen=True)
class Place:
    """A bucket, a table and a step of the test's own."""

    aws: AwsSettings
    bucket: str
    state: Path

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
        return Warehouse(LOCAL, self.aws, open_store(FilesConnection(kind="files", path=str(self.state)), self.aws, self.state))

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

    def load(self, batch: int, rows: Sequence[tuple[Any, ...]], write: str = "merge") -> None:
        files, url = self.put(batch, rows)
        self.warehouse().load(self.steps, batch, self.target, files, write, url)

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
        script = f"import sys; sys.path[:0] = {[str(Path(__file__).parent)]!r}\nfrom pathlib import Path\nfrom test_redshift_warehouse import *\n"
        script += f"place = Place(AwsSettings.from_environment(), {self.bucket!r}, Path({str(self.state)!r}))\n{code}"
        return subprocess.Popen([sys.executable, "-c", script], env={**os.environ, **environment}, stderr=subprocess.DEVNULL)


@pytest.fixture
def place(local_aws: LocalAws, local_bucket: Callable[[str], str], tmp_path: Path) -> Place:
    return Place(AwsSettings.from_environment(local_aws.environment()), local_bucket("load"), tmp_path)


def until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("waited for 30 s in vain")


def test_values_arrive_as_they_left(place: Place) -> None:
    kinds = {"id": "bigint!", "d": "decimal(38,10)", "at": "timestamp", "local": "timestamp_ntz", "day": "date", "t": "string", "b": "boolean", "f": "double"}
    columns = tuple(Column.parse(n, t) for n, t in kinds.items())
    rows = [
        (1, Decimal("-9999999999999999999999999999.9999999999"), datetime(2013, 3, 10, 7, 30, 0, 1, UTC), datetime(1899, 12, 31), date(1, 1, 1), "", True, 0.1),
        (
            2,
            Decimal("0.0000000001"),
            datetime(1850, 1, 1, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999999),
            date(1752, 9, 2),
            "it's\n\\N",
            False,
            -1e300,
        ),
        (3, None, None, None, None, None, None, None),
    ]
    files, url = place.put(1, rows, columns)
    warehouse = place.warehouse()
    warehouse.load(place.steps, 1, replace(place.target, columns=columns), files, "overwrite", url)
    assert place.query(f"SELECT {', '.join(kinds)} FROM {place.target.name} ORDER BY id") == rows


@pytest.mark.parametrize("write", ["overwrite", "merge"])
def test_a_run_killed_between_the_transactions_is_done_again(place: Place, write: str) -> None:
    place.load(1, [ONE])
    killed = place.child(f"place.load(2, [TWO], {write!r})", PENSTOCK_KILL_AT="after_stage")
    assert killed.wait() == -signal.SIGKILL
    assert (place.rows(), len(place.stages())) == ([ONE], 1)
    place.load(2, [TWO], write)
    assert (place.rows(), place.stages()) == ([TWO], [])


def test_a_stage_left_behind_by_a_kill_goes_with_the_next_batch(place: Place) -> None:
    assert place.child("place.load(1, [ONE])", PENSTOCK_KILL_AT="after_publish").wait() == -signal.SIGKILL
    assert (place.rows(), len(place.stages())) == ([ONE], 1)
    place.load(2, [TWO])
    assert (place.rows(), place.stages()) == ([TWO], [])


def test_a_call_whose_run_was_killed_is_taken_up_not_sent_again(place: Place) -> None:
    name = place.procedure("PERFORM pg_sleep(3);")
    call = f"place.warehouse().call(place.steps, 1, {name!r}, [])"
    child = place.child(call)
    until(lambda: place.statements(f'"p_{place.name}"') == ["STARTED"] and any(place.state.rglob("publish.json")))
    child.kill()
    child.wait()
    place.warehouse().call(place.steps, 1, name, [])
    assert (place.statements(f'"p_{place.name}"'), place.ran()) == (["FINISHED"], 1)
    assert place.warehouse().applied(place.steps) == 1


def test_an_interrupted_run_cancels_its_statement(place: Place) -> None:
    name = place.procedure("PERFORM pg_sleep(60);")
    child = place.child(f"place.warehouse().call(place.steps, 1, {name!r}, [])")
    until(lambda: place.statements(f'"p_{place.name}"') == ["STARTED"] and any(place.state.rglob("publish.json")))
    child.send_signal(signal.SIGINT)
    assert child.wait() != 0
    until(lambda: place.statements(f'"p_{place.name}"') == ["ABORTED"])
    assert (place.ran(), place.warehouse().applied(place.steps)) == (0, 0)


def test_a_copy_that_a_killed_run_left_at_work_gives_way(place: Place) -> None:
    place.load(1, [ONE])
    blocked = place.child("place.load(2, [ONE, TWO])", PENSTOCK_KILL_AT="after_stage")
    assert blocked.wait() == -signal.SIGKILL
    (last,) = place.state.rglob("stage.json")
    slow = client("redshift-data", place.aws).execute_statement(Database="dev", WorkgroupName="local", Sql="SELECT pg_sleep(60)")["Id"]
    last.write_text(f'{{"id": "{slow}", "attempt": 7, "text": "of other files"}}')
    place.load(2, [TWO])
    assert (place.rows(), place.statements("pg_sleep(60)")[-1]) == ([TWO], "ABORTED")


def test_a_failed_call_is_executed_again_once_it_is_mended(place: Place) -> None:
    name = place.procedure("RAISE EXCEPTION 'not yet';")
    for _ in range(2):
        with pytest.raises(WarehouseError, match="not yet"):
            place.warehouse().call(place.steps, 1, name, [])
    place.procedure("")
    place.warehouse().call(place.steps, 1, name, [])
    place.warehouse().call(place.steps, 1, name, [])
    assert (place.ran(), place.warehouse().applied(place.steps)) == (1, 1)


def test_a_forgotten_step_begins_anew_under_the_same_numbers(place: Place) -> None:
    place.load(1, [ONE])
    place.warehouse().forget(place.steps, place.target)
    assert (place.rows(), place.warehouse().applied(place.steps)) == ([], 0)
    place.load(1, [ONE])
    assert place.rows() == [ONE]


def test_a_statement_finished_before_its_ledger_was_forgotten_is_not_taken_for_done(place: Place) -> None:
    name = place.procedure("")
    place.warehouse().call(place.steps, 1, name, [])
    place.warehouse().forget(place.steps)
    for path in place.state.rglob("publish.json"):
        path.unlink()
    place.warehouse().call(place.steps, 1, name, [])
    assert (place.ran(), place.warehouse().applied(place.steps)) == (2, 1)


def test_two_first_runs_of_a_warehouse_make_one_ledger(place: Place, tmp_path: Path) -> None:
    home = tmp_path / "fresh"
    aws = AwsSettings.from_environment(up(home).environment())
    found: list[object] = []

    def first(name: str) -> None:
        try:
            warehouse = Warehouse(LOCAL, aws)
            warehouse.skip((f"test/{name}",), 3)
            found.append(warehouse.applied((f"test/{name}",)))
        except WarehouseError as error:
            found.append(error)

    try:
        threads = [threading.Thread(target=first, args=(n,)) for n in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        down(home)
    assert found == [3, 3, 3, 3]


def test_a_type_that_would_round_is_refused(place: Place) -> None:
    place.warehouse().define(f"CREATE SCHEMA IF NOT EXISTS mart; CREATE TABLE {place.target.name} (id BIGINT NOT NULL, amount DECIMAL(12,2))")
    with pytest.raises(DataError, match=r"has the columns id bigint, amount numeric\(12,2\) but id bigint, amount numeric\(38,10\) are declared"):
        place.load(1, [ONE])
    assert place.rows() == []


def test_a_merge_heals_a_key_that_another_hand_doubled(place: Place) -> None:
    place.load(1, [ONE, TWO])
    place.warehouse().define(f"INSERT INTO {place.target.name} SELECT * FROM {place.target.name} WHERE id = 1")
    place.load(2, [ONE, TWO])
    assert place.rows() == [ONE, TWO]


@pytest.mark.parametrize("write", ["append", "overwrite_partitions", "megre"])
def test_a_write_that_a_snapshot_cannot_have_is_refused(place: Place, write: str) -> None:
    with pytest.raises(ValueError, match=f"'{write}' is not one of merge, overwrite"):
        place.load(1, [ONE], write)


def test_an_unload_leaves_nothing_of_an_attempt_before(place: Place) -> None:
    place.load(1, [ONE, TWO])
    s3, prefix = client("s3", place.aws), f"s3://{place.bucket}/out/batch=1/"

    def read(uri: str) -> bytes:
        return bytes(s3.get_object(Bucket=place.bucket, Key=uri.split("/", 3)[3])["Body"].read())

    def unload() -> tuple[int, list[str]]:
        done = place.warehouse().unload(("test/u_" + place.name,), 1, f"SELECT id, amount FROM {place.target.name}", prefix, ["id"], {}, read)
        listed = s3.list_objects_v2(Bucket=place.bucket, Prefix="out/")["Contents"]
        assert len(listed) == len(done.files) + 1
        return done.rows, sorted(o["Key"] for o in listed)

    s3.put_object(Bucket=place.bucket, Key="out/batch=1/id=9/0000_part_00.parquet", Body=b"of a killed attempt")
    keys = [f"out/batch=1/{k}" for k in ("id=1/0000_part_00.parquet", "id=2/0000_part_00.parquet", "manifest")]
    assert unload() == (2, keys)
    place.load(2, [ONE])
    assert unload() == (2, keys)


class Between(ThreadingHTTPServer):
    """Stands before the endpoint: `script` names, for each ExecuteStatement or its batch, `busy`, `lost` (done, but not answered) or `through`."""

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint, self.script, self.seen = endpoint.partition("://")[2], list[str](), 0


class _Handler(BaseHTTPRequestHandler):
    server: Between

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        executes = "ExecuteStatement" in self.headers.get("X-Amz-Target", "")
        self.server.seen += executes
        fate = self.server.script.pop(0) if executes and self.server.script else "through"
        if fate == "busy":
            self._answer(400, b'{"__type": "ActiveStatementsExceededException", "Message": "too many"}')
            return
        onward = HTTPConnection(self.server.endpoint)
        onward.request("POST", self.path, body, dict(self.headers))
        response = onward.getresponse()
        status, answer = response.status, response.read()
        onward.close()
        if fate == "lost":
            self.close_connection = True
            return
        self._answer(status, answer)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def between(place: Place) -> Iterator[Between]:
    server = Between(str(place.aws.endpoint_url))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("fate", ["busy", "lost"])
def test_busy_servers_and_lost_answers_neither_lose_nor_double_a_call(place: Place, between: Between, fate: str) -> None:
    name = place.procedure("")
    warehouse = Warehouse(LOCAL, replace(place.aws, endpoint_url=f"http://127.0.0.1:{between.server_port}"))
    warehouse.skip(place.steps, 1)
    between.script, between.seen = ["through", fate, fate], 0
    warehouse.call(place.steps, 2, name, [])
    assert between.seen >= 4, "the ledger is read, the call is sent three times"
    assert (place.ran(), place.warehouse().applied(place.steps)) == (1, 2)
