"""Redshift under bad luck: killed and taken over, busy, answers lost. Faults 20 and 24 to 28 of the catalogue."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest
from waiting import until
from warehouse import LOCAL, ONE, TWO, Place

from penstock.config import AwsSettings
from penstock.connections import RedshiftConnection
from penstock.connectors.redshift.warehouse import Warehouse
from penstock.connectors.s3.access import client
from penstock.errors import WarehouseBusyError, WarehouseError
from penstock.infra.local.control import down, up


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


@pytest.fixture
def cluster(place: Place) -> Iterator[str]:
    """A paused one; every cluster of the local AWS is the same warehouse."""
    api = client("redshift", place.aws)
    api.create_cluster(ClusterIdentifier=place.bucket, NodeType="ra3.large", MasterUsername="awsuser", MasterUserPassword="Aa345678")
    api.pause_cluster(ClusterIdentifier=place.bucket)
    yield place.bucket
    api.delete_cluster(ClusterIdentifier=place.bucket, SkipFinalClusterSnapshot=True)


@pytest.mark.parametrize("way", ["data-api", "redshift-connector"])
def test_a_paused_cluster_is_named_and_the_run_may_be_tried_again(place: Place, cluster: str, way: Literal["data-api", "redshift-connector"]) -> None:
    nobody = replace(place.aws, redshift_port=1)
    with pytest.raises(WarehouseBusyError, match=f"cluster {cluster} is paused") as refused:
        Warehouse(RedshiftConnection(kind="redshift", cluster=cluster, client=way), nobody).applied(place.steps)
    assert f"aws redshift resume-cluster --cluster-identifier {cluster}" in str(refused.value)


def test_a_cluster_is_resumed_where_the_connection_says_so_and_waited_for(place: Place, cluster: str, caplog: pytest.LogCaptureFixture) -> None:
    resuming = replace(place, connection=RedshiftConnection(kind="redshift", cluster=cluster, resume=True))
    resuming.load(1, [ONE])
    assert (resuming.rows(), caplog.messages) == ([ONE], [f"cluster {cluster} is paused: waiting for it"])


def test_a_cluster_that_somebody_else_resumes_is_waited_for(place: Place, cluster: str) -> None:
    client("redshift", place.aws).resume_cluster(ClusterIdentifier=cluster)
    there = replace(place, connection=RedshiftConnection(kind="redshift", cluster=cluster))
    there.load(1, [TWO])
    assert there.rows() == [TWO]
