"""A session of a service for one run: found or asked for, waited for, replaced when it has ended, with tokens that are valid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from penstock.config import Secret
from penstock.errors import ConnectionFailedError, JobRefusedError
from penstock.jobs.record import Event
from penstock.jobs.spark_session import SessionOfService
from penstock.runtimes.job_runs import Said
from penstock.runtimes.sessions import Endpoint
from penstock.targets import GlueSession

WAITS, READY, ENDED = Said("waiting", "STARTING"), Said("running", "IDLE"), Said("cancelled", "TERMINATED", "it was idle")
TARGET = GlueSession(kind="glue", role="arn:aws:iam::123456789012:role/penstock", start_within_minutes=1)


@dataclass
class Scripted:
    """A service whose sessions say one thing after another, and whose tokens last for so many minutes."""

    says: Iterator[Said]
    minutes: int = 60
    opened: list[str] = field(default_factory=list)
    tokens: int = 0

    def open(self, run: str) -> str:
        self.opened.append(run)
        return f"session {len(self.opened)}"

    def said(self, session: str) -> Said:
        return next(self.says)

    def endpoint(self, session: str) -> Endpoint:
        self.tokens += 1
        return Endpoint(f"https://{session[-1]}.example", Secret(f"token {self.tokens}"), datetime.now(UTC) + timedelta(minutes=self.minutes))


def session(says: Iterable[Said], minutes: int = 60) -> tuple[SessionOfService, Scripted, list[str]]:
    service, heard = Scripted(iter(says), minutes), list[str]()

    def watch(event: Event) -> None:
        heard.append(event.message or "")

    return SessionOfService(TARGET, lambda: service, "R", watch, lambda _: None), service, heard


def test_nothing_is_asked_for_before_a_client_connects_and_one_does_for_all() -> None:
    found, service, heard = session([WAITS, WAITS, READY, READY, READY])
    assert service.opened == []
    assert {found.address(), found.address(), found.address()} == {"sc://1.example:443/;use_ssl=true"}
    assert (service.opened, heard) == (["R-1"], ["Spark is an interactive session of Glue 6.0, Python 3.13", "STARTING"])


def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    lasting, _, _ = session([READY])
    lasting.address()
    assert [lasting.token().reveal() for _ in range(3)] == ["token 1"] * 3
    short, _, _ = session([READY], minutes=4)
    short.address()
    assert [short.token().reveal() for _ in range(2)] == ["token 2", "token 3"]
    assert "token" not in repr(short.token())


def test_one_that_has_ended_is_replaced() -> None:
    found, service, _ = session([READY, ENDED, READY])
    assert [found.address(), found.address()] == ["sc://1.example:443/;use_ssl=true", "sc://2.example:443/;use_ssl=true"]
    assert (service.opened, found.token().reveal()) == (["R-1", "R-2"], "token 2")


def test_one_that_does_not_come_up_is_an_error_that_says_why() -> None:
    with pytest.raises(JobRefusedError, match=r"session 1, an interactive session of Glue 6\.0, Python 3\.13, ended as FAILED: no capacity"):
        session([WAITS, Said("failed", "FAILED", "no capacity")])[0].address()
    with pytest.raises(ConnectionFailedError, match="is still STARTING, 1 minutes after it was asked for"):
        session([WAITS] * 100)[0].address()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://a.example", "sc://a.example:443/;use_ssl=true"),
        ("a.example", "sc://a.example:443/;use_ssl=true"),
        ("sc://a.example", "sc://a.example:443/;use_ssl=true"),
        ("https://a.example:8443/", "sc://a.example:8443/;use_ssl=true"),
        ("http://127.0.0.1:15002", "sc://127.0.0.1:15002"),
    ],
)
def test_an_address_is_one_that_a_client_of_spark_takes(url: str, address: str) -> None:
    assert Endpoint(url, Secret(""), datetime.now(UTC)).address == address
