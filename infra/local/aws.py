"""moto's server, patched where it lies: Glue's optimistic lock, a Data API that executes, clear words for what is not there, and faults on demand."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

StartResponse = Callable[..., Any]
Environ = dict[str, Any]


def patch_glue() -> None:
    """moto takes any `VersionId`; Glue refuses a stale one, and that is what keeps two Iceberg writers apart."""
    from moto.core.responses import EmptyResult
    from moto.glue.exceptions import GlueClientError
    from moto.glue.responses import GlueResponse

    lock = threading.Lock()

    def update_table(self: Any) -> Any:
        database, table = self.parameters.get("DatabaseName"), self.parameters.get("TableInput")
        expected = self.parameters.get("VersionId")
        with lock:
            held = self.glue_backend.get_table(database, table["Name"])._current_version
            if expected is not None and str(expected) != str(held):
                raise GlueClientError(
                    "ConcurrentModificationException", f"Update table failed due to concurrent modifications: version {expected} is not {held}"
                )
            self.glue_backend.update_table(database, table["Name"], table)
        return EmptyResult()

    GlueResponse.update_table = update_table


@dataclass
class Fault:
    """What to answer instead: `times` requests of a service whose operation matches, once so many were `spared`.

    `after`: carry the request out, then lose the answer. `unheard`: carry it out as if it had not this header. `cut`: carry it out, and break off in
    the middle of what is answered. `signed_by`: requests that are signed by such a key, alone.
    """

    service: str
    operation: str = "."
    times: int = 1
    spared: int = 0
    status: int = 503
    code: str = "SlowDown"
    after: bool = False
    unheard: str = ""
    cut: bool = False
    signed_by: str = "."


@dataclass
class Middleware:
    """In front of moto: our own addresses below `/_penstock/`, faults, and one clear answer for calls that moto does not know."""

    application: Callable[[Environ, StartResponse], Iterable[bytes]]
    status: Callable[[], dict[str, Any]]
    faults: list[Fault] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/_penstock/status":
            return _answer(start_response, "200 OK", json.dumps(self.status()))
        if path == "/_penstock/faults":
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            with self.lock:
                held = self.faults if environ.get("QUERY_STRING") == "add" else []
                self.faults[:] = [f for f in held if f.times > 0] + [Fault(**f) for f in json.loads(body or b"[]")]
                left = [f.service for f in self.faults]
            return _answer(start_response, "200 OK", json.dumps(left))
        service, operation = asked_for(environ)
        fault = self._fault(service, operation, environ.get("HTTP_AUTHORIZATION", ""))
        if fault and fault.cut:
            return _cut(self.application(environ, start_response))
        if fault and fault.unheard:
            environ.pop(f"HTTP_{fault.unheard.upper().replace('-', '_')}", None)
        elif fault:
            return self._failed(fault, service, environ, start_response)
        return self._known(service, operation, environ, start_response)

    def _fault(self, service: str, operation: str, signature: str) -> Fault | None:
        key = re.search(r"Credential=([^/]+)", signature)
        with self.lock:
            for fault in self.faults:
                asked = fault.times > 0 and fault.service == service and re.search(fault.operation, operation)
                if asked and re.search(fault.signed_by, key[1] if key else "?"):
                    if fault.spared:
                        fault.spared -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    def _failed(self, fault: Fault, service: str, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if fault.after:
            list(self.application(environ, lambda *_: None))
        else:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        return _refusal(start_response, service, f"{fault.status} Fault", fault.code, "a fault that was asked for")

    def _known(self, service: str, operation: str, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            yield from self.application(environ, start_response)
        except NotImplementedError:
            yield from _refusal(start_response, service, "400 Bad Request", "NotSupportedLocally", f"{service} {operation} is not emulated locally")


def asked_for(environ: Environ) -> tuple[str, str]:
    """Service (from the signature's scope) and operation (from the target header, else method and path) of a request."""
    scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    target = environ.get("HTTP_X_AMZ_TARGET", "").split(".")[-1]
    return (scope[1] if scope else "?"), target or f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ.get('QUERY_STRING', '')}"


def _cut(answer: Iterable[bytes]) -> Iterable[bytes]:
    """The first half, after headers that promise all of it."""
    data = b"".join(answer)
    return [data[: len(data) // 2]]


def _answer(start_response: StartResponse, status: str, body: str, kind: str = "application/json") -> Iterable[bytes]:
    data = body.encode()
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(data)))])
    return [data]


def _refusal(start_response: StartResponse, service: str, status: str, code: str, message: str) -> Iterable[bytes]:
    if service == "s3":
        return _answer(start_response, status, f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>', "application/xml")
    return _answer(start_response, status, json.dumps({"__type": code, "message": message}), "application/x-amz-json-1.1")


def serve(port: int, status: Callable[[], dict[str, Any]], first: Callable[[str], None]) -> Any:
    """moto behind the middleware on a port of the loopback, in a thread; port 0 takes a free one. `first` is called with a service of moto's before its
    first request is answered. Raises OSError when the port is taken."""
    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    patch_glue()
    application = Middleware(DomainDispatcherApplication(_raising(create_backend_app, first)), status)
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _raising(create: Callable[..., Any], first: Callable[[str], None]) -> Callable[..., Any]:
    """moto's Flask applications, whose errors reach us instead of becoming a page."""

    def created(service: str) -> Any:
        first(service)
        app = create(service)
        app.config["PROPAGATE_EXCEPTIONS"] = True
        return app

    return created
