"""The keys of a role are renewed while a run is at work, and the former ones end. Fault 21 of the catalogue."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import open_catalog
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.schema import Column
from penstock.tables import Design

COLUMNS = (Column.parse("id", "bigint!"),)


@pytest.fixture
def give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has boto3's own chain find a key, by a command as SSO has one, that ends soon."""
    found = tmp_path / "keys.json"
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {found}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def key(name: str) -> None:
        ends = datetime.now(UTC) + timedelta(minutes=5)
        said = {"Version": 1, "AccessKeyId": name, "SecretAccessKey": "s", "SessionToken": f"t{name}", "Expiration": ends.isoformat()}
        found.write_text(json.dumps(said))

    return key


@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
def test_what_was_loaded_with_former_keys_goes_on_with_those_of_now(
    table_format: str, tmp_path: Path, local_bucket: Callable[[str], str], give: Callable[[str], None], faults: Callable[..., None]
) -> None:
    """Rows are written, committed and read; deleted ones in files beside, which clients of their own write and read."""
    give("FORMER")
    aws = AwsSettings.from_environment()
    catalog = open_catalog(CatalogConnection(kind="catalog", catalog="glue", warehouse=f"s3://{local_bucket('keys')}/lake"), aws, tmp_path)
    table = catalog.create("keys", table_format, table_format, COLUMNS, design=Design(position_deletes=True))
    with EmbeddedEngine(aws).session() as session:
        session.load("rows", pa.table({"id": range(1, 1001)}))
        assert table.commit(table.pin(), session.append(table, table.pin(), "rows", "run")).state == "done"
        pinned = table.pin()
        give("PRESENT")
        faults(service="s3", status=400, code="ExpiredToken", times=10_000, signed_by="FORMER")
        assert table.commit(pinned, session.amend(table, pinned, "id <= 10", {}, "run")).state == "done"
        session.scan("now", table, table.pin())
        (found,) = session.query("SELECT COUNT(*) AS rows, MIN(id) AS first FROM now").to_pylist()
    assert found == {"rows": 990, "first": 11}
