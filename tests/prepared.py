"""Processes of the command that begin with all that it imports, which takes most of a short run's time: forked from a server of one thread.

They are children of the process that asked for them, and may be killed like any other. Run as a script this is the server.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any

COMMAND = [sys.executable, "-c", "from penstock.cli import main; main()"]
IMPORTED = (
    "penstock.cli.run", "penstock.cli.maintain", "penstock.cli.batch", "penstock.jobs.run", "penstock.jobs.maintain", "penstock.connectors.sqlite.iceberg",
    "penstock.connectors.sqlite.catalog", "penstock.connectors.glue.iceberg", "penstock.connectors.glue.catalog", "penstock.connectors.iceberg.table",
    "penstock.connectors.delta.table", "penstock.connectors.s3.store", "penstock.connectors.redshift.warehouse", "penstock.engines.embedded.engine",
    "pyarrow.dataset", "pyarrow.parquet", "pyiceberg.io.pyarrow", "deltalake", "boto3", "sqlglot", "rich.table",
)  # fmt: skip
_SET_CHILD_SUBREAPER = 36
_ASKING = threading.Lock()
# libraries whose threads would be lost in a fork
_ALONE = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false", "_RJEM_MALLOC_CONF": "background_thread:false"}


class Process:
    """What `subprocess.Popen` is of a process, as far as tests need it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def wait(self, timeout: float = 300) -> int:
        until = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("penstock", timeout)
            time.sleep(0.005)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(arguments: Sequence[str], folder: Path, environment: Mapping[str, str], out: IO[Any], err: IO[Any]) -> Process | subprocess.Popen[str]:
    """`penstock ARGUMENTS` in a folder; what it writes goes to the two files."""
    if sys.platform != "linux":
        return subprocess.Popen([*COMMAND, *arguments], cwd=folder, env=dict(environment), stdout=out, stderr=err, text=True)
    asked = json.dumps({"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}).encode()
    with _ASKING:
        server, _ = _server()
        socket.send_fds(server, [asked], [out.fileno(), err.fileno()])
        answer = server.recv(64)
    assert answer, "the server of prepared processes ended; what it said stands above"
    return Process(int(answer))


@cache
def _server() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Of this process, which whoever loses a parent below it becomes a child of; it ends when this process does."""
    import ctypes

    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=os.environ | _ALONE
        )
    process.returncode = 0  # nobody waits for it
    return ours, process


def serve(asking: socket.socket) -> None:
    """Until nobody asks any more; a process that was asked for returns from here."""
    while True:
        asked, files, *_ = socket.recv_fds(asking, 1 << 20, 2)
        if not asked:
            return
        read, write = os.pipe()
        if (between := os.fork()) == 0:
            if pid := os.fork():
                os.write(write, str(pid).encode())
                os._exit(0)
            asking.close()
            _become(json.loads(asked), files)
            return
        os.waitpid(between, 0)
        asking.send(os.read(read, 64))
        for descriptor in (read, write, *files):
            os.close(descriptor)


def _become(asked: Mapping[str, Any], files: Sequence[int]) -> None:
    from penstock.cli import main

    for number, file in enumerate(files, 1):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = ["penstock", *asked["arguments"]]
    main()


if __name__ == "__main__":
    for module in IMPORTED:
        import_module(module)
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a thread would be lost in a fork"
    serve(socket.socket(fileno=int(sys.argv[1])))
