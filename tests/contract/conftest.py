"""Every format, in every catalog: one body of cases runs over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import Catalog, open_catalog

FORMATS = ("iceberg", "delta")


@pytest.fixture(params=FORMATS)
def table_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=("sqlite", "glue"))
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Catalog:
    if request.param == "sqlite":
        return open_catalog(CatalogConnection(kind="catalog", catalog="sqlite", warehouse="warehouse"), AwsSettings(), tmp_path)
    make: Callable[[str], str] = request.getfixturevalue("local_bucket")
    connection = CatalogConnection(kind="catalog", catalog="glue", warehouse=f"s3://{make('lake')}/warehouse")
    return open_catalog(connection, AwsSettings.from_environment(), tmp_path)
