"""The sessions of EMR Serverless and Glue that take Spark Connect: each a server of this machine's Spark, until it is ended; nothing is ever idle."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from . import connect_server
from .glue_jobs import settings_of
from .job_runs import put_in_place, refuse, script_of, spark_defaults
from .spark_jobs import SparkJob, SparkJobs

_SLOTS = 16
_HOUR = timedelta(hours=1)


class ConnectServers:
    """Those of one place; the name of a job is the session's."""

    def __init__(self, jobs: SparkJobs, place: str) -> None:
        self._jobs, self.place = jobs, place

    def start(self, identifier: str, name: str, settings: Iterable[str], request: Mapping[str, Any]) -> SparkJob:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        script = script_of([*settings, str(Path(connect_server.__file__))])
        grpc = {"spark.connect.grpc.binding.address": "127.0.0.1", "spark.connect.grpc.binding.port": str(port)}
        job = SparkJob(identifier, name, {**request, "port": port}, replace(script, conf={**script.conf, **grpc}, py_files=()))
        self._jobs.start(self.place, job, _SLOTS, lambda _: None)
        return job

    def all(self) -> list[SparkJob]:
        return list(reversed(self._jobs.of(self.place)))

    def find(self, identifier: str) -> SparkJob | None:
        return self._jobs.find(self.place, identifier)

    def end(self, job: SparkJob) -> None:
        self._jobs.cancel(job)


def answers(job: SparkJob) -> bool:
    with socket.socket() as caller:
        return job.phase == "running" and caller.connect_ex(("127.0.0.1", job.request["port"])) == 0


def url(job: SparkJob) -> str:
    return f"http://127.0.0.1:{job.request['port']}"


class EmrServerlessSessions:
    """The operations on sessions; `client` gives one of this server's own services."""

    def __init__(self, jobs: SparkJobs, client: Callable[[str], Any]) -> None:
        del client
        self._jobs = jobs

    def install(self) -> None:
        from moto.emrserverless.responses import EMRServerlessResponse
        from moto.emrserverless.urls import url_paths

        for path in ("", "/(?P<sessionId>[^/]+)", "/(?P<sessionId>[^/]+)/endpoint"):
            url_paths[f"{{0}}/applications/(?P<applicationId>[^/]+)/sessions{path}$"] = EMRServerlessResponse.dispatch
        put_in_place(
            EMRServerlessResponse,
            start_session=self.start, get_session=self.get, list_sessions=self.list, get_session_endpoint=self.endpoint, terminate_session=self.end,
        )  # fmt: skip

    def start(self, request: Any) -> Any:
        from moto.emrserverless.exceptions import ValidationException

        application, token = request._get_param("applicationId"), request._get_param("clientToken")
        servers = self._of(application)
        job = next((j for j in servers.all() if j.request["clientToken"] == token), None)
        if job is None:
            refuse(ValidationException, None)
            given = (request._get_param("configurationOverrides") or {}).get("runtimeConfiguration", ())
            job = servers.start(secrets.token_hex(8), request._get_param("name") or "", spark_defaults(given), {"clientToken": token})
        return _result({"applicationId": application, "sessionId": job.id, "arn": _arn(application, job)})

    def get(self, request: Any) -> Any:
        return _result({"session": _described(request._get_param("applicationId"), self._named(request))})

    def list(self, request: Any) -> Any:
        application, wanted = request._get_param("applicationId"), request._get_param("states") or []
        found = [_described(application, job) for job in self._of(application).all()]
        return _result({"sessions": [d for d in found if not wanted or d["state"] in wanted]})

    def endpoint(self, request: Any) -> Any:
        job = self._named(request)
        said = {"endpoint": url(job), "authToken": "local", "authTokenExpiresAt": datetime.now(UTC) + _HOUR}
        return _result({"applicationId": request._get_param("applicationId"), "sessionId": job.id, **said})

    def end(self, request: Any) -> Any:
        job = self._named(request)
        self._of(request._get_param("applicationId")).end(job)
        return _result({"applicationId": request._get_param("applicationId"), "sessionId": job.id})

    def _of(self, application: str) -> ConnectServers:
        return ConnectServers(self._jobs, f"emr-serverless {application} sessions")

    def _named(self, request: Any) -> SparkJob:
        from moto.emrserverless.exceptions import ResourceNotFoundException

        found = self._of(request._get_param("applicationId")).find(request._get_param("sessionId"))
        if found is None:
            raise ResourceNotFoundException(request._get_param("sessionId"), "Session")
        return found


class GlueSessions:
    """The operations on sessions of the type SPARK_CONNECT; there is no other here."""

    def __init__(self, jobs: SparkJobs, client: Callable[[str], Any]) -> None:
        del client
        self._servers = ConnectServers(jobs, "glue sessions")

    def install(self) -> None:
        from moto.glue.responses import GlueResponse

        put_in_place(
            GlueResponse,
            create_session=self.create, get_session=self.get, list_sessions=self.list, get_session_endpoint=self.endpoint, stop_session=self.stop,
        )  # fmt: skip

    def create(self, request: Any) -> Any:
        from moto.glue.exceptions import AlreadyExistsException, InvalidInputException

        identifier = request._get_param("Id")
        is_livy = request._get_param("SessionType") != "SPARK_CONNECT"
        refuse(lambda why: InvalidInputException("CreateSession", why), "not supported locally: a session that is not SPARK_CONNECT" if is_livy else None)
        if self._servers.find(identifier):
            raise AlreadyExistsException("Session")
        return _result({"Session": _of_glue(self._servers.start(identifier, identifier, settings_of(request._get_param("DefaultArguments") or {}), {}))})

    def get(self, request: Any) -> Any:
        return _result({"Session": _of_glue(self._named(request._get_param("Id")))})

    def list(self, request: Any) -> Any:
        del request
        found = self._servers.all()
        return _result({"Ids": [job.id for job in found], "Sessions": [_of_glue(job) for job in found]})

    def endpoint(self, request: Any) -> Any:
        job = self._named(request._get_param("SessionId"))
        return _result({"SparkConnect": {"Url": url(job), "AuthToken": "local", "AuthTokenExpirationTime": datetime.now(UTC) + _HOUR}})

    def stop(self, request: Any) -> Any:
        job = self._named(request._get_param("Id"))
        self._servers.end(job)
        return _result({"Id": job.id})

    def _named(self, identifier: str) -> SparkJob:
        from moto.glue.exceptions import EntityNotFoundException

        found = self._servers.find(identifier)
        if found is None:
            raise EntityNotFoundException(f"Session {identifier} not found")
        return found


def _result(said: Mapping[str, Any]) -> Any:
    from moto.core.responses import ActionResult

    return ActionResult(said)


def _arn(application: str, job: SparkJob) -> str:
    return f"arn:aws:emr-serverless:us-east-1:123456789012:/applications/{application}/sessions/{job.id}"


def _described(application: str, job: SparkJob) -> dict[str, Any]:
    ended = "TERMINATED" if job.is_cancelled else "FAILED"
    state = ended if job.has_ended else "TERMINATING" if job.is_cancelled else "IDLE" if answers(job) else "STARTING"
    return {
        "applicationId": application, "sessionId": job.id, "arn": _arn(application, job), "name": job.name, "state": state, "stateDetails": job.reason,
        "releaseLabel": "local", "executionRoleArn": "local", "createdBy": "local", "createdAt": job.created, "updatedAt": job.ended or job.created,
    }  # fmt: skip


def _of_glue(job: SparkJob) -> dict[str, Any]:
    ended = "STOPPED" if job.is_cancelled else "FAILED"
    state = ended if job.has_ended else "STOPPING" if job.is_cancelled else "READY" if answers(job) else "PROVISIONING"
    return {"Id": job.id, "CreatedOn": job.created, "Status": state, "SessionType": "SPARK_CONNECT", **({"ErrorMessage": job.reason} if job.reason else {})}
