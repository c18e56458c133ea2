"""What Redshift's system views remember: loads and their errors, unloads, scans of external tables, statements."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

_KINDS = ("loads", "load_files", "load_errors", "unloads", "unload_files", "scans", "statements")
_MOST = 10_000


class Logs:
    """Of one server; it survives a clean end, and no transaction takes anything out of it."""

    def __init__(self, file: Path) -> None:
        self._file, self._lock = file, threading.Lock()
        held = json.loads(file.read_text()) if file.exists() else {}
        self._rows: dict[str, deque[dict[str, Any]]] = {k: deque(held.get(k, ()), maxlen=_MOST) for k in _KINDS}
        self._numbers = count(held.get("next", 100))

    def number(self) -> int:
        """The next query's."""
        return int(next(self._numbers))

    def add(self, kind: str, **row: Any) -> dict[str, Any]:
        with self._lock:
            self._rows[kind].append(row)
        return row

    def rows(self, kind: str) -> list[Mapping[str, Any]]:
        with self._lock:
            return list(self._rows[kind])

    def save(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._file.write_text(json.dumps({k: list(v) for k, v in self._rows.items()} | {"next": self.number()}, default=str))


def now() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ")
