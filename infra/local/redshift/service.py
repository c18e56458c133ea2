"""What statements under way ask for: files of S3, tables of Glue, texts of SQL rewritten, what the system views remember."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.infra.local.errors import LoadError, NotLocalError, SqlError

from .catalog import NeedsColumns, Registry, ToldCatalog
from .copying import Copies
from .expressions import Settings
from .external import Externals
from .logs import Logs
from .rewrite import Rewriter
from .streams import Exchange
from .unloading import Unloads

INTERNAL, FEATURE = "XX000", "0A000"


@dataclass
class Session:
    """A client's session, as far as its statements' questions hang on it."""

    registry: Registry
    settings: Settings = field(default_factory=Settings)
    in_block: bool = False
    caught: tuple[str, str] | None = None
    pid: int = 0


class Service:
    """One server's answers."""

    def __init__(self, s3: Callable[[], Any], glue: Callable[[], Any], folder: Path, logs: Logs) -> None:
        self.exchange, self.logs = Exchange(folder), logs
        self.externals = Externals(s3, glue, self.exchange, logs)
        self._copies, self._unloads = Copies(s3, self.exchange, logs), Unloads(s3, self.exchange, logs)
        self._answers: dict[str, Callable[[Session, Mapping[str, Any]], dict[str, Any]]] = {
            "copy": lambda _, p: self._copies.begin(p), "copied": lambda *_: {}, "unload": self._unload, "unloading": lambda _, p: self._unloads.columns(p),
            "unloaded": lambda _, p: self._unloads.end(p), "rewrite": self._rewrite, "external": self._external, "scan": lambda _, p: self.externals.scan(p),
            "log": self._log, "caught": self._caught, "register": self._register,
        }  # fmt: skip

    def answer(self, session: Session, file: str, question: str) -> None:
        """Answer a question in its file; what goes wrong is the answer too."""
        asked = json.loads(question)
        try:
            found = self._answers[asked["kind"]](session, asked["payload"])
        except NeedsColumns as needed:
            found = {"columns_of": [needed.table]}
        except NotLocalError as error:
            found = {"error": str(error), "code": FEATURE}
        except SqlError as error:
            found = {"error": str(error), "code": error.code}
        except LoadError as error:
            found = {"error": str(error), "code": INTERNAL}
        except Exception as error:
            found = {"error": f"the local warehouse failed within: {type(error).__name__}: {error}", "code": INTERNAL}
        self.exchange.answer(file, json.dumps(found, default=str))

    def rewriter(self, session: Session, payload: Mapping[str, Any]) -> Rewriter:
        return Rewriter(ToldCatalog(payload), session.settings, self.externals)

    def forget(self, pid: int) -> None:
        """A session has ended."""
        self.exchange.forget(pid)
        self._unloads.forget(pid)

    def _rewrite(self, session: Session, payload: Mapping[str, Any]) -> dict[str, Any]:
        found = self.rewriter(session, payload).statement(str(payload["sql"]))
        if found.changes_registry:
            session.registry.changed()
        return {"sql": found.sql}

    def _unload(self, session: Session, payload: Mapping[str, Any]) -> dict[str, Any]:
        return self._unloads.begin(payload, self.rewriter(session, payload).text)

    def _external(self, session: Session, payload: Mapping[str, Any]) -> dict[str, Any]:
        session.registry.changed()
        return {"run": self.externals.changed(str(payload["sql"]), payload["schemas"])}

    def _register(self, _session: Session, payload: Mapping[str, Any]) -> dict[str, Any]:
        self.externals.register(payload, self._unloads.last_columns)
        return {}

    def _log(self, session: Session, payload: Mapping[str, Any]) -> dict[str, Any]:
        kind = str(payload["of"])
        if kind.startswith("external_"):
            return {"rows": self.externals.listed(kind, session.registry.external)}
        return {"rows": self.logs.rows(kind)}

    def _caught(self, session: Session, payload: Mapping[str, Any]) -> dict[str, Any]:
        """An error that a handler caught: raised at once within the caller's transaction, else when the call has ended, and what the handler wrote stays."""
        if session.in_block:
            return {"now": True}
        session.caught = (str(payload["code"]), str(payload["message"]))
        return {"now": False}
