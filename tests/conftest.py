from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import spark_server
from warehouse import LOCAL, Place

from penstock.config import AwsSettings
from penstock.infra.local.control import LocalAws

# a shell starts what it puts into the background deaf to interrupts, and so would every process be that a test interrupts
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=("iceberg", "delta"))
def table_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def spark_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if reason := spark_server.missing():
        pytest.skip(reason)
    mine = tmp_path_factory.getbasetemp()
    shared = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    with spark_server.in_process() if spark_server.IS_BEFORE_4 else spark_server.server(shared) as address:
        yield address


@pytest.fixture
def place(local_aws: LocalAws, local_bucket: Callable[[str], str], tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    """A place in the warehouse, reached by the Data API, or as a test's indirect parameter says."""
    return Place(AwsSettings.from_environment(local_aws.environment()), local_bucket("load"), tmp_path, getattr(request, "param", LOCAL))


@pytest.fixture
def faults(local_aws: LocalAws) -> Iterator[Callable[..., None]]:
    """`faults(service=…, operation=…, times=…, after=…)`: what the local AWS answers with instead; none are left when the test ends."""

    def ask(**fault: Any) -> None:
        body = json.dumps([{"status": 500, "code": "InternalError"} | fault] if fault else [])
        urllib.request.urlopen(urllib.request.Request(f"{local_aws.endpoint_url}/_penstock/faults", body.encode(), method="POST")).close()

    yield ask
    ask()


SEED = int(os.environ.get("PENSTOCK_SEED", "0"))


def pytest_report_header() -> str:
    return f"PENSTOCK_SEED={SEED}"


@pytest.fixture
def seed() -> int:
    """What the random choices of a fault test begin with; another one by PENSTOCK_SEED."""
    print(f"PENSTOCK_SEED={SEED}")
    return SEED
