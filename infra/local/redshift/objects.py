"""Objects of S3 as files: which a COPY loads, and where an UNLOAD writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from penstock.infra.local.errors import LoadError

from .options import Copy


@dataclass(frozen=True)
class Object:
    """An object to be loaded: its URL, and its size where the manifest tells it."""

    url: str
    size: int | None = None


class Listed(NamedTuple):
    """An object that a listing names; `tag`, its ETag, is empty where another list named it."""

    url: str
    size: int
    tag: str = ""


def split_url(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


def to_load(s3: Any, copy: Copy) -> list[Object]:
    """The objects of a COPY: those of its manifest, or all that begin with its prefix. Raises LoadError as Redshift fails."""
    bucket, key = split_url(copy.source)
    if "MANIFEST" not in copy.options:
        found = listed(s3, bucket, key)
        if not found:
            raise LoadError(f"The specified S3 prefix '{key}' does not exist")
        return [Object(o.url, o.size) for o in found]
    entries = _entries(s3, copy.source, bucket, key)
    if copy.is_columnar and any("content_length" not in e.get("meta", {}) for e in entries):
        raise LoadError("File is missing content_length in the manifest: COPY from a columnar format needs meta.content_length of each entry")
    return [Object(str(e["url"]), e.get("meta", {}).get("content_length")) for e in entries if e.get("mandatory") or _size(s3, str(e["url"])) is not None]


def _entries(s3: Any, source: str, bucket: str, key: str) -> list[dict[str, Any]]:
    try:
        return list(json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())["entries"])
    except s3.exceptions.NoSuchKey:
        raise LoadError(f"Problem reading manifest file - S3ServiceException: the manifest {source} does not exist") from None
    except (ValueError, KeyError, TypeError):
        raise LoadError(f'The manifest {source} is not one: it has the form {{"entries": [{{"url": …, "mandatory": true}}]}}') from None


def listed(s3: Any, bucket: str, prefix: str) -> list[Listed]:
    """The objects below a prefix that have a content."""
    try:
        pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix))
    except s3.exceptions.NoSuchBucket:
        raise LoadError(f"S3ServiceException: The specified bucket does not exist: {bucket}") from None
    objects = (o for page in pages for o in page.get("Contents", ()) if o["Size"] and not o["Key"].endswith("/"))
    return [Listed(f"s3://{bucket}/{o['Key']}", int(o["Size"]), o["ETag"].strip('"')) for o in objects]


def _size(s3: Any, url: str) -> int | None:
    bucket, key = split_url(url)
    return next((o["Size"] for o in s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", ()) if o["Key"] == key), None)


def fetch(s3: Any, item: Object, path: Path) -> int:
    """An object into a file; returns its bytes. Raises LoadError where it is gone, or is not as long as the manifest says."""
    bucket, key = split_url(item.url)
    try:
        with path.open("wb") as out:
            for block in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(4 * 1024 * 1024):
                out.write(block)
    except (s3.exceptions.NoSuchKey, s3.exceptions.NoSuchBucket):
        raise LoadError(f"The specified key does not exist: {item.url}, which the COPY is to load, is gone") from None
    size = path.stat().st_size
    if item.size is not None and size != item.size:
        raise LoadError(f"{item.url} has {size} bytes where the manifest says {item.size}")
    return size


def put(s3: Any, url: str, path: Path) -> None:
    bucket, key = split_url(url)
    with path.open("rb") as data:
        s3.put_object(Bucket=bucket, Key=key, Body=data)


def remove(s3: Any, urls: Sequence[str]) -> None:
    for url in urls:
        bucket, key = split_url(url)
        s3.delete_object(Bucket=bucket, Key=key)
