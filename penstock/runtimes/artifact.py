"""A deployed version as a service is told of it: by the URIs of its files."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.deployment import Deployments, Manifest
from penstock.targets import SessionTarget, Target


@dataclass(frozen=True)
class Artifact:
    """Where a version's manifest, its entry file, Penstock itself (a zip) and what Penstock needs (the target's archive) lie."""

    manifest: str
    launch: str
    package: str
    dependencies: str

    @classmethod
    def of(cls, deployments: Deployments, manifest: Manifest, target: Target | SessionTarget) -> Artifact:
        """Raises DeploymentError when the version has no archive for the target."""
        names = ("launch.py", f"penstock-{manifest.penstock}.zip", target.archive)
        return cls(deployments.uri(deployments.manifest_key(manifest.version)), *(deployments.uri(manifest.file(name).key) for name in names))
