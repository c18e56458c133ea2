"""A session of a service for one run: found or asked for, waited for, replaced when it has ended, with tokens that are valid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from penstock.config import Secret
from penstock.engines.spark.connecting import signing
from penstock.errors import ConnectionFailedError, JobRefusedError
from penstock.jobs.spark_session import SessionOfService
from penstock.runtimes.job_runs import Said
from penstock.runtimes.sessions import Endpoint
from penstock.targets import GlueSession

WAITS, READY, ENDED = Said("waiting", "STARTING"), Said("running", "IDLE"), Said("cancelled", "TERMINATED", "it was idle")
TARGET = GlueSession(kind="glue", role="arn:aws:iam::123456789012:role/penstock", start_within_minutes=1)


@dataclass
class Scripted:
    """A service whose sessions say one thing after another (None is no answer), and whose tokens last for so many minutes."""

    says: Iterator[Said | None]
    minutes: int = 60
    opened: int = 0
    tokens: int = 0
    is_silent: bool = False

    def open(self) -> str:
        self.opened += 1
        return f"session {self.opened}"

    def said(self, session: str) -> Said:
        if (found := next(self.says)) is None:
            raise ConnectionFailedError("it is silent")
        return found

    def endpoint(self, session: str) -> Endpoint:
        if self.is_silent:
            raise ConnectionFailedError("it is silent")
        self.tokens += 1
        return Endpoint(f"https://{session[-1]}.example", Secret(f"token {self.tokens}"), datetime.now(UTC) + timedelta(minutes=self.minutes))


def session(says: Iterable[Said | None], minutes: int = 60) -> tuple[SessionOfService, Scripted, list[str]]:
    service, heard = Scripted(iter(says), minutes), list[str]()
    return SessionOfService(TARGET, lambda: service, lambda event: heard.append(event.message or ""), lambda _: None), service, heard


def test_nothing_is_asked_for_before_a_client_connects_and_one_does_for_all() -> None:
    found, service, heard = session([WAITS, None, WAITS, READY, READY, READY])
    assert service.opened == 0
    assert {found().address, found().address, found().address} == {"sc://1.example:443/;use_ssl=true"}
    assert (service.opened, service.tokens) == (1, 1)
    assert heard == ["Spark is an interactive session of Glue 6.0, Python 3.13", "STARTING", "NO ANSWER: it is silent", "STARTING"]


def test_a_token_is_renewed_shortly_before_its_end_and_kept_until_then() -> None:
    lasting = session([READY])[0]()
    assert [lasting.token().reveal() for _ in range(3)] == ["token 1"] * 3
    found, service, _ = session([READY], minutes=4)
    short = found()
    assert [short.token().reveal() for _ in range(2)] == ["token 2", "token 3"]
    service.is_silent = True
    assert short.token().reveal() == "token 3", "it is valid for minutes yet"
    assert "token" not in repr(short.token())
    found, service, _ = session([READY], minutes=0)
    ended, service.is_silent = found(), True
    with pytest.raises(ConnectionFailedError, match="it is silent"):
        ended.token()


def test_what_spark_keeps_for_a_query_bears_the_token_of_each_request() -> None:
    header = signing(session([READY], minutes=4)[0]()).metadata()
    assert [list(header) for _ in range(2)] == [[("x-aws-proxy-auth", "token 2")], [("x-aws-proxy-auth", "token 3")]]


def test_one_that_has_ended_is_replaced_and_its_clients_keep_its_token() -> None:
    found, service, _ = session([READY, ENDED, READY])
    first, second = found(), found()
    assert [c.address for c in (first, second)] == ["sc://1.example:443/;use_ssl=true", "sc://2.example:443/;use_ssl=true"]
    assert (service.opened, first.token().reveal(), second.token().reveal()) == (2, "token 1", "token 2")


class OneOfThemSlow(Scripted):
    """The first session ends when that is said, the second one is slow to come up, and found again."""

    is_over = False
    asked = 0

    def open(self) -> str:
        self.opened = min(self.opened + 1, 2)
        return f"session {self.opened}"

    def said(self, session: str) -> Said:
        if session == "session 1":
            return ENDED if self.is_over else READY
        self.asked += 1
        return WAITS if self.asked < 15 else READY


def test_one_that_came_up_too_late_for_a_client_is_the_next_ones() -> None:
    service = OneOfThemSlow(iter(()))
    found = SessionOfService(TARGET, lambda: service, lambda _: None, lambda _: None)
    assert found().address == "sc://1.example:443/;use_ssl=true"
    service.is_over = True
    with pytest.raises(ConnectionFailedError, match="is still STARTING"):
        found()
    assert found().address == "sc://2.example:443/;use_ssl=true"


def test_one_that_does_not_come_up_is_an_error_that_says_why() -> None:
    with pytest.raises(JobRefusedError, match=r"session 1, an interactive session of Glue 6\.0, Python 3\.13, ended as FAILED: no capacity"):
        session([WAITS, Said("failed", "FAILED", "no capacity")])[0]()
    with pytest.raises(ConnectionFailedError, match="is still STARTING, 1 minutes after it was asked for"):
        session([WAITS] * 100)[0]()


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
