"""A job run asked for and followed: what is written before and after, how long it may wait, how long its service may be silent, what its log ends with."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from penstock.config import AwsSettings
from penstock.connections import FilesConnection
from penstock.connectors.job_runs.logs import tail, unzipped
from penstock.connectors.stores import open_store
from penstock.errors import ConnectionFailedError, JobRefusedError, RunLockedError
from penstock.jobs.remote import KEY, Submission, follow, submit
from penstock.objects import ObjectStore
from penstock.runtimes import Artifact
from penstock.runtimes.job_runs import Said

WAITS, RUNS, DONE, ENDED = Said("waiting", "PENDING"), Said("running", "RUNNING"), Said("succeeded", "SUCCESS"), Said("cancelled", "CANCELLED")


@dataclass
class Scripted:
    """A service that says one thing after another; None is no answer. Once it is told to cancel it says that it did."""

    says: Iterator[Said | None]
    cancelled: list[str] = field(default_factory=list)
    refuses: Exception | None = None
    loses: int = 0
    knows: dict[str, str] = field(default_factory=dict)

    def start(self, artifact: Artifact, pipeline: str, arguments: tuple[str, ...], run: str) -> str:
        if not isinstance(self.refuses, JobRefusedError):
            self.knows[run] = f"job of {run}"
        if self.refuses:
            raise self.refuses
        return self.knows[run]

    def find(self, pipeline: str, run: str) -> str | None:
        if isinstance(self.refuses, JobRefusedError):
            raise self.refuses
        return self.knows.get(run)

    def said(self, job_run: str) -> Said:
        if isinstance(self.refuses, JobRefusedError):
            raise self.refuses
        found = ENDED if self.cancelled else next(self.says)
        if found is None:
            raise ConnectionFailedError("it is silent")
        return found

    def cancel(self, job_run: str) -> None:
        if self.loses:
            self.loses -= 1
            raise ConnectionFailedError("it is silent")
        self.cancelled.append(job_run)

    def driver_log(self, job_run: str, said: Said) -> tuple[str, str]:
        raise NotImplementedError


@pytest.fixture
def state(tmp_path: Path) -> ObjectStore:
    return open_store(FilesConnection(kind="files", path=str(tmp_path)), AwsSettings(), tmp_path)


def followed(state: ObjectStore, says: list[Said | None], minutes: int = 2, loses: int = 0) -> tuple[Said, Scripted, list[str], float]:
    service, heard, waited = Scripted(iter(says), loses=loses), [], []
    runtime = {"kind": "emr", "cluster": "j-1", "start_within_minutes": minutes}
    submission = Submission("20260101T000000-000000", "shop", runtime, "v", (), "s-1")
    state.write(KEY, submission.dumps())
    said = follow(state, submission, service, watch=lambda said: heard.append(said.state), wait=waited.append)
    return said, service, heard, sum(waited)


def asked(state: ObjectStore, run: str, service: Scripted, cluster: str = "j-1", *arguments: str) -> Submission:
    """The id of a run is `A`, or the like, of which the service is told."""
    wanted = Submission(run, "shop", {"kind": "emr", "cluster": cluster, "region": "eu-central-1"}, "v", arguments)
    return submit(state, wanted, Artifact("manifest", "launch", "package", "dependencies"), lambda _: service).submission


def test_what_is_at_work_is_found_and_what_has_ended_is_not(state: ObjectStore) -> None:
    service = Scripted(iter([RUNS, RUNS, WAITS, DONE]))
    assert asked(state, "A", service).job_run == asked(state, "B", service).job_run == "job of A"
    with pytest.raises(RunLockedError, match="already being run by job of A on EMR, cluster j-1"):
        asked(state, "C", service, "j-1", "--full-refresh")
    with pytest.raises(RunLockedError, match="already being run by job of A on EMR, cluster j-1"):
        asked(state, "C", service, "j-2")
    assert asked(state, "D", service, "j-2").job_run == "job of D"


def test_what_was_refused_blocks_nobody(state: ObjectStore) -> None:
    refusing = Scripted(iter([]), refuses=JobRefusedError("no"))
    with pytest.raises(JobRefusedError, match="no"):
        asked(state, "A", refusing)
    assert asked(state, "B", Scripted(iter([]))).job_run == "job of B"


def test_an_answer_that_was_lost_is_looked_up(state: ObjectStore) -> None:
    lost = Scripted(iter([]), refuses=ConnectionFailedError("lost"))
    assert asked(state, "A", lost).job_run == "job of A"
    assert list(lost.knows) == ["A"]


def test_a_place_that_no_longer_answers_is_named_with_what_to_remove(state: ObjectStore) -> None:
    asked(state, "A", Scripted(iter([])))
    with pytest.raises(JobRefusedError, match=rf"run A was asked for on EMR, cluster j-1.*may be at work. no\n  next: .* remove {state.root}{KEY}"):
        asked(state, "B", Scripted(iter([]), refuses=JobRefusedError("no"), knows={}), "j-2")


def test_an_end_that_is_seen_late_is_not_noted_over_what_came_after(state: ObjectStore) -> None:
    first = asked(state, "A", Scripted(iter([])))
    second = asked(state, "B", Scripted(iter([DONE])))
    assert follow(state, first, Scripted(iter([DONE])), watch=lambda _: None, wait=lambda _: None) == DONE
    assert Submission.loads(state.read(KEY)) == second


def test_every_change_is_told_once_and_the_end_is_noted(state: ObjectStore) -> None:
    said, service, heard, _ = followed(state, [WAITS, WAITS, RUNS, None, RUNS, DONE])
    assert (said, service.cancelled, heard) == (DONE, [], ["PENDING", "RUNNING", "NO ANSWER", "RUNNING", "SUCCESS"])
    assert Submission.loads(state.read(KEY)).ended == "SUCCESS"


def test_what_never_starts_is_cancelled_in_time(state: ObjectStore) -> None:
    said, service, heard, waited = followed(state, [WAITS] * 100)
    late = "it did not start within 2 minutes"
    assert (said, service.cancelled, heard) == (replace(ENDED, reason=late), ["s-1"], ["PENDING", "CANCELLING", "CANCELLED"])
    assert 120 <= waited < 150


def test_a_cancellation_that_was_not_answered_is_asked_for_again(state: ObjectStore) -> None:
    said, service, heard, _ = followed(state, [WAITS] * 100, loses=2)
    assert (said.phase, service.cancelled, heard) == ("cancelled", ["s-1"], ["PENDING", *["CANCELLING", "NO ANSWER"] * 2, "CANCELLING", "CANCELLED"])
    assert said.reason == "it did not start within 2 minutes"


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
