"""Stores that overwrite unasked, answers lost while a lease is taken or renewed, clocks that differ. Faults 11 and 32 of the catalogue."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pipelines import EVENTS, Project, event, events, on_aws
from waiting import until

from penstock.config import AwsSettings
from penstock.connections import FilesConnection
from penstock.connectors.s3.access import client
from penstock.connectors.stores import open_store
from penstock.errors import ConnectionFailedError, RunLockedError
from penstock.infra.local.control import LocalAws
from penstock.jobs import lock
from penstock.objects import ObjectStore

Faults = Callable[..., None]
DAY = 86_400


@pytest.fixture
def shop(tmp_path: Path, request: pytest.FixtureRequest, local_aws: LocalAws, local_bucket: Callable[[str], str]) -> Project:
    """State, files and tables in one bucket."""
    bucket, project = local_bucket("state"), Project(tmp_path)
    text = on_aws(EVENTS.replace("FORMAT", getattr(request, "param", "iceberg")), bucket)
    project.write("pipeline.yaml", text.replace("connections:", "state: raw/state/\nconnections:", 1))
    s3 = client("s3", AwsSettings.from_environment(local_aws.environment()))
    s3.put_object(Bucket=bucket, Key="orders/1.json", Body=events(event("c", 1, 10, "new")).encode())
    return project


def cut(project: Project) -> int:
    (state,) = json.loads(project.penstock("state", ".", "--json").out)
    return int(state["cut"])


@pytest.mark.parametrize("header", ["If-None-Match", "If-Match"])
def test_a_state_store_that_ignores_conditions_is_refused_before_anything_is_written(shop: Project, faults: Faults, header: str) -> None:
    faults(service="s3", operation="^PUT", times=10_000, unheard=header)
    refused = shop.penstock("run", ".")
    assert (refused.code, f"a store that ignores {header}, is not supported" in refused.err) == (2, True), refused.err
    faults()
    assert cut(shop) == 0
    assert shop.penstock("run", ".").code == 0


@pytest.mark.parametrize("shop", ["iceberg", "delta"], indirect=True)
def test_a_warehouse_that_ignores_conditions_is_refused_for_tables_that_it_must_order(shop: Project, faults: Faults) -> None:
    """A state store of its own keeps its word; Iceberg's commits are ordered by Glue, Delta's by the bucket."""
    text = shop.text("pipeline.yaml")
    shop.write("pipeline.yaml", text.replace("state: raw/state/\n", ""))
    faults(service="s3", operation="^PUT", times=10_000, unheard="If-None-Match")
    done = shop.penstock("run", ".")
    if "format: delta" in text:
        assert (done.code, "/lake/, a store that ignores If-None-Match" in done.err) == (2, True), done.err
        assert cut(shop) == 0
    else:
        assert done.code == 0, done.err


def test_a_lease_whose_answer_was_lost_is_known_by_reading_it(shop: Project, faults: Faults) -> None:
    faults(service="s3", operation=r"^PUT .*run\.lock", status=500, code="InternalError", times=1, after=True)
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err


class Flaky:
    """A store in front of another, of which the named methods do not answer for a while."""

    def __init__(self, store: ObjectStore, method: str, times: int) -> None:
        self._store, self._method, self.left = store, method, times

    def __getattr__(self, name: str) -> object:
        if name == self._method and self.left > 0:
            self.left -= 1
            raise ConnectionFailedError("the store did not answer")
        return getattr(self._store, name)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(FilesConnection(kind="files", path=str(tmp_path)), AwsSettings(), tmp_path)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LEASE_SECONDS", 0.2)


def until_of(store: ObjectStore) -> float:
    found = store.find(lock.KEY)
    assert found is not None
    return float(json.loads(found[0])["until"])


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("method", ["replace", "find"])
def test_a_lease_goes_on_after_a_store_that_did_not_answer_for_a_while(store: ObjectStore, method: str) -> None:
    flaky = Flaky(store, "none", 0)
    with lock.exclusive(flaky, "ours"):  # type: ignore[arg-type]
        flaky._method, flaky.left = method, 3
        until(lambda: not flaky.left)
        before = until_of(store)
        until(lambda: until_of(store) > before)
    assert store.find(lock.KEY) is None


@pytest.mark.usefixtures("_quick")
def test_a_holder_whose_lease_was_taken_over_neither_renews_nor_ends_it(store: ObjectStore) -> None:
    """The other host's clock is a day ahead: by it the lease of a living holder has run out."""
    with lock.exclusive(store, "ours"):
        theirs = lock.Lease("theirs", time.time() + DAY, host="ahead").dumps()
        store.write(lock.KEY, theirs)
        keeper = [t for t in threading.enumerate() if t.name.endswith("(_renew)")]
        until(lambda: not any(t.is_alive() for t in keeper))
    found = store.find(lock.KEY)
    assert (len(keeper), found and found[0]) == (1, theirs)


def test_a_dead_holder_whose_clock_was_ahead_is_told_by_its_clock(store: ObjectStore) -> None:
    store.write(lock.KEY, lock.Lease("theirs", time.time() + DAY, host="ahead").dumps())
    with (
        pytest.raises(RunLockedError, match=r"which is not that of ahead: .* remove /.*run\.lock"),
        lock.exclusive(store, "ours"),
    ):
        pytest.fail("two runs at once")


@pytest.mark.parametrize(("skew", "over"), [(-DAY, False), (0, False), (lock.LEASE_SECONDS + 1, True), (DAY, True)])
def test_whether_a_lease_is_over_is_told_by_the_given_clock(skew: float, over: bool) -> None:
    lease = lock.Lease("theirs", 1000 + lock.LEASE_SECONDS, host="another")
    assert lock.is_over(lease, now=1000 + skew, host="mine") is over
