"""Spark by Spark Connect, in a session that EMR Serverless or Glue keeps: requests, states, addresses.

Seen in: docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/spark-connect.html, …/boto3 emr-serverless StartSession (runtimeConfiguration alone);
docs.aws.amazon.com/glue/latest/dg/interactive-sessions-spark-connect-connecting.html (the address, and the header that takes the token).
A Connect server takes no `spark.submit.pyFiles`: Penstock goes to the executors as a second archive.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

from penstock.config import Secret
from penstock.targets import EmrServerlessSession, GlueSession

from .artifact import Artifact
from .emr_serverless import of_application
from .glue import packages
from .job_runs import Phase, Said, phase_of
from .settings import FOLDER

AUTH = "x-aws-proxy-auth"
_PACKAGE = "package"
_EMR: Mapping[Phase, tuple[str, ...]] = {
    "waiting": ("SUBMITTED", "STARTING"),
    "running": ("STARTED", "IDLE", "BUSY"),
    "failed": ("FAILED",),
    "cancelled": ("TERMINATING", "TERMINATED"),
}
ALIVE_ON_EMR = (*_EMR["waiting"], *_EMR["running"])
_GLUE: Mapping[Phase, tuple[str, ...]] = {
    "waiting": ("PROVISIONING",),
    "running": ("READY",),
    "failed": ("FAILED",),
    "cancelled": ("STOPPING", "STOPPED", "TIMEOUT"),
}


class Connection(Protocol):
    """A way to one Spark Connect server that asks for a token. `address`: `sc://…`."""

    @property
    def address(self) -> str: ...

    def token(self) -> Secret:
        """One that is valid now, asked for with every request."""
        ...


Remote = Callable[[], Connection]
"""What a client asks that connects; it raises what keeps it from a server."""


@dataclass(frozen=True)
class Endpoint:
    """What a session answers to: `url` without a port, as AWS gives it, and a token until `expires`."""

    url: str
    token: Secret
    expires: datetime

    @property
    def address(self) -> str:
        """As Spark's clients take it. Only a stand-in on this machine is without TLS."""
        found = urlsplit(self.url if "://" in self.url else f"https://{self.url}")
        if found.scheme == "http":
            return f"sc://{found.netloc}"
        return f"sc://{found.hostname}:{found.port or 443}/;use_ssl=true"


def emr_said(session: Mapping[str, Any]) -> Said:
    """Of the session that GetSession or ListSessions of EMR Serverless tells."""
    return Said(phase_of(session["state"], _EMR, "waiting"), session["state"], session.get("stateDetails") or "")


def glue_said(session: Mapping[str, Any]) -> Said:
    """Of the session that GetSession or ListSessions of Glue tells."""
    return Said(phase_of(session["Status"], _GLUE, "waiting"), session["Status"], session.get("ErrorMessage") or "")


def start_session(target: EmrServerlessSession, artifact: Artifact, nonce: str) -> dict[str, Any]:
    """The request of EMR Serverless' StartSession. A session of the same name does for every run that would ask for the same."""
    settings = of_application(target, artifact)
    del settings["spark.submit.pyFiles"]
    settings |= {
        "spark.archives": f"{artifact.dependencies}#{FOLDER},{artifact.package}#{_PACKAGE}",
        "spark.executorEnv.PYTHONPATH": f"./{FOLDER}:./{_PACKAGE}",
        **target.conf,
    }
    request = {
        "applicationId": target.application,
        "executionRoleArn": target.role,
        "idleTimeoutMinutes": target.idle_minutes,
        "configurationOverrides": {"runtimeConfiguration": [{"classification": "spark-defaults", "properties": settings}]},
    }
    return {**request, "name": _name_of(request), "clientToken": nonce}


def create_session(target: GlueSession, artifact: Artifact, nonce: str) -> dict[str, Any]:
    """The request of Glue's CreateSession. Sessions whose ids begin alike do for every run that would ask for the same; no id is given twice."""
    request = {
        "Role": target.role,
        "Command": {"Name": "glueetl", "PythonVersion": "3"},
        "GlueVersion": target.version,
        "SessionType": "SPARK_CONNECT",
        "IdleTimeout": target.idle_minutes,
        "WorkerType": target.worker_type,
        "NumberOfWorkers": target.workers,
        "DefaultArguments": packages(target.conf, artifact),
        **({"SecurityConfiguration": target.security_configuration} if target.security_configuration else {}),
    }
    return {**request, "Id": f"{_name_of(request)}-{nonce}"}


def _name_of(request: Mapping[str, Any]) -> str:
    return f"penstock-{hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]}"
