"""Logs that a service put on S3, some of them gzipped, of any length."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from penstock.config import AwsSettings
from penstock.connectors.reaching import reaching
from penstock.connectors.s3.access import client

_FILES = ("stdout", "stderr")  # spark-submit puts all that a driver in Python writes into the first
_KEPT = 1 << 20  # bytes of a log's end
_MISSING = frozenset({"NoSuchKey", "404", "AccessDenied", "403"})  # whoever may not list a bucket is not told what is missing
_GZIPPED = zlib.MAX_WBITS | 16


def driver_log_in(folder: str, aws: AwsSettings) -> tuple[str, str]:
    """The folder, and the end of what the driver wrote as far as it has arrived there; both empty where no folder is named."""
    if not folder:
        return "", ""
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    s3 = client("s3", aws)
    with reaching(folder):
        found = [_end(s3, bucket, f"{prefix}{file}{kind}") for file in _FILES for kind in (".gz", "")]
    return folder, "\n".join(text for text in found if text)


def first_container(folder: str, aws: AwsSettings) -> str:
    """The folder of the first container, the driver's, of those below a YARN application's; empty where there is none yet."""
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    with reaching(folder):
        pages = client("s3", aws).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = (item["Key"].rpartition("/")[0] for page in pages for item in page.get("Contents", ()))
        return next((f"s3://{bucket}/{key}/" for key in found if key.endswith("_000001")), "")


def _end(s3: Any, bucket: str, key: str) -> str:
    from botocore.exceptions import ClientError

    try:
        parts = s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(_KEPT)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _MISSING:
            raise
        return ""
    return tail(unzipped(parts) if key.endswith(".gz") else parts, _KEPT).decode(errors="replace")


def unzipped(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Piece by piece: a log of gigabytes is small when it is zipped."""
    reader = zlib.decompressobj(_GZIPPED)
    for part in parts:
        while part:
            yield reader.decompress(part, _KEPT)
            part = reader.unconsumed_tail or reader.unused_data
            if reader.eof:
                reader = zlib.decompressobj(_GZIPPED)


def tail(parts: Iterable[bytes], most: int) -> bytes:
    """The last bytes of what comes in parts."""
    kept = b""
    for part in parts:
        kept = (kept + part)[-most:]
    return kept
