from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from warehouse import Place

from penstock.config import AwsSettings
from penstock.infra.local.control import LocalAws


@pytest.fixture
def place(local_aws: LocalAws, local_bucket: Callable[[str], str], tmp_path: Path) -> Place:
    return Place(AwsSettings.from_environment(local_aws.environment()), local_bucket("load"), tmp_path)
