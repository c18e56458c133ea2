"""Up, down, status: the local AWS is a process of its own that outlives the command that started it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import LocalAwsError

HOME = "PENSTOCK_LOCAL_HOME"
_START_SECONDS, _STOP_SECONDS = 90, 120


@dataclass(frozen=True)
class LocalAws:
    """A local AWS that is up. `said` is what it had to say when it started: that its state is lost, for one."""

    home: Path
    endpoint_url: str
    redshift_port: int
    pid: int
    generation: str
    said: str = ""

    def environment(self) -> dict[str, str]:
        """The environment in which every client of AWS speaks to this one, and Penstock keeps its state with it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true", "PENSTOCK_LOCAL_STATE": str(self.home / "state"),
            "PENSTOCK_LOCAL_REDSHIFT_PORT": str(self.redshift_port),
        }  # fmt: skip

    @property
    def redshift_dsn(self) -> str:
        """Where clients of PostgreSQL's protocol find the warehouse; any user and password will do."""
        return f"host=127.0.0.1 port={self.redshift_port} user=awsuser password=local dbname=dev"


def default_home() -> Path:
    """$PENSTOCK_LOCAL_HOME, else the `.penstock/local` of the present folder or the nearest one above that has it: a stack for each project."""
    if named := os.environ.get(HOME):
        return Path(named).expanduser().absolute()
    here = Path.cwd()
    return next((f for p in (here, *here.parents) if (f := p / ".penstock" / "local").is_dir()), here / ".penstock" / "local")


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One `up` or `down` of a home at a time."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "lock").open("w")
    except OSError as error:
        raise LocalAwsError(f"{home} cannot be written: {error}", f"set {HOME} to a folder of yours") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def reset(home: Path | None = None) -> Path:
    """Stop it, and forget all of its state; returns the folder that was emptied."""
    folder = (home or default_home()).absolute()
    down(folder)
    with _alone(folder):
        for kept in ("saved", "state", "redshift", "postgres", "clean.json"):
            path = folder / kept
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return folder


def fault(found: LocalAws, asked: Mapping[str, Any] | None) -> int:
    """Ask for a fault besides those that were asked for, or for none any more; returns how many are left to come."""
    url = f"{found.endpoint_url}/_penstock/faults{'?add' if asked else ''}"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps([asked] if asked else []).encode(), method="POST"), timeout=5) as answer:
        return len(json.loads(answer.read()))


def status(home: Path | None = None) -> LocalAws | None:
    """The local AWS of a home, or None when it is down. A stale file, or another process under its number, does not deceive."""
    folder = home or default_home()
    try:
        found = json.loads((folder / "server.json").read_text())
        with urllib.request.urlopen(f"{found['endpoint_url']}/_penstock/status", timeout=5) as answer:
            said = json.loads(answer.read())
    except (OSError, ValueError):
        return None
    if said.get("generation") != found["generation"] or not said.get("postgres"):
        return None
    return LocalAws(folder, found["endpoint_url"], found["redshift_port"], found["pid"], found["generation"])


def up(home: Path | None = None, port: int = 0, redshift_port: int = 0) -> LocalAws:
    """Start it, detached, unless it is up. Raises LocalAwsError with one line and what to do."""
    folder = (home or default_home()).absolute()
    with _alone(folder):
        if found := status(folder):
            return found
        (folder / "server.json").unlink(missing_ok=True)
        log = folder / "server.log"
        with log.open("wb") as out, (folder / "server.err").open("wb") as errors:
            command = [sys.executable, "-m", "penstock.infra.local", str(folder), str(port), str(redshift_port)]
            process = subprocess.Popen(command, stdout=out, stderr=errors, stdin=subprocess.DEVNULL, start_new_session=True, cwd=folder, env=_own_environment())
        return _ready(folder, process, log)


def _own_environment() -> dict[str, str]:
    """The server speaks to itself: what points other clients elsewhere is not for it."""
    return {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and k != "PENSTOCK_KILL_AT"}


def _ready(folder: Path, process: subprocess.Popen[bytes], log: Path) -> LocalAws:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise _refused(log)
        if (folder / "server.json").exists() and (found := status(folder)):
            process.returncode = 0  # it is meant to outlive us: nobody waits for it
            return LocalAws(found.home, found.endpoint_url, found.redshift_port, found.pid, found.generation, log.read_text().strip())
        time.sleep(0.05)
    process.kill()
    raise LocalAwsError(f"the local AWS was not ready after {_START_SECONDS} s", f"see {log}")


def _refused(log: Path) -> LocalAwsError:
    lines = (log.with_suffix(".err").read_text(errors="replace") + log.read_text(errors="replace")).strip().splitlines() or ["it said nothing"]
    try:
        found = json.loads(lines[-1])
        return LocalAwsError(found["error"], found["hint"])
    except (ValueError, KeyError, TypeError):
        return LocalAwsError(f"the local AWS ended while it started: {lines[-1]}", f"see {log}")


def down(home: Path | None = None) -> bool:
    """Stop it, its state written; False when it was not up."""
    folder = (home or default_home()).absolute()
    with _alone(folder):
        found = status(folder)
        if found is None:
            return False
        os.kill(found.pid, signal.SIGTERM)
        until = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < until:
            if not (folder / "server.json").exists():
                return True
            time.sleep(0.05)
    raise LocalAwsError(f"process {found.pid} did not end in {_STOP_SECONDS} s", f"see {folder / 'server.log'}")
