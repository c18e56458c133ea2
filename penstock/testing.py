"""A pytest plugin: a local AWS of the test run's own. Installed with Penstock, loaded by pytest itself; it imports nothing until a test asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from penstock.infra.local.control import LocalAws


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """S3, Glue, Secrets Manager and a Redshift that executes, in a process of their own; the environment points every client of AWS to them.

    Pipelines whose environment says `aws: local` run on this one. It ends, and its files go, with the test session.
    """
    from penstock.infra.local.control import HOME, down, up

    home = tmp_path_factory.mktemp("aws")
    found = up(home)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**found.environment(), HOME: str(home)}.items():
            patch.setenv(name, value)
        yield found
    down(home)


@pytest.fixture
def local_bucket(local_aws: LocalAws) -> Callable[[str], str]:
    """Makes buckets: `local_bucket("raw")` returns the name of one that no other test has."""
    import uuid

    from penstock.config import AwsSettings
    from penstock.connectors.s3.access import client

    s3 = client("s3", AwsSettings.from_environment(local_aws.environment()))

    def make(name: str) -> str:
        bucket = f"{name}-{uuid.uuid4().hex[:8]}"
        s3.create_bucket(Bucket=bucket)
        return bucket

    return make
