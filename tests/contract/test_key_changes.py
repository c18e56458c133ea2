"""Keys that change: Debezium says a delete and an insert of one sequence, or one update; what the new row leaves out, the old row had."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from pipelines import EVENTS, SHOP, Project, event, events

TOAST = "__debezium_unavailable_value"


def shop_of(folder: Path, table_format: str, option: str = "") -> Project:
    shop = Project(folder)
    text = EVENTS.replace("FORMAT", table_format).replace("shop.orders}", f"shop.orders{option}}}")
    shop.write("pipeline.yaml", text.replace("columns: {", "columns: {gone: boolean, ") if "gone" in option else text)
    return shop


def deliver(shop: Project, number: int, *lines: str) -> dict[str, int]:
    shop.write(f"landing/orders/{number}.json", events(*lines))
    done, steps = shop.record()
    assert done.code == 0, done.err
    return {outcome: count for outcome, count in steps["orders"]["counts"].items() if count}


def moved(before: dict[str, Any], number: int, lsn: int, state: str = "moved", amount: str = "1.00") -> str:
    """One update that says another key before than after."""
    return json.dumps(json.loads(event("u", number, lsn, state, amount)) | {"before": before})


def states(shop: Project, condition: str = "TRUE") -> dict[int, str]:
    return {r["id"]: r["state"] for r in shop.rows(f"lake.shop.orders WHERE {condition}", "id, state")}


@pytest.mark.parametrize(
    ("option", "now"), [("", "TRUE"), (", stored_as_scd_type: 2", "__end_at_1 IS NULL"), (", soft_delete: gone", "NOT gone")], ids=["scd1", "scd2", "soft"]
)
def test_what_a_new_key_leaves_out_comes_from_the_old_row(tmp_path: Path, table_format: str, option: str, now: str) -> None:
    shop = shop_of(tmp_path, table_format, option)
    deliver(shop, 1, event("c", 1, 10, "long text", "1.00"), event("c", 7, 11, "other", "7.00"))
    twice = [event("d", 1, 20), event("c", 2, 20, TOAST, "2.00"), event("d", 2, 30), event("c", 3, 30, TOAST, "3.00")]
    counts = deliver(shop, 2, event("u", 1, 15, "longer text", "1.50"), *twice, event("c", 3, 30, TOAST, "3.00"), event("d", 7, 31))
    assert (counts["read"], counts["duplicate"], counts.get("quarantined", 0)) == (7, 1, 0)
    assert states(shop, now) == {3: "longer text"}
    counts = deliver(shop, 3, *twice, event("u", 3, 40, TOAST, "4.00"))
    assert (counts.get("quarantined", 0), states(shop, now)) == (0, {3: "longer text"})


def test_a_key_change_that_was_interrupted_is_done_again(tmp_path: Path, table_format: str) -> None:
    shop = shop_of(tmp_path, table_format)
    deliver(shop, 1, event("c", 1, 10, "long text", "1.00"))
    shop.write("landing/orders/2.json", events(event("d", 1, 20), event("c", 2, 20, TOAST, "2.00")))
    assert shop.process("run", ".", PENSTOCK_KILL_AT="after_memory").code == -signal.SIGKILL
    assert states(shop) == {1: "long text"}
    shop.end_lease()
    done = shop.penstock("run", ".")
    assert (done.code, states(shop)) == (0, {2: "long text"}), done.err


@pytest.mark.parametrize(("option", "first", "then"), [("", {}, {2: "said again"}), (", stored_as_scd_type: 2", {2: "long text"}, {2: "said again"})])
def test_a_key_change_cut_in_two_waits_where_the_old_row_is_gone(tmp_path: Path, table_format: str, option: str, first: Any, then: Any) -> None:
    shop = shop_of(tmp_path, table_format, option)
    now = "__end_at_1 IS NULL" if option else "TRUE"
    deliver(shop, 1, event("c", 1, 10, "long text", "1.00"))
    deliver(shop, 2, event("d", 1, 20))
    counts = deliver(shop, 3, event("c", 2, 20, TOAST, "2.00"))
    assert (counts.get("quarantined", 0), states(shop, now)) == (0 if first else 1, first)
    deliver(shop, 4, event("u", 2, 30, "said again", "2.00"))
    assert states(shop, now) == then


def test_an_update_of_a_key_is_a_delete_and_an_insert(tmp_path: Path, table_format: str) -> None:
    shop = shop_of(tmp_path, table_format)
    deliver(shop, 1, *(event("c", number, number, "new", "1.00") for number in range(1, 6)))
    whole = {"state": "new", "amount": "1.00"}
    counts = deliver(
        shop, 2,
        moved({"id": 1, **whole}, 11, 20, TOAST), moved({"id": 2, **whole}, 2, 21), moved({"id": None, "state": None}, 3, 22), moved({}, 4, 23),
        moved({"id": 5, **whole}, 15, 24, amount="much"),
    )  # fmt: skip
    assert counts == {"read": 6, "applied": 5, "quarantined": 1}, "of a line that cannot be a row the old key's delete is not taken either"
    assert states(shop) == {2: "moved", 3: "moved", 4: "moved", 5: "new", 11: "new"}


def test_a_key_that_changes_in_a_part_that_is_not_said_is_rejected(tmp_path: Path, table_format: str) -> None:
    shop = shop_of(tmp_path, table_format)
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("keys: [id]", "keys: [id, state]").replace("state: string", "state: string!"))
    deliver(shop, 1, event("c", 1, 10, "new", "1.00"))
    counts = deliver(shop, 2, moved({"id": 1, "state": None}, 2, 20, "new"), moved({"id": 1, "state": "new"}, 1, 21, "paid"))
    assert counts == {"read": 3, "applied": 2, "quarantined": 1}
    assert states(shop) == {1: "paid"}
    (reason,) = shop.rows("lake.shop.orders__quarantine", "__reason")
    assert "the event changes its key, but its before does not hold the whole key" in reason["__reason"]


def test_rows_of_a_feed_of_the_users_own_are_no_key_changes(tmp_path: Path, table_format: str) -> None:
    """Its sequence may be a time that many rows share."""
    shop = Project(tmp_path)
    feed = f"""  lake.shop.orders: {{format: {table_format}, columns: {{id: bigint!, v: bigint!, name: string, op: string}}, keys: [id]}}
steps:
  - {{id: files, read: {{from: raw/orders/, format: json, batch: {{max_files: 1}}}}}}
  - {{id: orders, merge: {{from: files, into: lake.shop.orders, sequence_by: v, apply_as_deletes: op = 'D', ignore_null_updates: true}}}}
"""
    shop.write("pipeline.yaml", SHOP + feed)
    deliver(shop, 1, '{"id": 1, "v": 1, "name": "one", "op": "I"}')
    deliver(shop, 2, '{"id": 1, "v": 2, "name": null, "op": "D"}', '{"id": 2, "v": 2, "name": null, "op": "I"}')
    assert shop.rows("lake.shop.orders", "id, name") == [{"id": 2, "name": None}]
