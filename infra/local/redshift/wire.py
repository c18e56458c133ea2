"""The wire protocol: a client speaks to PostgreSQL through here, and its SQL is rewritten on the way.

Messages pass as they are, but for those with SQL in them, the questions of statements under way, errors, and what a server says of itself.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from penstock.infra.local.errors import NotLocalError, SqlError

from .catalog import Registry, SessionCatalog
from .errors_told import told
from .expressions import Settings
from .logs import now
from .rewrite import Rewriter, Rewritten
from .service import Service, Session
from .tokens import divided

_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102
_KNOWN = (
    "user",
    "database",
    "application_name",
    "client_encoding",
    "options",
    "datestyle",
    "DateStyle",
    "TimeZone",
    "timezone",
    "extra_float_digits",
    "search_path",
)
_TOLD = {b"server_version": b"8.0.2", b"standard_conforming_strings": b"off"}
_SEEN = 512
ASKED = "RSASK"


def _read(source: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        block = source.recv(count - len(found))
        if not block:
            raise EOFError
        found += block
    return found


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def fields(body: bytes) -> dict[str, str]:
    """The fields of an error or a notice."""
    return {p[:1].decode(): p[1:].decode("utf-8", "replace") for p in body.split(b"\0") if p}


def error_body(found: dict[str, str]) -> bytes:
    return b"".join(k.encode() + v.encode() + b"\0" for k, v in found.items()) + b"\0"


class Wire:
    """The port to which clients of Redshift connect."""

    def __init__(
        self, service: Service, postgres: tuple[str, int], ensure: Callable[[str], None], registries: dict[str, Registry], foreign: Callable[[], frozenset[str]]
    ) -> None:
        self._service, self._postgres, self._ensure, self._registries, self._foreign = service, postgres, ensure, registries, foreign
        self._listener: socket.socket | None = None

    def start(self, port: int) -> int:
        """Listen on the loopback, in a thread; returns the port. Raises OSError where it is taken."""
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()
        return int(self._listener.getsockname()[1])

    def stop(self) -> None:
        if self._listener:
            self._listener.close()

    def _accept(self) -> None:
        assert self._listener
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), client:
            parameters = self._startup(client)
            if parameters is None:
                return
            database = parameters.get("database") or parameters.get("user", "dev")
            self._ensure(database)
            registry = self._registries.setdefault(database, Registry())
            with socket.create_connection(self._postgres) as server:
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                known = {**{k: v for k, v in parameters.items() if k in _KNOWN}, "user": "postgres", "database": database}
                body = b"".join(f"{k}\0{v}\0".encode() for k, v in known.items()) + b"\0"
                server.sendall(struct.pack("!II", len(body) + 8, 196608) + body)
                Connection(client, server, self._service, Session(registry, Settings(foreign=self._foreign())), database).run()

    def _startup(self, client: socket.socket) -> dict[str, str] | None:
        """The client's parameters; None where it only wanted a statement cancelled."""
        while True:
            size, code = struct.unpack("!II", _read(client, 8))
            body = _read(client, size - 8)
            if code in (_SSL, _GSS):
                client.sendall(b"N")
            elif code == _CANCEL:
                with socket.create_connection(self._postgres) as server:
                    server.sendall(struct.pack("!II", size, code) + body)
                return None
            else:
                parts = body.split(b"\0")
                return {k.decode(): v.decode() for k, v in zip(parts[0::2], parts[1::2], strict=False) if k}


class Connection:
    """One client and its backend: a thread for each direction."""

    def __init__(self, client: socket.socket, server: socket.socket, service: Service, session: Session, database: str) -> None:
        self._client, self._server, self._service, self._session, self._database = client, server, service, session, database
        self._catalog = SessionCatalog(self._query, session.registry)
        self._seen: OrderedDict[str, Rewritten] = OrderedDict()
        self._seen_version = session.registry.version
        self._diverted: queue.Queue[tuple[bytes, bytes]] | None = None
        self._idle = threading.Event()
        self._status = b"I"
        self._under_way: list[dict[str, Any]] = []
        self._after: list[str] = []
        self._tags: list[str] = []
        self._refused: dict[str, dict[str, str]] = {}

    def run(self) -> None:
        """Until one of both goes."""
        back = threading.Thread(target=self._answers, daemon=True)
        back.start()
        with contextlib.suppress(OSError, EOFError):
            while True:
                kind = _read(self._client, 1)
                (size,) = struct.unpack("!I", _read(self._client, 4))
                self._request(kind, _read(self._client, size - 4))
        for end in (self._server, self._client):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        back.join(5)
        self._service.forget(self._session.pid)

    # from the client

    def _request(self, kind: bytes, body: bytes) -> None:
        if kind == b"Q":
            sql = self._rewritten(body[:-1].decode())
            self._idle.clear()
            body = sql.encode() + b"\0"
        elif kind == b"P":
            name, _, rest = body.partition(b"\0")
            text, _, types = rest.partition(b"\0")
            body = name + b"\0" + self._rewritten(text.decode()).encode() + b"\0" + types
        elif kind == b"S":
            self._idle.clear()
        self._server.sendall(message(kind, body))

    def _rewritten(self, sql: str) -> str:
        """A client's text as PostgreSQL's; what is refused becomes a word that PostgreSQL does not parse, so that the protocol's state stays right."""
        number = self._service.logs.number()
        statements = divided(sql)
        in_block = self._status != b"I" or any(s[:5].upper() == "BEGIN" for s in statements)
        self._session.settings = replace(self._session.settings, last_query=self._last_query(), in_block=in_block)
        try:
            found = [self._one(s) for s in statements]
        except (NotLocalError, SqlError) as error:
            code = error.code if isinstance(error, SqlError) else "0A000"
            self._begun(number, sql)
            word = f"rs_refused_{number}"
            self._refused[word] = {"S": "ERROR", "V": "ERROR", "C": code, "M": str(error)}
            return word
        for part in found:
            self._after += part.after
            if part.changes_registry:
                self._session.registry.changed()
        self._tags += [part.tag for part in found]
        self._begun(number, sql)
        self._session.in_block = self._status != b"I"
        return ";".join(part.sql for part in found) or sql

    def _begun(self, number: int, sql: str) -> None:
        kind = sql.split(None, 1)[0].upper() if sql.split() else ""
        self._under_way = [{"query_id": number, "transaction_id": number, "session_id": self._session.pid, "database_name": self._database, "query_type": kind,
                            "start_time": now(), "query_text": sql[:4000]}]  # fmt: skip
        self._numbers = number

    def _last_query(self) -> int:
        return getattr(self, "_numbers", -1)

    def _one(self, sql: str) -> Rewritten:
        version = self._session.registry.version
        if version != self._seen_version:
            self._seen.clear()
            self._seen_version = version
        if found := self._seen.get(sql):
            self._seen.move_to_end(sql)
            return found
        self._settings_of(sql)
        found = Rewriter(self._catalog, self._session.settings, self._service.externals).statement(sql)
        if found.is_lasting and not found.changes_registry:
            self._seen[sql] = found
            if len(self._seen) > _SEEN:
                self._seen.popitem(last=False)
        return found

    def _settings_of(self, sql: str) -> None:
        words = sql.replace("=", " ").replace(";", " ").lower().split()
        if words[:1] in (["set"], ["reset"]) and "enable_case_sensitive_identifier" in words:
            on = words[0] == "set" and words[-1].strip("'") in ("on", "true", "1")
            self._session.settings = replace(self._session.settings, case_sensitive=on)
            self._seen.clear()

    def _query(self, sql: str) -> Sequence[Sequence[Any]]:
        """A query of our own on the client's backend, while nothing else is under way there."""
        if self._status == b"E" or not self._idle.wait(30):
            return []
        self._diverted = queue.Queue()
        self._server.sendall(message(b"Q", sql.encode() + b"\0"))
        rows = []
        while True:
            kind, body = self._diverted.get()
            if kind == b"D":
                rows.append(_row(body))
            elif kind == b"Z":
                self._diverted = None
                return rows

    # from the server

    def _answers(self) -> None:
        held = b""
        with contextlib.suppress(OSError, EOFError):
            while block := self._server.recv(262144):
                held += block
                at, out = 0, list[bytes]()
                while at + 5 <= len(held):
                    (size,) = struct.unpack_from("!I", held, at + 1)
                    end = at + 1 + size
                    if end > len(held):
                        break
                    self._pass(held[at : at + 1], held[at:end], out)
                    at = end
                held = held[at:]
                if out:
                    self._client.sendall(b"".join(out))
        for one in (self._client, self._server):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _pass(self, kind: bytes, whole: bytes, out: list[bytes]) -> None:
        """One message on its way back."""
        if self._diverted is not None and kind not in b"NSA":
            if kind == b"Z":
                self._status = whole[5:6]
            self._diverted.put((kind, whole[5:]))
        elif kind == b"N":
            self._notice(whole, out)
        elif kind == b"E":
            out.append(self._error(whole[5:]))
        elif kind == b"C":
            out.append(self._completed(whole))
        elif kind == b"Z":
            self._ready(whole, out)
        elif kind == b"S":
            name, _, _ = whole[5:].partition(b"\0")
            out.append(message(b"S", name + b"\0" + _TOLD[name] + b"\0") if name in _TOLD else whole)
        elif kind == b"K":
            (self._session.pid,) = struct.unpack_from("!I", whole, 5)
            out.append(whole)
        else:
            out.append(whole)

    def _notice(self, whole: bytes, out: list[bytes]) -> None:
        found = fields(whole[5:])
        if found.get("C") != ASKED:
            out.append(whole)
            return
        if out:
            self._client.sendall(b"".join(out))
            out.clear()
        self._service.answer(self._session, found["M"], found["D"])

    def _error(self, body: bytes) -> bytes:
        found = fields(body)
        found = next((said for word, said in self._refused.items() if f'"{word}"' in found.get("M", "")), found)
        found["C"], found["M"] = told(found.get("C", ""), found.get("M", ""))
        self._tags, self._after = [], []
        self._ended("failed", found["M"])
        return message(b"E", error_body(found))

    def _completed(self, whole: bytes) -> bytes:
        tag = self._tags.pop(0) if self._tags else ""
        if self._session.caught:
            code, text = self._session.caught
            self._session.caught, self._tags, self._after = None, [], []
            self._ended("failed", text)
            return message(b"E", error_body({"S": "ERROR", "V": "ERROR", "C": code, "M": text}))
        self._ended("success", "")
        return message(b"C", tag.encode() + b"\0") if tag else whole

    def _ended(self, status: str, error: str) -> None:
        for row in self._under_way:
            self._service.logs.add("statements", **row, end_time=now(), status=status, error_message=error)
        self._under_way = []

    def _ready(self, whole: bytes, out: list[bytes]) -> None:
        """A statement is done: what belongs to it is run before the client hears of it."""
        self._status = whole[5:6]
        if self._after and self._status == b"T":
            self._after = []
            self._server.sendall(message(b"Q", b"COMMIT\0"))
            self._tags = ["\0swallowed"]
            self._swallow(out)
            return
        self._after, self._tags = [], []
        self._refused.clear()
        out.append(whole)
        self._idle.set()

    def _swallow(self, out: list[bytes]) -> None:
        """COMMIT of our own: its end becomes the end of the client's statement."""
        while True:
            kind = _read(self._server, 1)
            (size,) = struct.unpack("!I", _read(self._server, 4))
            body = _read(self._server, size - 4)
            if kind == b"Z":
                self._status, self._tags = body[:1], []
                out.append(message(kind, body))
                self._idle.set()
                return


def _row(body: bytes) -> list[str | None]:
    """A row of texts."""
    (count,) = struct.unpack_from("!H", body)
    at, found = 2, []
    for _ in range(count):
        (size,) = struct.unpack_from("!i", body, at)
        at += 4
        found.append(None if size < 0 else body[at : at + size].decode())
        at += max(size, 0)
    return found
