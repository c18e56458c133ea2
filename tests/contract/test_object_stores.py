"""What every object store promises, on a folder and on S3 (moto's server)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from penstock.config import AwsSettings, Secret
from penstock.connections import FilesConnection, S3Connection
from penstock.connectors.readers import data_files
from penstock.connectors.s3.access import client
from penstock.connectors.stores import open_store
from penstock.errors import ArgumentError, ConnectionFailedError, SourceChangedError, SourceError
from penstock.objects import ObjectStore

Open = Callable[[str], ObjectStore]


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsSettings]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = AwsSettings(endpoint_url=f"http://{host}:{port}", access_key_id="test", secret_access_key=Secret("test"))
    client("s3", settings).create_bucket(Bucket="landing")
    yield settings
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def open_at(request: pytest.FixtureRequest, aws: AwsSettings, tmp_path: Path) -> Open:
    if request.param == "folder":
        return lambda path: open_store(FilesConnection(kind="files", path="."), aws, tmp_path, path)
    return lambda path: open_store(S3Connection(kind="s3", bucket="landing", prefix=tmp_path.name), aws, tmp_path, path)


@pytest.fixture
def store(open_at: Open) -> ObjectStore:
    return open_at("state/")


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [found.uri.removeprefix(store.root) for found in store.list(prefix)]


def test_create_writes_once(store: ObjectStore) -> None:
    assert store.create("a/1.json", b"first")
    assert not store.create("a/1.json", b"second")
    assert store.read("a/1.json") == b"first"
    assert keys(store) == ["a/1.json"]


def test_one_of_many_creators_wins(store: ObjectStore) -> None:
    won: list[int] = []
    start = threading.Barrier(8)

    def put(i: int) -> None:
        start.wait()
        if store.create("batch.json", b"%d" % i):
            won.append(i)

    threads = [threading.Thread(target=put, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [b"%d" % i for i in won] == [store.read("batch.json")]


def test_replace_compares(store: ObjectStore) -> None:
    store.write("lease", b"one")
    found = store.find("lease")
    assert found is not None
    content, etag = found
    assert content == b"one"
    assert store.replace("lease", b"two", if_match=etag)
    assert not store.replace("lease", b"three", if_match=etag)
    assert store.read("lease") == b"two"


def test_replace_of_what_is_not_there(store: ObjectStore) -> None:
    assert not store.replace("gone", b"x", if_match="0" * 32)
    assert store.find("gone") is None


def test_find_read_and_delete_of_what_is_not_there(store: ObjectStore) -> None:
    assert store.find("nothing") is None
    with pytest.raises(SourceError, match=r"nothing is not there"):
        store.read("nothing")
    store.delete("nothing")
    store.write("a", b"1")
    store.delete("a")
    assert store.find("a") is None


def test_list_is_in_the_order_of_keys_and_by_prefix(store: ObjectStore) -> None:
    for key in ("b", "a/x", "a-b", "a/y/z", "a.txt", "c/1"):
        store.write(key, key.encode())
    assert keys(store) == ["a-b", "a.txt", "a/x", "a/y/z", "b", "c/1"]
    assert keys(store, "a/") == ["a/x", "a/y/z"]
    assert keys(store, "a") == ["a-b", "a.txt", "a/x", "a/y/z"]
    assert keys(store, "nothing/") == []
    assert {found.size for found in store.list("b")} == {1}


def test_a_listing_of_many_pages(store: ObjectStore) -> None:
    wanted = [f"{i:05}" for i in range(1005)]
    for key in wanted:
        store.write(key, b"")
    assert keys(store) == wanted


def test_a_store_below_a_store(open_at: Open) -> None:
    open_at("cdc/flights/").write("a.json", b"1")
    assert keys(open_at("")) == ["cdc/flights/a.json"]
    assert keys(open_at("cdc/flights")) == ["a.json"]
    assert open_at("cdc/flights").root.endswith("/cdc/flights/")


def test_read_of_what_changed_after_it_was_listed(store: ObjectStore) -> None:
    store.write("a.json", b"before")
    (listed,) = store.list()
    assert store.read("a.json", if_match=listed.etag) == b"before"
    store.write("a.json", b"after, and longer")
    with pytest.raises(SourceChangedError, match=r"a\.json changed after its batch was cut") as raised:
        store.read("a.json", if_match=listed.etag)
    assert "penstock batch retry" in str(raised.value)


def test_data_leaves_out_other_programs_notes(store: ObjectStore) -> None:
    for key in ("_SUCCESS", ".crc", "day=1/_tmp/a", "day=1/b.json", "_part=1/c.json", ".hidden/d", "e.json"):
        store.write(key, b"1")
    assert [f.uri.removeprefix(store.root) for f in data_files(store)] == ["_part=1/c.json", "day=1/b.json", "e.json"]


def test_an_empty_place_is_no_error(open_at: Open) -> None:
    assert data_files(open_at("nothing/yet/")) == []


def test_a_missing_bucket_or_folder_is_named(aws: AwsSettings, tmp_path: Path) -> None:
    folder = open_store(FilesConnection(kind="files", path="typo"), aws, tmp_path, "in/")
    with pytest.raises(ConnectionFailedError, match=r"typo is not there") as raised:
        data_files(folder)
    assert "path" in str(raised.value)
    bucket = open_store(S3Connection(kind="s3", bucket="no-such-bucket"), aws, tmp_path, "in/")
    with pytest.raises(ConnectionFailedError, match=r"'no-such-bucket' at http://.*NoSuchBucket") as raised:
        data_files(bucket)
    assert "create the bucket" in str(raised.value)
    for act in (lambda: bucket.find("a"), lambda: bucket.create("a", b""), lambda: bucket.write("a", b""), bucket.check):
        with pytest.raises(ConnectionFailedError, match="no-such-bucket"):
            act()


def test_an_endpoint_that_does_not_answer(tmp_path: Path) -> None:
    nobody = AwsSettings(endpoint_url="http://127.0.0.1:9", access_key_id="test", secret_access_key=Secret("secret-text"), attempts=2)
    with pytest.raises(ConnectionFailedError, match=r"'landing' at http://127\.0\.0\.1:9 could not be reached") as raised:
        open_store(S3Connection(kind="s3", bucket="landing"), nobody, tmp_path).find("a")
    assert "secret-text" not in str(raised.value)


def test_keys_stay_inside_a_folder(aws: AwsSettings, tmp_path: Path) -> None:
    store = open_store(FilesConnection(kind="files", path="."), aws, tmp_path, "in/")
    with pytest.raises(ArgumentError, match="leads out"):
        store.write("../../etc/passwd", b"")


def test_a_half_written_file_is_never_seen(aws: AwsSettings, tmp_path: Path) -> None:
    store = open_store(FilesConnection(kind="files", path="."), aws, tmp_path)
    payload = os.urandom(4_000_000)
    seen: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.extend(f.size for f in store.list())
            found = store.find("big")
            seen.append(len(found[0]) if found else len(payload))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(5):
        assert store.create("big", payload)
        store.write("big", payload)
        store.delete("big")
    done.set()
    watcher.join()
    assert set(seen) <= {len(payload)}
    assert list(tmp_path.iterdir()) == []


def test_replacers_of_a_folder_take_turns(aws: AwsSettings, tmp_path: Path) -> None:
    store = open_store(FilesConnection(kind="files", path="."), aws, tmp_path)
    store.write("counter", b"0")

    def add() -> None:
        for _ in range(20):
            done = False
            while not done:
                found = store.find("counter")
                assert found is not None
                done = store.replace("counter", b"%d" % (int(found[0]) + 1), if_match=found[1])

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read("counter") == b"80"


def test_a_folder_that_may_not_be_written(aws: AwsSettings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = open_store(FilesConnection(kind="files", path="file"), aws, tmp_path)
    with pytest.raises(ConnectionFailedError, match="file"):
        store.create("a", b"1")
