"""Values at the limits of transport: as they were sent, or kept aside with the reason; never cut, rounded or shifted. Fault 24 of the catalogue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pipelines import EVENTS, Project, context, event

COLUMNS = {"text": "string", "exact": '"decimal(38,10)"', "on": "date", "at": "timestamp", "local": "timestamp_ntz", "big": "bigint"}
KEPT: dict[int, dict[str, Any]] = {
    1: {"text": "x" * (64 * 1024 + 1)},
    2: {"text": "é" * (32 * 1024) + "\U0010ffff"},
    3: {"exact": "1234567890123456789012345678.0123456789"},
    4: {"exact": "-9999999999999999999999999999.9999999999"},
    5: {"on": "0001-01-01"},
    6: {"on": "9999-12-31"},
    7: {"at": "1899-12-31T23:59:59.999999Z"},
    8: {"at": "2024-03-31T02:30:00.000001+01:00"},
    9: {"local": "2024-03-31T02:30:00.000001"},
    10: {"big": 2**63 - 1},
    11: {"big": -(2**63)},
    12: {"text": ""},
    13: {"text": None},
}
LOST: dict[int, dict[str, Any]] = {
    101: {"exact": "12345678901234567890123456789.0"},
    102: {"exact": "0.00000000001"},
    103: {"on": "0000-00-00"},
    104: {"at": "0000-00-00 00:00:00"},
    105: {"big": 2**64 - 1},
    106: {"big": 1.5},
}
SHOWN = {7: {"at": "1899-12-31 23:59:59.999999+00:00"}, 8: {"at": "2024-03-31 01:30:00.000001+00:00"}, 9: {"local": "2024-03-31 02:30:00.000001"}}


def sent(number: int, values: dict[str, Any]) -> str:
    line = json.loads(event("c", number, number))
    line["after"] = {"id": number} | dict.fromkeys(COLUMNS) | values
    return json.dumps(line) + "\n"


@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
def test_values_arrive_as_they_were_sent_or_are_kept_aside(tmp_path: Path, table_format: str) -> None:
    project = Project(tmp_path)
    declared = ", ".join(f"{name}: {kind}" for name, kind in COLUMNS.items())
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format).replace('state: string, amount: "decimal(12,2)"', declared))
    project.write("landing/orders/1.json", "".join(sent(*sent_row) for sent_row in (KEPT | LOST).items()))
    done, steps = project.record()
    assert (done.code, steps["orders"]["counts"]["quarantined"]) == (0, len(LOST)), done.err
    rows = project.rows("lake.shop.orders", "id, " + ", ".join(f'"{c}"' for c in COLUMNS))
    assert rows == [{"id": n} | dict.fromkeys(COLUMNS) | values | SHOWN.get(n, {}) for n, values in KEPT.items()]
    aside = project.rows("lake.shop.orders__quarantine", "__reason, __payload")
    assert sorted(json.loads(r["__payload"])["after"]["id"] for r in aside) == list(LOST)
    native: Any = context(project).catalog("lake").table("shop", "orders").pin().native  # type: ignore[union-attr]
    found = native.scan().to_arrow() if hasattr(native, "metadata_location") else native.to_pyarrow_table()
    texts = {r["id"]: r["text"] for r in found.to_pylist()}
    assert (texts[1], texts[2], str({r["id"]: r["exact"] for r in found.to_pylist()}[3])) == (KEPT[1]["text"], KEPT[2]["text"], KEPT[3]["exact"])
