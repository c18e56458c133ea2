"""Named pipes between this process and PostgreSQL's, so that the one reads while the other still writes."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_OPENED_WITHIN = 60.0


@dataclass
class Exchange:
    """The folder in which both meet."""

    folder: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _made: int = 0

    def pipe(self) -> Path:
        with self._lock:
            self._made += 1
            path = self.folder / f"{self._made}.pipe"
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        path.chmod(0o666)
        return path

    def answer(self, name: str, content: str) -> None:
        """The answer to a question, whole or not there."""
        file = self.folder / Path(name).name
        fresh = file.with_suffix(".new")
        fresh.write_text(content)
        fresh.chmod(0o644)
        fresh.rename(file)

    def forget(self, pid: int) -> None:
        """The answers to a session that has ended."""
        for file in self.folder.glob(f"{pid}_*"):
            file.unlink(missing_ok=True)


def send(path: Path, write: Callable[[str], Any]) -> threading.Thread:
    """Call `write` with a name under which it can write into the pipe, as soon as somebody reads it."""

    def run() -> None:
        try:
            descriptor = _opened(path)
            if descriptor is None:
                return
            try:
                write(f"/proc/self/fd/{descriptor}")
            finally:
                os.close(descriptor)
        finally:
            path.unlink(missing_ok=True)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def _opened(path: Path) -> int | None:
    """The pipe, for writing; None where nobody reads it in time."""
    until = time.monotonic() + _OPENED_WITHIN
    while time.monotonic() < until:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno not in (errno.ENXIO, errno.ENOENT):
                raise
            time.sleep(0.0005)
        else:
            os.set_blocking(descriptor, True)
            return descriptor
    return None


@dataclass
class Received:
    """What a thread makes of a pipe's content."""

    path: Path
    read: Callable[[Any], Any]
    result: Any = None
    error: BaseException | None = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self.path.open("rb") as source:
                self.result = self.read(source)
        except BaseException as error:
            self.error = error
        finally:
            self.path.unlink(missing_ok=True)

    def wait(self) -> Any:
        assert self._thread
        self._thread.join()
        if self.error:
            raise self.error
        return self.result

    def give_up(self) -> None:
        """Let the thread end where nobody writes."""
        if self.path.exists():
            descriptor = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
            os.close(descriptor)
