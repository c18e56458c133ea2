"""One run of a pipeline at a time: a lease in the state store. It orders work; what keeps data right is each commit's compare-and-swap."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from penstock.errors import ConnectionFailedError, RunLockedError
from penstock.objects import ObjectStore

KEY, SUBMITTING = "run.lock", "submit.lock"
_DONE = {KEY: "run", SUBMITTING: "submitted"}
LEASE_SECONDS = 60.0


def _processes() -> str:
    """Where process numbers count: containers that bear one host's name have numbers of their own. Empty where there is no Linux to say it."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


@dataclass(frozen=True)
class Lease:
    """Who runs: host, process and run; `until` is in seconds since 1970, a hint that only a dead holder's successor reads.

    `holder` tells one of a run's name from another of that name. `is_to_end`: somebody asks from elsewhere that the run ends.
    """

    run: str
    until: float
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    processes: str = field(default_factory=_processes)
    holder: str = field(default_factory=lambda: token_hex(8))
    is_to_end: bool = False

    @classmethod
    def loads(cls, data: bytes) -> Lease:
        return cls(**json.loads(data))

    def dumps(self) -> bytes:
        return json.dumps(asdict(self)).encode()


def _alive(pid: int) -> bool:
    """False also for a process that ended and that nobody asked after, as a container without an init leaves it."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except OSError:  # another user's process, or no Linux
        return True
    return state not in "ZX"


def is_over(lease: Lease, *, now: float, host: str) -> bool:
    """True when the holder is gone: its lease ran out, or it was a process of this host that ended."""
    return lease.until < now or (lease.host == host and lease.processes == _processes() and not _alive(lease.pid))


def _take(store: ObjectStore, mine: Lease, key: str) -> str:
    """Take the lease and return the etag of it; raises RunLockedError that says who holds it."""
    if not store.create(key, mine.dumps()):
        found = store.find(key)
        if found and is_over(Lease.loads(found[0]), now=time.time(), host=mine.host):
            store.replace(key, mine.dumps(), if_match=found[1])
    held = store.find(key)  # what stands there decides: the answer to a put that was done may have been lost
    if held is None:
        raise RunLockedError("the lock was released just now", hint="run again")
    theirs = Lease.loads(held[0])
    if theirs.holder != mine.holder:
        who = f"run {theirs.run}, process {theirs.pid} on {theirs.host}"
        raise RunLockedError(f"the pipeline is already being {_DONE[key]} by {who}", hint=_until(theirs, time.time(), f"{store.root}{key}"))
    return held[1]


def _until(lease: Lease, now: float, lock: str) -> str:
    left = round(lease.until - now)
    if left <= LEASE_SECONDS:
        return f"wait for it, or end that process; its lease ends by itself within {LEASE_SECONDS:.0f} s"
    return f"it has {left} s left by this host's clock, which is not that of {lease.host}: set them right, or if nothing runs there remove {lock}"


def _renew(store: ObjectStore, mine: Lease, etag: str, stop: threading.Event, key: str) -> None:
    """Until it is stopped, or another holds the lease; a store that does not answer is asked again."""
    while not stop.wait(LEASE_SECONDS / 4):
        with suppress(ConnectionFailedError):
            store.replace(key, replace(mine, until=time.time() + LEASE_SECONDS).dumps(), if_match=etag)
            found = store.find(key)
            if found is None or (held := Lease.loads(found[0])).holder != mine.holder:
                return
            etag = found[1]
            if held.is_to_end and not mine.is_to_end:
                mine = replace(mine, is_to_end=True)
                signal.pthread_kill(threading.main_thread().ident or threading.get_ident(), signal.SIGINT)  # which wakes it from whatever it waits for


def ask_to_end(store: ObjectStore, run: str) -> None:
    """Have a run that is at work elsewhere interrupt itself, as Ctrl-C would, when it next renews its lease; nothing where it is not at work."""
    found = store.find(KEY)
    if found and (held := Lease.loads(found[0])).run == run:
        store.replace(KEY, replace(held, is_to_end=True).dumps(), if_match=found[1])


def open_run(store: ObjectStore) -> datetime | None:
    """When the run that holds the lease began; None where none is at work."""
    found = store.find(KEY)
    if found is None or is_over(lease := Lease.loads(found[0]), now=time.time(), host=socket.gethostname()):
        return None
    return datetime.strptime(lease.run[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)


@contextmanager
def exclusive(store: ObjectStore, run: str, key: str = KEY) -> Iterator[None]:
    """Hold the pipeline's lease, to run it or to submit it; renewed in the background, released at the end. Raises RunLockedError when another holds it."""
    mine = Lease(run, time.time() + LEASE_SECONDS)
    etag = _take(store, mine, key)
    stop = threading.Event()
    keeper = threading.Thread(target=_renew, args=(store, mine, etag, stop, key), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join(timeout=10)
        found = store.find(key)
        if found and Lease.loads(found[0]).holder == mine.holder:
            store.delete(key)
