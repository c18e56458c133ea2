"""Names of data files. They are for people: what partition a file belongs to stands in the table's metadata."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable

# Clients disagree on when a path is percent-encoded; names made of these characters are the same for all.
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+|^\.+")
_LOCAL = re.compile(r"^file:(//)?(?=/)")


def plain(uri: str) -> str:
    """A local file's URI as a path, however it is spelt: `file:///a`, or `file:/a` as Hadoop has it; others as they are."""
    return _LOCAL.sub("", uri)


def new_file(folder: str, partition: Iterable[tuple[str, object]], tag: str) -> str:
    """A URI below `folder` that was never used before: `column=value/` for each partition field, characters of a doubtful meaning as `_`."""
    folders = "".join(f"{_safe(column)}={_safe(str(value))}/" for column, value in partition)
    return f"{folder}/{folders}{tag}-{secrets.token_hex(6)}.parquet"


def _safe(text: str) -> str:
    return _UNSAFE.sub("_", text)[:64]
