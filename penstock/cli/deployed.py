"""A deployed version as the folder that a verb works on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.config import AwsSettings
from penstock.deployment import Manifest, fetch
from penstock.errors import DeploymentError

_BELOW_ROOT = 5  # <pipeline>/<environment>/versions/<version>/manifest.json


@contextmanager
def local_folder(uri: str) -> Iterator[Path]:
    """The pipeline of the version whose manifest has this URI, in a folder that is gone afterwards. Raises DeploymentError for bytes that are not its."""
    from penstock.connectors.stores import store_at

    root, *key = uri.rsplit("/", _BELOW_ROOT)
    store = store_at(root, AwsSettings.from_environment())
    found = store.find("/".join(key))
    if found is None:
        raise DeploymentError(f"{uri} is not there", hint="deploy the version again, or name one that is there (`penstock deploy --list`)")
    manifest = Manifest.loads(found[0], "/".join(key))
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        for name, data in fetch(store, manifest):
            file = Path(folder) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        yield Path(folder)
