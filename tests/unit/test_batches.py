"""Batches: numbered without gaps, immutable, cut once."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from penstock.batches import CHECKPOINT_EVERY, Batch, BatchLog, group
from penstock.config import AwsSettings
from penstock.connections import FilesConnection
from penstock.connectors.stores import open_store
from penstock.errors import LedgerError
from penstock.objects import ObjectInfo, ObjectStore


def file(name: str, size: int = 10, etag: str = "a") -> ObjectInfo:
    return ObjectInfo(f"s3://raw/{name}", size, etag)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(FilesConnection(kind="files", path=str(tmp_path / "state")), AwsSettings(), tmp_path)


def test_batches_are_numbered_in_the_order_in_which_they_are_cut(store: ObjectStore) -> None:
    log = BatchLog(store, "changes")
    assert log.head() == 0
    first, second = (log.cut(Batch("changes", 0, files=(file(name),))) for name in ("a", "b"))
    assert (first.number, second.number) == (1, 2)
    assert log.read(after=1) == [second]
    assert BatchLog(store, "changes").read() == [first, second]


def test_a_number_that_another_process_took_is_theirs(store: ObjectStore) -> None:
    ours = Batch("changes", 1, files=(file("ours"),))
    theirs = BatchLog(store, "changes").cut(Batch("changes", 0, files=(file("theirs"),)))

    class Late(BatchLog):
        def head(self) -> int:
            return 0

    assert Late(store, "changes").cut(ours) == theirs


def test_a_manifest_whose_put_was_answered_twice_is_still_ours(store: ObjectStore) -> None:
    batch = Batch("changes", 1, files=(file("a"),))
    BatchLog(store, "changes").cut(batch)

    class Repeated(BatchLog):
        def head(self) -> int:
            return 0

    assert Repeated(store, "changes").cut(batch).nonce == batch.nonce


def test_a_missing_number_is_refused(store: ObjectStore) -> None:
    log = BatchLog(store, "changes")
    for name in "abc":
        log.cut(Batch("changes", 0, files=(file(name),)))
    store.delete("changes/batches/00000002.json")
    with pytest.raises(LedgerError, match=r"batches \[2\] are gone"):
        log.head()


def test_a_manifest_of_a_newer_format_is_refused() -> None:
    data = Batch("changes", 1, format=99).dumps()
    with pytest.raises(LedgerError, match="upgrade Penstock"):
        Batch.loads(data)


def test_seen_survives_checkpoints(store: ObjectStore) -> None:
    log = BatchLog(store, "changes")
    expected = {}
    for i in range(CHECKPOINT_EVERY + 3):
        log.cut(Batch("changes", 0, files=(file(f"f{i}", etag=str(i)),)))
        expected[f"s3://raw/f{i}"] = str(i)
    assert log.seen() == expected
    assert log.read(after=CHECKPOINT_EVERY - 1)[0].seen == {k: v for k, v in expected.items() if int(v) < CHECKPOINT_EVERY}


def test_a_renamed_step_goes_on_with_the_batches_of_its_former_name(store: ObjectStore) -> None:
    BatchLog(store, "old").cut(Batch("old", 0, files=(file("a"),)))
    log = BatchLog(store, "new", formerly="old")
    assert log.cut(Batch("new", 0, files=(file("b"),))).number == 2
    assert set(log.seen()) == {"s3://raw/a", "s3://raw/b"}


def test_a_revision_stands_for_the_batch(store: ObjectStore) -> None:
    log = BatchLog(store, "changes")
    first = log.cut(Batch("changes", 0, files=(file("a"),)))
    log.cut(Batch("changes", 0, files=(file("b"),)))
    again = log.revise(Batch("changes", 1, files=(file("a", etag="changed"),)))
    assert [b.files[0].etag for b in log.read()] == ["changed", "a"]
    assert again.nonce != first.nonce


def test_forget_leaves_nothing(store: ObjectStore) -> None:
    log = BatchLog(store, "changes")
    for name in "ab":
        log.cut(Batch("changes", 0, files=(file(name),)))
    log.forget()
    assert (log.head(), log.seen()) == (0, {})


@pytest.mark.parametrize("seed", range(20))
def test_groups_keep_order_and_bounds(seed: int) -> None:
    r = random.Random(seed)
    files = [file(f"{i:03}", r.choice((1, 5, 50, 200))) for i in range(r.randint(0, 60))]
    groups = list(group(files, max_files=7, max_bytes=100))
    assert [f for g in groups for f in g] == files, seed
    for found in groups:
        assert found
        assert len(found) <= 7
        assert sum(f.size for f in found) <= 100 or len(found) == 1, seed
    for a, b in itertools.pairwise(groups):
        assert len(a) == 7 or sum(f.size for f in a) + b[0].size > 100, (seed, "a batch was cut before it was full")
