"""What an environment has deployed, and where."""

from __future__ import annotations

from penstock.config import AwsSettings
from penstock.connections import FilesConnection, S3Connection
from penstock.deployment import Deployments, Manifest
from penstock.errors import ArgumentError
from penstock.locations import PathLocation, parse_location
from penstock.objects import ObjectStore
from penstock.parse import Loaded


def deployments_of(loaded: Loaded) -> Deployments:
    return Deployments(artifacts_store(loaded), loaded.pipeline.pipeline, str(loaded.env))


def current_version(loaded: Loaded, place: str) -> tuple[Deployments, Manifest]:
    """The version that is current, and all of them. Raises ArgumentError where nothing is deployed that `place` could have."""
    deployments = deployments_of(loaded)
    current = deployments.current()
    if current is None:
        raise ArgumentError(f"nothing is deployed that {place} could have", hint=f"`penstock deploy {loaded.folder} --env {loaded.env}`")
    return deployments, deployments.manifest(current[0].version)


def artifacts_store(loaded: Loaded) -> ObjectStore:
    """Where the environment keeps what it runs; raises ArgumentError when it names no place for that."""
    from penstock.connectors.stores import open_store, store_at

    text, settings = loaded.environment.artifacts, AwsSettings.from_environment()
    if text is None:
        what = f"environment {loaded.env!r} has no artifacts" if loaded.env else "no environment was named"
        raise ArgumentError(what, hint="give one of the file's environments `artifacts: s3://bucket/prefix/`, or connection/path/, and name it with --env")
    if text.startswith("s3://"):
        return store_at(text, settings)
    found = parse_location(text, loaded.pipeline.connections)
    connection = loaded.pipeline.connections[found.connection]
    if not isinstance(found, PathLocation) or not isinstance(connection, S3Connection | FilesConnection):
        raise ArgumentError(f"artifacts: {text!r} is not s3://bucket/prefix/, nor connection/path/ of an s3 or files connection")
    return open_store(connection, settings, loaded.folder, found.path)
