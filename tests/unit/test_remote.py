"""Following a job run: how long it may wait for its place, how long its service may be silent, and what a log of any length ends with."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from penstock.config import AwsSettings
from penstock.connections import FilesConnection
from penstock.connectors.job_runs.logs import unzipped, tail
from penstock.connectors.stores import open_store
from penstock.errors import ConnectionFailedError
from penstock.jobs.remote import KEY, Submission, follow
from penstock.objects import ObjectStore
from penstock.runtimes import Artifact
from penstock.runtimes.job_runs import Said

WAITS, RUNS, DONE, ENDED = Said("waiting", "PENDING"), Said("running", "RUNNING"), Said("succeeded", "SUCCESS"), Said("cancelled", "CANCELLED")


@dataclass
class Scripted:
    """A service that says one thing after another; None is no answer. Once it is told to cancel it says that it did."""

    says: Iterator[Said | None]
    cancelled: list[str] = field(default_factory=list)

    def start(self, artifact: Artifact, pipeline: str, arguments: tuple[str, ...], run: str) -> str:
        raise NotImplementedError

    def find(self, pipeline: str, run: str) -> str | None:
        raise NotImplementedError

    def said(self, job_run: str) -> Said:
        found = ENDED if self.cancelled else next(self.says)
        if found is None:
            raise ConnectionFailedError("it is silent")
        return found

    def cancel(self, job_run: str) -> None:
        self.cancelled.append(job_run)

    def driver_log(self, job_run: str, said: Said) -> tuple[str, str]:
        raise NotImplementedError


@pytest.fixture
def state(tmp_path: Path) -> ObjectStore:
    return open_store(FilesConnection(kind="files", path=str(tmp_path)), AwsSettings(), tmp_path)


def followed(state: ObjectStore, says: list[Said | None], minutes: int = 2) -> tuple[Said, Scripted, list[str], float]:
    service, heard, waited = Scripted(iter(says)), [], []
    runtime = {"kind": "emr", "cluster": "j-1", "start_within_minutes": minutes}
    submission = Submission("20260101T000000-000000", "shop", runtime, "v", (), "s-1")
    said = follow(state, submission, service, watch=lambda said: heard.append(said.state), wait=waited.append)
    return said, service, heard, sum(waited)


def test_every_change_is_told_once_and_the_end_is_noted(state: ObjectStore) -> None:
    said, service, heard, _ = followed(state, [WAITS, WAITS, RUNS, None, RUNS, DONE])
    assert (said, service.cancelled, heard) == (DONE, [], ["PENDING", "RUNNING", "SUCCESS"])
    assert Submission.loads(state.read(KEY)).ended == "SUCCESS"


def test_what_never_starts_is_cancelled_in_time(state: ObjectStore) -> None:
    said, service, heard, waited = followed(state, [WAITS] * 100)
    assert (said, service.cancelled, heard) == (ENDED, ["s-1"], ["PENDING", "CANCELLING", "CANCELLED"])
    assert 120 <= waited < 150


def test_a_job_that_runs_may_take_as_long_as_it_likes(state: ObjectStore) -> None:
    said, service, _, waited = followed(state, [WAITS, *[RUNS] * 100, DONE], minutes=1)
    assert (said, service.cancelled, waited > 600) == (DONE, [], True)


def test_a_service_that_stays_silent_is_given_up(state: ObjectStore) -> None:
    with pytest.raises(ConnectionFailedError, match="it is silent"):
        followed(state, [RUNS, *[None] * 100])
    assert followed(state, [RUNS, *[None] * 40, RUNS, *[None] * 40, DONE])[0] == DONE


def test_of_a_long_log_the_end_is_read(tmp_path: Path) -> None:
    lines = b"".join(b"%d: nothing\n" % i for i in range(300_000))
    zipped = io.BytesIO(gzip.compress(lines) + gzip.compress(b"ValueError: the end\n"))
    parts = iter(lambda: zipped.read(1000), b"")
    assert tail(unzipped(parts), 40) == (lines + b"ValueError: the end\n")[-40:]
