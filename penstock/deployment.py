"""What runs elsewhere, and since when: files by the hash of their bytes, versions that never change, and the one version that is current.

files/<sha256>/<name>                                   every file once, whoever uses it
<pipeline>/<environment>/versions/<version>/manifest.json   what a version is made of; its name is a hash of that
<pipeline>/<environment>/current.json                   the version that runs, changed by compare-and-swap
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property

from penstock.errors import CommitConflictError, DeploymentError, choice
from penstock.objects import ObjectInfo, ObjectStore

FORMAT = 1
PIPELINE = "pipeline/"  # the files that a pipeline consists of


@dataclass(frozen=True)
class DeployedFile:
    """A file by its path in the version: `pipeline/pipeline.yaml`, `penstock-0.1.0.zip`. `size` is in bytes."""

    path: str
    sha256: str
    size: int

    @classmethod
    def of(cls, path: str, data: bytes) -> DeployedFile:
        return cls(path, hashlib.sha256(data).hexdigest(), len(data))

    @property
    def key(self) -> str:
        return f"files/{self.sha256}/{self.path.rpartition('/')[2]}"


@dataclass(frozen=True)
class Manifest:
    """What a version consists of. `deployed_at` is when it was made, ISO 8601 in UTC; it is no part of the version."""

    pipeline: str
    environment: str
    penstock: str
    files: tuple[DeployedFile, ...]
    deployed_at: str

    @cached_property
    def version(self) -> str:
        """16 hexadecimal digits that follow from the contents alone."""
        said = [FORMAT, self.penstock, *sorted((f.path, f.sha256) for f in self.files)]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    def file(self, path: str) -> DeployedFile:
        """Raises DeploymentError when the version has no such file."""
        for found in self.files:
            if found.path == path:
                return found
        raise DeploymentError(
            f"version {self.version} of {self.pipeline} has no {path}; it has {', '.join(sorted(f.path for f in self.files))}",
            hint="build what the environment's runtime needs (`make dist`), and deploy again",
        )

    def dumps(self) -> bytes:
        return json.dumps({"format": FORMAT, "version": self.version, **asdict(self)}, indent=1).encode()

    @classmethod
    def loads(cls, data: bytes, key: str) -> Manifest:
        """Raises DeploymentError for one that a later Penstock wrote, or whose contents are not those of its version."""
        said = json.loads(data)
        if said.pop("format") != FORMAT:
            raise DeploymentError(f"{key} was written by a later Penstock", hint="use that one, or a later one")
        version = said.pop("version")
        found = cls(**said | {"files": tuple(DeployedFile(**f) for f in said["files"])})
        if found.version != version or f"/{version}/" not in f"/{key}":
            raise DeploymentError(f"{key} was changed after it was written: its contents are those of {found.version}", hint="deploy again")
        return found


@dataclass(frozen=True)
class Current:
    """Which version runs, which other ran before, since when (ISO 8601 in UTC), and what tells this change from another of the same version."""

    version: str
    since: str
    former: str | None
    nonce: str


class Deployments:
    """The versions of one pipeline in one environment, below the environment's `artifacts`."""

    def __init__(self, store: ObjectStore, pipeline: str, environment: str) -> None:
        self._store, self._prefix = store, f"{pipeline}/{environment}/"

    def uri(self, key: str) -> str:
        return f"{self._store.root}{key}"

    def manifest_key(self, version: str) -> str:
        return f"{self._prefix}versions/{version}/manifest.json"

    def all(self) -> Iterator[Manifest]:
        """Every version, in the order of their names."""
        for found in self._store.list(f"{self._prefix}versions/"):
            key = found.uri.removeprefix(self._store.root)
            yield Manifest.loads(self._store.read(key), key)

    def manifest(self, version: str) -> Manifest:
        """Raises DeploymentError, with the nearest name, when there is no such version."""
        key = self.manifest_key(version)
        found = self._store.find(key)
        if found is None:
            raise DeploymentError(f"version {choice(version, [m.version for m in self.all()])}", hint="`penstock deploy --list` shows those there are")
        return Manifest.loads(found[0], key)

    def current(self) -> tuple[Current, str] | None:
        """What runs, and the etag by which it may be changed; None before the first deployment."""
        found = self._store.find(f"{self._prefix}current.json")
        return (Current(**json.loads(found[0])), found[1]) if found else None

    def upload(self, manifest: Manifest, read: Callable[[DeployedFile], bytes]) -> tuple[DeployedFile, ...]:
        """Put what is not there, the manifest last; returns the files that were put.

        Raises DeploymentError when something else lies under a file's key.
        """
        put = tuple(file for file in manifest.files if self._put(file, read(file)))
        key = self.manifest_key(manifest.version)
        if not self._store.create(key, manifest.dumps()):
            Manifest.loads(self._store.read(key), key)
        return put

    def check(self, manifest: Manifest) -> None:
        """Raises DeploymentError for a version of which a file is gone, or has another size."""
        for file in manifest.files:
            found = self._found(file)
            if found is None or found.size != file.size:
                said = f"has {found.size:,} bytes, not {file.size:,}" if found else "is gone"
                raise DeploymentError(f"{self._store.root}{file.key}, {file.path} of version {manifest.version}, {said}", hint="deploy from its sources again")

    def point(self, version: str, *, since: str, seen: tuple[Current, str] | None) -> Current:
        """Make a version current if what was `seen` still is; raises CommitConflictError when another deployment came between."""
        key = f"{self._prefix}current.json"
        before = seen[0] if seen else None
        former = None if before is None else before.former if before.version == version else before.version
        wanted = Current(version, since, former, secrets.token_hex(8))
        data = json.dumps(asdict(wanted), indent=1).encode()
        done = self._store.replace(key, data, if_match=seen[1]) if seen else self._store.create(key, data)
        now = self.current()
        if not done and (now is None or now[0].nonce != wanted.nonce):  # a put whose answer was lost may have been done
            raise CommitConflictError(
                f"another deployment came first: {now[0].version if now else 'nothing'} is current since {now[0].since if now else 'now'}; "
                f"{version} lies there, and does not run",
                hint=f"see `penstock deploy --list`; `penstock deploy --to {version}` makes it current",
            )
        return wanted

    def _found(self, file: DeployedFile) -> ObjectInfo | None:
        return next((found for found in self._store.list(file.key) if found.uri == self.uri(file.key)), None)

    def _put(self, file: DeployedFile, data: bytes) -> bool:
        if self._found(file) is None and self._store.create(file.key, data):
            return True
        found = self._found(file)
        assert found
        quick = found.etag == hashlib.md5(data, usedforsecurity=False).hexdigest()  # S3's etag of what came in one put, without KMS
        if found.size != file.size or not (quick or hashlib.sha256(self._store.read(file.key)).hexdigest() == file.sha256):
            raise DeploymentError(
                f"{self._store.root}{file.key} does not hold what its name says: {found.size:,} bytes, where {file.path} has {file.size:,}",
                hint="something else wrote there; find out what, remove the object, and deploy again",
            )
        return False


def fetch(store: ObjectStore, manifest: Manifest, under: str = PIPELINE) -> Iterator[tuple[str, bytes]]:
    """The version's files below a path, each with its path there; raises DeploymentError for bytes that are not the manifest's."""
    for file in manifest.files:
        if file.path.startswith(under):
            data = store.read(file.key)
            if DeployedFile.of(file.path, data) != file:
                raise DeploymentError(f"{store.root}{file.key} is not what version {manifest.version} has as {file.path}", hint="deploy again")
            yield file.path.removeprefix(under), data
