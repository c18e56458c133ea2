"""Names of data files. They are for people: what partition a file belongs to stands in the table's metadata; in tables of Hive's alone folders tell it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from urllib.parse import unquote

# Clients disagree on when a path is percent-encoded; names made of these characters are the same for all.
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+|^\.+")
_LOCAL = re.compile(r"^file:(///|/(?!/))")
_OWN = re.compile(r".*-[0-9a-f]{12}(/data_\d+)?\.parquet")  # DuckDB names the parts of one that it divides
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.parquet")
_S3 = re.compile(r"^s3[an]://")  # Hadoop's names of its clients of S3


def plain(uri: str) -> str:
    """One spelling of one place: a path for `file:///a` or `file:/a`, `s3://` for `s3a://` and `s3n://`; others as they are."""
    return _S3.sub("s3://", _LOCAL.sub("/", uri))


def new_file(folder: str, partition: Iterable[tuple[str, object]], tag: str) -> str:
    """A URI below `folder` that was never used before: `column=value/` for each partition field, characters of a doubtful meaning as `_`."""
    folders = "".join(f"{_safe(column)}={_safe(str(value))}/" for column, value in partition)
    return f"{folder}/{folders}{tag}-{secrets.token_hex(6)}.parquet"


def is_own(uri: str) -> bool:
    """True for the name of a file that Penstock wrote; other writers' end with a UUID, or with a number."""
    return bool(_OWN.fullmatch(uri)) and not _UUID.search(uri)


def _safe(text: str) -> str:
    return _UNSAFE.sub("_", text)[:64]


def partition_values(path: str, keys: Sequence[str]) -> tuple[str, ...] | None:
    """What Hive's folders `month=2026-01/kind=a` tell of their partition, in the keys' order; None for folders that name others."""
    named = [part.partition("=") for part in path.split("/")]
    return tuple(unquote(value) for _, _, value in named) if [n for n, _, _ in named] == list(keys) else None
