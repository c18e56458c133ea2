"""The Spark of an environment that has it in a session of a service: found or asked for when a step first needs it, and left to its idle time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from penstock.config import AwsSettings, Secret
from penstock.connectors.spark_sessions import Sessions, sessions_of
from penstock.errors import ConnectionFailedError, DeploymentError, JobRefusedError
from penstock.parse import Loaded
from penstock.runtimes import Artifact
from penstock.runtimes.sessions import Endpoint
from penstock.targets import SessionTarget

from .artifacts import current_version
from .record import Event, Watcher

_PAUSE = 2.0  # seconds
_MARGIN = timedelta(minutes=5)


class SessionOfService:
    """Implements `penstock.runtimes.sessions.Remote` for the threads of one run; a session that has ended meanwhile is replaced when the next client connects.

    `connect` gives the sessions; `wait` sleeps for so many seconds.
    """

    def __init__(self, target: SessionTarget, connect: Callable[[], Sessions], run: str, watch: Watcher, wait: Callable[[float], None] = time.sleep) -> None:
        self._target, self._connect, self._run, self._watch, self._wait = target, connect, run, watch, wait
        self._lock = threading.RLock()
        self._sessions: Sessions | None = None
        self._session, self._opened = "", 0
        self._endpoint: Endpoint | None = None

    def address(self) -> str:
        """Raises ArgumentError, JobRefusedError, ConnectionFailedError where no session is to be had."""
        with self._lock:
            if not self._session or self._service.said(self._session).phase != "running":
                self._endpoint, self._session = None, self._ready()
            return self._signed().address

    def token(self) -> Secret:
        with self._lock:
            return self._signed().token

    @property
    def _service(self) -> Sessions:
        if self._sessions is None:
            self._sessions = self._connect()
        return self._sessions

    def _ready(self) -> str:
        self._opened += 1
        session = self._service.open(f"{self._run}-{self._opened}")
        self._watch(Event("note", session, message=f"Spark is {self._target.place}"))
        before, waited = "", 0.0
        while (said := self._service.said(session)).phase != "running":
            if said.has_ended:
                raise JobRefusedError(f"{session}, {self._target.place}, ended as {said}", hint="what the service says of the session tells more")
            if waited >= 60 * self._target.start_within_minutes:
                limit = self._target.start_within_minutes
                raise ConnectionFailedError(f"{session}, {self._target.place}, is still {said}, {limit} minutes after it was asked for")
            if said.state != before:
                self._watch(Event("note", session, message=str(said)))
            before = said.state
            self._wait(_PAUSE)
            waited += _PAUSE
        return session

    def _signed(self) -> Endpoint:
        if self._endpoint is None or self._endpoint.expires - datetime.now(UTC) < _MARGIN:
            self._endpoint = self._service.endpoint(self._session)
        return self._endpoint


def session_of(loaded: Loaded, aws: AwsSettings, run: str, watch: Watcher) -> SessionOfService | None:
    """None where the environment names no session. Executors get the packages of the version that is deployed, which must be of this Penstock."""
    target = loaded.environment.spark
    if target is None:
        return None

    def connect() -> Sessions:
        from importlib.metadata import version

        deployments, manifest = current_version(loaded, target.place)
        if manifest.penstock != version("penstock"):
            raise DeploymentError(
                f"version {manifest.version}, which is current, has Penstock {manifest.penstock}, and {version('penstock')} runs here",
                hint=f"`penstock deploy {loaded.folder} --env {loaded.env}` with the one that runs here",
            )
        return sessions_of(target, Artifact.of(deployments, manifest, target), aws)

    return SessionOfService(target, connect, run, watch)
