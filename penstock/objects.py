"""An object store as the rules see one: a bucket's prefix or a folder. Connectors bring the implementations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ObjectInfo:
    """One object: its URI (`s3://…` or an absolute path), size in bytes, and what tells its content from another's."""

    uri: str
    size: int
    etag: str
    version_id: str | None = None


class ObjectStore(Protocol):
    """Keys are relative to the store's root, with `/` between their parts.

    Every method may raise ConnectionFailedError; reading what is not there raises SourceError.
    """

    @property
    def root(self) -> str:
        """The URI that keys are relative to, ending in `/`."""
        ...

    def check(self) -> None:
        """Raises ConnectionFailedError when the bucket, or the connection's folder, is not there."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix`, in the order of their keys."""
        ...

    def read(self, key: str, *, if_match: str | None = None) -> bytes:
        """The content; raises SourceChangedError when `if_match` is given and is no longer the object's etag."""
        ...

    def find(self, key: str) -> tuple[bytes, str] | None:
        """Content and etag, or None when there is no such object."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Put if absent. False when the key was taken, then nothing was written."""
        ...

    def replace(self, key: str, data: bytes, *, if_match: str) -> bool:
        """Put if the object still has the etag `if_match`. False when it has not."""
        ...

    def write(self, key: str, data: bytes) -> None:
        """Put, whatever was there."""
        ...

    def delete(self, key: str) -> None: ...
