"""Events that others published; read where they lie beside the repository, skipped where they do not."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from penstock.connectors.debezium.reader import read
from penstock.connectors.readers import ReadSpec
from penstock.schema import Column
from penstock.sources import OPERATIONS

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "debezium"
CUSTOMERS = tuple(Column.parse(name, kind) for name, kind in {"id": "int!", "first_name": "string", "last_name": "string", "email": "string"}.items())
ORDERS = tuple(
    Column.parse(name, kind)
    for name, kind in {"order_number": "int!", "order_date": "date", "purchaser": "int", "quantity": "int", "product_id": "int"}.items()
)

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden data are not at {GOLDEN}")


def documented() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (GOLDEN / "docs_payloads.jsonl").read_text().splitlines()]


def one_line(name: str) -> bytes:
    return json.dumps(json.loads((GOLDEN / name).read_text())).encode()


@pytest.mark.parametrize("connector", ["postgresql", "mysql"])
def test_every_documented_payload_is_a_row_filtered_or_rejected(connector: str) -> None:
    payloads = [p for p in documented() if p["kind"] != "change:t"]
    data = b"\n".join(json.dumps(p["value"]).encode() for p in payloads)
    rows = read("docs", data, ReadSpec("debezium", CUSTOMERS, ("id",), {"connector": connector}))
    assert rows.read == len(payloads) == rows.table.num_rows + rows.rejected.num_rows + rows.filtered
    written_by = {
        f"docs#{i}" for i, p in enumerate(payloads, 1) if ((p["value"].get("payload") or p["value"]).get("source") or {}).get("connector") == connector
    }
    assert rows.table.num_rows > 0
    assert set(rows.table["__position"].to_pylist()) <= written_by


def test_the_documented_events_of_postgresql() -> None:
    found = [p for p in documented() if p["file"].endswith("connectors/postgresql.adoc") and p["kind"].removeprefix("change:") in OPERATIONS]
    rows = read("docs", b"\n".join(json.dumps(p["value"]).encode() for p in found), ReadSpec("debezium", CUSTOMERS, ("id",)))
    anne = {"id": 1, "first_name": "Anne", "last_name": "Kretchmar", "email": "annek@noanswer.org"}
    first = rows.table.to_pylist()[0]
    assert {name: first[name] for name in anne} == anne
    assert (first["__op"], first["__sequence_1"], first["__sequence_2"]) == ("c", 24023119, 24023128)
    assert all("source" in str(reason) for reason in rows.rejected["__reason"].to_pylist())


@pytest.mark.parametrize(
    "name",
    [
        "debezium_test_resources/serde-update.json",
        "debezium_test_resources/serde-unknown-property.json",
        "debezium_test_resources/serde-with-schema.json",
        "debezium_test_resources/serde-without-schema.json",
        "memiiso/serde-with-schema.json",
        "memiiso/serde-update.json",
    ],
)
def test_debeziums_own_resources(name: str) -> None:
    rows = read("r", one_line(name), ReadSpec("debezium", CUSTOMERS, ("id",), {"connector": "mysql"}))
    assert rows.rejected.to_pylist() == []
    (row,) = rows.table.to_pylist()
    assert (row["id"], row["first_name"], row["last_name"]) == (1004, "Anne", "Kretchmar")
    assert (row["__sequence_1"], row["__sequence_2"], row["__sequence_3"]) == (3, 154, 0)


def test_a_snapshot_with_a_date_by_its_schema() -> None:
    rows = read("r", one_line("memiiso/serde-unnested-order-val-withschema.json"), ReadSpec("debezium", ORDERS, ("order_number",), {"connector": "mysql"}))
    assert rows.rejected.to_pylist() == []
    (row,) = rows.table.to_pylist()
    assert (row["order_number"], row["order_date"], row["__op"]) == (10004, date(2016, 2, 21), "r")


@pytest.mark.parametrize("name", ["memiiso/serde-with-array2.json", "memiiso/unwrap-with-schema.json", "memiiso/serde-unnested-delete-key-withschema.json"])
def test_what_is_no_change_event_is_rejected(name: str) -> None:
    rows = read("r", one_line(name), ReadSpec("debezium", CUSTOMERS, ("id",), {"connector": "mysql"}))
    assert (rows.table.num_rows, rows.rejected.num_rows) == (0, 1)
