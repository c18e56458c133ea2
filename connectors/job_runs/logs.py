"""Logs that a service put on S3, some of them gzipped."""

from __future__ import annotations

import gzip

from penstock.config import AwsSettings
from penstock.connectors.stores import store_at

_GZIP = b"\x1f\x8b"
_FILES = ("stdout", "stderr")  # spark-submit puts all that a driver in Python writes into the first


def driver_log_in(folder: str, aws: AwsSettings) -> tuple[str, str]:
    """The folder, and what the driver wrote as far as it has arrived there; both empty where no folder is named."""
    if not folder:
        return "", ""
    store = store_at(folder.rstrip("/"), aws)
    found = [store.find(name) for file in _FILES for name in (f"{file}.gz", file)]
    return folder, "\n".join(_text(data) for data, _ in (f for f in found if f))


def _text(data: bytes) -> str:
    return (gzip.decompress(data) if data.startswith(_GZIP) else data).decode(errors="replace")
