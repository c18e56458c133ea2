"""One run at a time, and none locked out by a run that is gone."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from penstock.config import AwsSettings
from penstock.connections import FilesConnection
from penstock.connectors.stores import open_store
from penstock.errors import RunLockedError
from penstock.jobs.lock import KEY, Lease, exclusive
from penstock.objects import ObjectStore


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(FilesConnection(kind="files", path=str(tmp_path)), AwsSettings(), tmp_path)


def test_a_second_run_is_told_who_runs(store: ObjectStore) -> None:
    with exclusive(store, "first"), pytest.raises(RunLockedError, match=r"run first, process \d+ on"), exclusive(store, "second"):
        pytest.fail("two runs at once")
    with exclusive(store, "third"):
        pass


def test_the_lock_goes_with_its_holder_even_after_an_error(store: ObjectStore) -> None:
    with pytest.raises(KeyError), exclusive(store, "first"):
        raise KeyError
    assert store.find(KEY) is None


def test_a_killed_process_of_this_host_holds_nothing(store: ObjectStore) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    store.create(KEY, Lease("killed", time.time() + 3600, pid=int(ended.stdout)).dumps())
    with exclusive(store, "next"):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="never: elsewhere nothing tells such a process from a running one")
def test_a_process_that_ended_unasked_after_holds_nothing(store: ObjectStore) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert ended.stdout is not None
    ended.stdout.read()
    time.sleep(0.2)
    store.create(KEY, Lease("killed", time.time() + 3600, pid=ended.pid).dumps())
    with exclusive(store, "next"):
        pass
    ended.communicate()


def test_a_lease_of_another_host_is_taken_over_only_when_it_ran_out(store: ObjectStore) -> None:
    store.create(KEY, Lease("elsewhere", time.time() + 3600, host="another", pid=1).dumps())
    with pytest.raises(RunLockedError, match="on another"), exclusive(store, "next"):
        pytest.fail("taken over too early")
    store.write(KEY, Lease("elsewhere", time.time() - 1, host="another", pid=1).dumps())
    with exclusive(store, "next"):
        pass


def test_a_process_number_of_another_container_says_nothing(store: ObjectStore) -> None:
    """Containers may bear their host's name; which process has a number there cannot be told from here."""
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    store.create(KEY, Lease("beside", time.time() + 3600, pid=int(ended.stdout), processes="of another container").dumps())
    with pytest.raises(RunLockedError, match="run beside"), exclusive(store, "next"):
        pytest.fail("two runs at once")


def test_a_runs_name_is_no_key_to_its_lease(store: ObjectStore) -> None:
    with exclusive(store, "same"), pytest.raises(RunLockedError, match="run same, process"), exclusive(store, "same"):
        pytest.fail("two runs of one name at once")


ASKED = """
import signal, sys
from pathlib import Path
from penstock.jobs import lock
from penstock.connectors.files.store import FolderStore
lock.LEASE_SECONDS, store = 0.4, FolderStore(Path(sys.argv[1]))
with lock.exclusive(store, "ours"):
    lock.ask_to_end(store, "theirs")
    lock.ask_to_end(store, "ours")
    try:
        signal.pause()  # which a signal alone ends
    except KeyboardInterrupt:
        print(lock.Lease.loads(store.read(lock.KEY)).is_to_end, flush=True)
"""


def test_a_run_that_is_asked_from_elsewhere_interrupts_itself(store: ObjectStore, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ASKED, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\n"
    assert store.find(KEY) is None
