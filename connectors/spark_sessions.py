"""The sessions of EMR Serverless and Glue that take Spark Connect."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any, Protocol

from penstock.config import AwsSettings, Secret
from penstock.errors import ConnectionFailedError
from penstock.runtimes import Artifact
from penstock.runtimes.job_runs import GONE, Said
from penstock.runtimes.sessions import ALIVE_ON_EMR, Endpoint, create_session, emr_said, glue_said, start_session
from penstock.targets import EmrServerlessSession, GlueSession, SessionTarget

from .job_runs.asking import Asked
from .s3.access import client


class Sessions(Protocol):
    """Those of one target. Every method raises JobRefusedError when the service says no, ConnectionFailedError when it does not answer."""

    def open(self) -> str:
        """The id of one that is there or on its way with all that is wanted, else of one that is asked for now."""
        ...

    def said(self, session: str) -> Said: ...

    def endpoint(self, session: str) -> Endpoint: ...


def sessions_of(target: SessionTarget, artifact: Artifact, aws: AwsSettings) -> Sessions:
    there = aws.at(target.region)
    if isinstance(target, EmrServerlessSession):
        return _OfEmrServerless(target, artifact, client("emr-serverless", there))
    return _OfGlue(target, artifact, client("glue", there), client("glue", replace(there, attempts=1)))


class _OfEmrServerless:
    def __init__(self, target: EmrServerlessSession, artifact: Artifact, client: Any) -> None:
        self._target, self._artifact = target, artifact
        self._service = Asked(f"application {target.application} of EMR Serverless", client)

    def open(self) -> str:
        wanted = start_session(self._target, self._artifact, secrets.token_hex(8))
        application = self._target.application
        alive = {"applicationId": application, "states": list(ALIVE_ON_EMR)}
        found = self._service.first("list_sessions", "sessions", lambda s: s.get("name") == wanted["name"], **alive)
        return str(found["sessionId"] if found else self._service.make("start_session", **wanted)["sessionId"])

    def said(self, session: str) -> Said:
        answer = self._service.get("get_session", applicationId=self._target.application, sessionId=session)
        return emr_said(answer["session"]) if answer else GONE

    def endpoint(self, session: str) -> Endpoint:
        answer = self._service.make("get_session_endpoint", applicationId=self._target.application, sessionId=session)
        return Endpoint(answer["endpoint"], Secret(answer["authToken"]), answer["authTokenExpiresAt"])


class _OfGlue:
    def __init__(self, target: GlueSession, artifact: Artifact, client: Any, once: Any) -> None:
        self._target, self._artifact = target, artifact
        self._service, self._once = (Asked("interactive session of Glue", c) for c in (client, once))

    def open(self) -> str:
        wanted = create_session(self._target, self._artifact, nonce := secrets.token_hex(8))
        name = wanted["Id"].removesuffix(nonce)
        found = self._service.first("list_sessions", "Sessions", lambda s: s["Id"].startswith(name) and not glue_said(s).has_ended)
        return str(found["Id"]) if found else self._made(wanted)

    def _made(self, wanted: dict[str, Any]) -> str:
        """Asked once: Glue refuses an id that it has, and an answer may have been lost."""
        try:
            self._once.make("create_session", **wanted)
        except ConnectionFailedError:
            if self.said(wanted["Id"]) == GONE:
                raise
        return str(wanted["Id"])

    def said(self, session: str) -> Said:
        answer = self._service.get("get_session", Id=session)
        return glue_said(answer["Session"]) if answer else GONE

    def endpoint(self, session: str) -> Endpoint:
        answer = self._service.make("get_session_endpoint", SessionId=session)["SparkConnect"]
        return Endpoint(answer["Url"], Secret(answer["AuthToken"]), answer["AuthTokenExpirationTime"])
