"""From a connection of the pipeline file to the object store behind it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.config import AwsSettings
from penstock.connections import FilesConnection, S3Connection
from penstock.objects import ObjectStore

if TYPE_CHECKING:
    import pyarrow.fs as fs


def store_at(uri: str, aws: AwsSettings) -> ObjectStore:
    """The store whose root is a folder by its URI: `s3://bucket/prefix`, or a path."""
    if uri.startswith("s3://"):
        from penstock.connectors.s3.store import BucketStore

        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        return BucketStore(aws, bucket, prefix)
    from penstock.connectors.files.store import FolderStore

    return FolderStore(Path(uri))


def open_store(connection: S3Connection | FilesConnection, aws: AwsSettings, folder: Path, path: str = "") -> ObjectStore:
    """The store whose root is `path` below the connection; a relative folder connection starts at `folder`, the pipeline file's.

    Nothing is contacted before the store's first method is called.
    """
    if isinstance(connection, S3Connection):
        from penstock.connectors.s3.store import BucketStore

        settings = replace(aws, region=connection.region) if connection.region else aws
        return BucketStore(settings, connection.bucket, "/".join(part.strip("/") for part in (connection.prefix, path)))
    from penstock.connectors.files.store import FolderStore

    home = folder / Path(connection.path).expanduser()
    return FolderStore(home / path.strip("/"), home)


def filesystem(uri: str, aws: AwsSettings) -> tuple[fs.FileSystem, str]:
    """pyarrow's file system for a URI, and the path on it."""
    import pyarrow.fs as fs

    if not uri.startswith("s3://"):
        return fs.LocalFileSystem(), uri
    from penstock.connectors.s3.access import credentials

    keys = credentials(aws)
    scheme, _, host = (aws.endpoint_url or "").partition("://")
    options: dict[str, Any] = {"endpoint_override": host, "scheme": scheme} if aws.endpoint_url else {}
    options |= {"access_key": keys.access_key, "secret_key": keys.secret_key, "session_token": keys.token} if keys else {}
    return fs.S3FileSystem(region=aws.region, **options), uri.removeprefix("s3://")
