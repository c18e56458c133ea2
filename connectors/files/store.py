"""A local folder as an object store."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from penstock.errors import ArgumentError, ConnectionFailedError, SourceChangedError, SourceError
from penstock.objects import ObjectInfo

_TEMPORARY = ".penstock-"


def _listed_etag(status: os.stat_result) -> str:
    """What a listing can tell of a file without reading it: when it was written (ns) and its size."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def _content_etag(data: bytes) -> str:
    return f"sha256-{hashlib.sha256(data).hexdigest()}"


class FolderStore:
    """Objects are the files below `root`; `home` is the folder of the connection, which must be there for `check` to pass.

    An etag of `list` is time of writing and size, one of `find` is the content's hash; `read` and `replace` take either.
    """

    def __init__(self, root: Path, home: Path | None = None) -> None:
        self._root, self._home = root.absolute(), home or root

    @property
    def root(self) -> str:
        return f"{self._root}/"

    def check(self) -> None:
        if not self._home.is_dir():
            raise ConnectionFailedError(f"the folder {self._home} is not there", hint="make it, or correct `path` of the files connection")

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        start = self._path(prefix.rpartition("/")[0])
        keys = [found.relative_to(self._root).as_posix() for found in start.rglob("*") if found.is_file() and not found.name.startswith(_TEMPORARY)]
        for key in sorted(k for k in keys if k.startswith(prefix)):
            with suppress(FileNotFoundError):
                status = (self._root / key).stat()
                yield ObjectInfo(str(self._root / key), status.st_size, _listed_etag(status))

    def read(self, key: str, *, if_match: str | None = None) -> bytes:
        path = self._path(key)
        with self._translated(key):
            try:
                with path.open("rb") as file:
                    before, data, after = os.fstat(file.fileno()), file.read(), os.fstat(file.fileno())
            except FileNotFoundError as error:
                raise SourceError(f"{path} is not there", hint="put it back, or `penstock batch skip` the batch that names it") from error
        if if_match is not None and (if_match not in (_listed_etag(before), _content_etag(data)) or _listed_etag(before) != _listed_etag(after)):
            raise SourceChangedError(
                f"{path} changed after its batch was cut", hint="put the former file back, or `penstock batch retry` to take it as it is now"
            )
        return data

    def find(self, key: str) -> tuple[bytes, str] | None:
        with self._translated(key):
            try:
                data = self._path(key).read_bytes()
            except FileNotFoundError:
                return None
        return data, _content_etag(data)

    def create(self, key: str, data: bytes) -> bool:
        with self._translated(key), self._written(self._path(key), data) as temporary:
            try:
                os.link(temporary, self._path(key))
            except FileExistsError:
                return False
        return True

    def replace(self, key: str, data: bytes, *, if_match: str) -> bool:
        path = self._path(key)
        if not path.is_file():
            return False
        with self._translated(key), locked(path.parent):
            found = self.find(key)
            if found is None or if_match not in (found[1], _listed_etag(path.stat())):
                return False
            self._put(path, data)
        return True

    def write(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with self._translated(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path.parent):
                self._put(path, data)

    def delete(self, key: str) -> None:
        with self._translated(key):
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        if ".." in key.split("/"):
            raise ArgumentError(f"{key!r} leads out of {self.root}")
        return self._root / key

    def _put(self, path: Path, data: bytes) -> None:
        with self._written(path, data) as temporary:
            temporary.replace(path)

    @contextmanager
    def _written(self, path: Path, data: bytes) -> Iterator[Path]:
        """A whole file beside `path`, on disk, under a name that no listing gives; gone afterwards."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except (SourceError, ConnectionFailedError):
            raise
        except OSError as error:
            raise ConnectionFailedError(
                f"{self._root / key}: {error.strerror or error}", hint="check the folder's permissions and the space left on its disk"
            ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time changes what is in a folder; others wait."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
