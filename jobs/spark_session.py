"""The Spark of an environment that has it in a session of a service: found or asked for when a step first needs it, and left to its idle time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from penstock.config import AwsSettings, Secret
from penstock.connectors.spark_sessions import Sessions, sessions_of
from penstock.errors import ArgumentError, ConnectionFailedError, DeploymentError, JobRefusedError
from penstock.parse import Loaded
from penstock.runtimes import Artifact
from penstock.targets import SessionTarget

from .artifacts import current_version
from .record import Event, Watcher
from .remote import asked_after

_MARGIN = timedelta(minutes=5)


class Signed:
    """Implements `penstock.runtimes.sessions.Connection` for the clients of one session: its token is renewed before it ends."""

    def __init__(self, service: Sessions, session: str) -> None:
        self._service, self._session = service, session
        self._lock = threading.Lock()
        self._endpoint = service.endpoint(session)

    @property
    def address(self) -> str:
        return self._endpoint.address

    def token(self) -> Secret:
        """Raises ConnectionFailedError where none is to be had, and the last one has ended."""
        with self._lock:
            left = self._endpoint.expires - datetime.now(UTC)
            if left < _MARGIN:
                try:
                    self._endpoint = self._service.endpoint(self._session)
                except ConnectionFailedError:
                    if left <= timedelta(0):
                        raise
            return self._endpoint.token


class SessionOfService:
    """Implements `penstock.runtimes.sessions.Remote` for the threads of one run; a session that has ended meanwhile is replaced when the next client connects.

    `connect` gives the sessions; `wait` sleeps for so many seconds.
    """

    def __init__(self, target: SessionTarget, connect: Callable[[], Sessions], watch: Watcher, wait: Callable[[float], None] = time.sleep) -> None:
        self._target, self._connect, self._watch, self._wait = target, connect, watch, wait
        self._lock = threading.Lock()
        self._sessions: Sessions | None = None
        self._session = ""
        self._signed: Signed | None = None

    def __call__(self) -> Signed:
        """Raises JobRefusedError, ConnectionFailedError, and what `connect` raises, where no session is to be had."""
        with self._lock:
            service = self._sessions = self._sessions or self._connect()
            if self._signed is None or service.said(self._session).phase != "running":
                session = service.open()
                self._watch(Event("note", session, message=f"Spark is {self._target.place}"))
                self._wait_for(service, session)
                self._session, self._signed = session, Signed(service, session)
            return self._signed

    def _wait_for(self, service: Sessions, session: str) -> None:
        before, minutes = "", self._target.start_within_minutes
        for said, waited, pause in asked_after(lambda: service.said(session)):
            if said.phase == "running":
                return
            if said.has_ended:
                raise JobRefusedError(f"{session}, {self._target.place}, ended as {said}", hint="see the session's log there, and run again")
            if waited >= 60 * minutes:
                hint = "run again, which goes on waiting for it; or allow more by `start_within_minutes` of the environment's `spark`"
                raise ConnectionFailedError(f"{session}, {self._target.place}, is still {said}, {minutes} minutes after it was asked for", hint=hint)
            if said.state != before:
                self._watch(Event("note", session, message=str(said)))
            before = said.state
            self._wait(pause)


def session_of(loaded: Loaded, aws: AwsSettings, watch: Watcher) -> SessionOfService | None:
    """None where the environment names no session. Executors get the packages of the version that is deployed, which must be of this Penstock.

    They take functions of their own Python alone: that, too, is looked at before a session is asked for.
    """
    target = loaded.environment.spark
    if target is None:
        return None

    def connect() -> Sessions:
        from importlib.metadata import version

        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        if here != target.python:
            raise ArgumentError(
                f"Python {here} runs here, and {target.place}, takes functions of Python {target.python} alone",
                hint=f"run with Python {target.python}" + (", or say `python:` of the environment's `spark`" if target.kind == "emr-serverless" else ""),
            )
        deployments, manifest = current_version(loaded, target.place)
        if manifest.penstock != version("penstock"):
            raise DeploymentError(
                f"version {manifest.version}, which is current, has Penstock {manifest.penstock}, and {version('penstock')} runs here",
                hint=f"`penstock deploy {loaded.folder} --env {loaded.env}` with the one that runs here",
            )
        return sessions_of(target, Artifact.of(deployments, manifest, target), aws)

    return SessionOfService(target, connect, watch)
