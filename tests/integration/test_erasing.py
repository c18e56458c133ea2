"""A person's rows removed from everywhere, and the search that proves it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from pipelines import EVENTS, Project, context, event, events, lake

from penstock.engines import deleting

GATED = EVENTS.replace("orders}", "orders, stored_as_scd_type: SCD}\n    gate: {suite: orders, on_failure: quarantine}")
SUITE = {"name": "orders", "expectations": [{"type": "expect_column_values_to_not_be_in_set", "kwargs": {"column": "state", "value_set": ["refused"]}}]}


def everything(project: Project) -> bytes:
    """All bytes below the project, what is packed unpacked; Parquet values of these tests lie in it as they are."""
    found = b""
    for file in sorted(project.folder.rglob("*")):
        if file.is_file():
            data = file.read_bytes()
            found += gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    return found


@pytest.mark.parametrize("scd", [1, 2])
def test_nothing_is_left_of_a_key_and_all_of_the_others(tmp_path: Path, table_format: str, scd: int) -> None:
    shop = Project(tmp_path)
    text = GATED.replace("FORMAT", table_format).replace("SCD", str(scd)).replace("keys: [id]", "keys: [id]\n    readers: [spark]")
    shop.write("pipeline.yaml", text)
    shop.write("orders.json", json.dumps(SUITE))
    shop.write("landing/orders/1.json", events(*(event("c", i, i, "new") for i in range(1, 9)), event("c", 4711, 20, "Ann")))
    shop.write("landing/orders/2.json", gzip.compress(events(event("u", 4711, 30, "paid"), event("u", 3, 31, "paid")).encode()))
    shop.write(
        "landing/orders/3.json",
        events(event("u", 4711, 40, "refused"), event("d", 4712, 41), event("u", 2, 42, "refused"), event("u", 1, 43, "paid"), '{"op": "c", "id": 4711'),
    )
    assert shop.penstock("run", ".").code == 0
    before = shop.rows("lake.shop.orders", "id, state")
    shop.write("keys.csv", "id\n4711\n4712\n")
    done = shop.penstock("erase", "lake.shop.orders", "--keys", "keys.csv", "--json")
    assert done.code == 0, (done.out, done.err)
    proof = {p["place"].rpartition(".")[2] if "/" not in p["place"] else "landing": (p["removed"], p["left"]) for p in json.loads(done.out)["places"]}
    assert {place: left for place, (_, left) in proof.items()} == dict.fromkeys(proof, 0)
    assert (proof["landing"][0], proof["orders__quarantine"][0]) == (5, 2), proof
    assert shop.rows("lake.shop.orders", "id, state") == [r for r in before if r["id"] != 4711]
    (shop.folder / "keys.csv").unlink()
    assert b"Ann" not in everything(shop), "a value of the person's row"
    assert [json.loads(r["__payload"])["id"] for r in shop.rows("lake.shop.orders__quarantine", "__payload")] == [2]
    again, steps = shop.record()
    assert (again.code, steps["orders"]["status"]) == (0, "nothing to do"), "the files that were written again are known to their batches"
    shop.write("landing/orders/4.json", events(event("u", 5, 50, "paid")))
    assert shop.penstock("run", ".").code == 0
    assert shop.penstock("run", ".", "--full-refresh").code == 0
    assert 4711 not in [r["id"] for r in shop.rows("lake.shop.orders", "id")]
    assert context(shop).lake_table("lake.shop.orders").history()  # type: ignore[union-attr]


def test_a_table_of_which_rows_are_deleted_by_position_is_rid_of_a_key(tmp_path: Path, table_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deleting, "LARGE_ROWS", 1)
    shop = Project(tmp_path)
    shop.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format).replace("keys: [id]", "keys: [id]\n    readers: [spark]"))
    for number, said in enumerate(([event("c", i, i, "new") for i in range(1, 41)], [event("u", 3, 50, "paid")], [event("u", 4, 60, "paid")]), 1):
        shop.write(f"landing/orders/{number}.json", events(*said))
        assert shop.penstock("run", ".").code == 0
    table = context(shop).lake_table("lake.shop.orders")
    assert table
    assert any(f.deleted for f in table.files(table.pin()))
    shop.write("keys.csv", "id\n5\n")
    done = shop.penstock("erase", "lake.shop.orders", "--keys", "keys.csv", "--json")
    assert done.code == 0, (done.out, done.err)
    assert {p["left"] for p in json.loads(done.out)["places"]} == {0}
    assert [r["id"] for r in shop.rows("lake.shop.orders", "id")] == [i for i in range(1, 41) if i != 5]


def test_hashes_of_a_key_go_with_it(tmp_path: Path) -> None:
    """Counts of distinct values are made of them."""
    shop = Project(tmp_path)
    shop.write("pipeline.yaml", EVENTS.replace("FORMAT", "iceberg").replace("keys: [id]", "keys: [id]\n    maintain: {analyze: [id]}"))
    shop.write("landing/orders/1.json", events(event("c", 1, 1, "new"), event("c", 4711, 2, "Ann")))
    assert [shop.penstock(*said).code for said in (("run", "."), ("maintain", "--all"))] == [0, 0]
    assert len([*shop.folder.rglob("*.stats")]) == 1
    shop.write("keys.csv", "id\n4711\n")
    assert shop.penstock("erase", "lake.shop.orders", "--keys", "keys.csv").code == 0
    assert [*shop.folder.rglob("*.stats")] == []
    assert shop.penstock("maintain", "--all").code == 0
    assert len([*shop.folder.rglob("*.stats")]) == 1


def test_a_table_that_was_dropped_is_rid_of_it_too(tmp_path: Path, table_format: str) -> None:
    shop = Project(tmp_path)
    shop.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format))
    shop.write("landing/orders/1.json", events(event("c", 1, 1, "new"), event("c", 4711, 2, "Ann"), event("c", 3, 3), "{"))
    for more in ((), ("--full-refresh",)):
        assert shop.penstock("run", ".", *more).code == 0
    shop.write("landing/orders/1.json", events(event("c", 1, 1, "new"), event("c", 3, 3)))
    shop.write("keys.csv", "id\n4711\n")
    done = shop.penstock("erase", "lake.shop.orders", "--keys", "keys.csv", "--json")
    places = json.loads(done.out)["places"]
    assert (done.code, {p["left"] for p in places}) == (0, {0}), (done.out, done.err)
    assert len([p for p in places if "/orders-" in p["place"] and p["removed"] > 1]) == 1, places
    assert b"Ann" not in everything(shop)
    assert [r["id"] for r in shop.rows("lake.shop.orders", "id")] == [1, 3]


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_the_files_of_every_format_are_rid_of_it(tmp_path: Path, table_format: str, kind: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    shop = Project(tmp_path)
    read = f"format: {kind}"
    text = EVENTS.replace("FORMAT", table_format).replace("format: debezium, decimal_handling_mode: string", read)
    shop.write("pipeline.yaml", text.replace("merge: {from: changes, into: lake.shop.orders}", "copy: {from: changes, into: lake.shop.orders}"))
    rows = [{"id": i, "state": "Ann\nLee" if i == 2 else "x,y", "amount": "1.00"} for i in range(1, 4)]
    path = shop.write(f"landing/orders/1.{kind}", "id,state,amount\n" + "".join(f'{r["id"]},"{r["state"]}",1.00\n' for r in rows))
    if kind == "json":
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    if kind == "parquet":
        from decimal import Decimal

        table = pa.Table.from_pylist([r | {"amount": Decimal("1.00")} for r in rows])
        pq.write_table(table.set_column(2, "amount", table["amount"].cast(pa.decimal128(12, 2))), path)
    assert shop.penstock("run", ".").code == 0
    shop.write("keys.json", '{"id": 2}\n')
    done = shop.penstock("erase", "lake.shop.orders", "--keys", "keys.json")
    assert done.code == 0, done.err
    assert [r["id"] for r in shop.rows("lake.shop.orders", "id")] == [1, 3]
    assert b"Ann" not in everything(shop)
    assert shop.record()[1]["orders"]["status"] == "nothing to do"
    assert shop.penstock("run", ".", "--full-refresh").code == 0
    assert [(r["id"], r["state"]) for r in shop.rows("lake.shop.orders")] == [(1, "x,y"), (3, "x,y")]


@pytest.mark.parametrize(
    ("content", "said"), [("number\n1\n", "column 'id' is declared but the header has only number"), ("id\nx\n", "keys.csv#2"), (None, "there is no file")]
)
def test_what_names_no_keys_is_refused(tmp_path: Path, content: str | None, said: str) -> None:
    shop = Project(tmp_path)
    shop.write("pipeline.yaml", EVENTS.replace("FORMAT", "iceberg"))
    shop.write("landing/orders/1.json", events(event("c", 1, 1, "new")))
    assert shop.penstock("run", ".").code == 0
    if content:
        shop.write("keys.csv", content)
    done = shop.penstock("erase", "lake.shop.orders", "--keys", "keys.csv")
    assert (done.code in (1, 2), said in done.err, "Traceback" in done.err) == (True, True, False), done.err
    assert len(shop.rows("lake.shop.orders")) == 1


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_a_key_is_found_under_the_name_that_it_had(tmp_path: Path, table_format: str, kind: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def deliver(file: int, key: str, *rows: tuple[int, str]) -> None:
        said = [{key: number, "state": state, "amount": "none" if state == "bad" else "1.00"} for number, state in rows]
        path = shop.write(f"landing/orders/{file}.{kind}", f"{key},state,amount\n" + "".join(",".join(map(str, r.values())) + "\n" for r in said))
        if kind == "json":
            path.write_text("".join(json.dumps(r) + "\n" for r in said))
        if kind == "parquet":
            table = pa.Table.from_pylist(said)
            pq.write_table(table.set_column(2, "amount", pa.array(["1.00"] * len(said)).cast(pa.decimal128(12, 2))), path)
        assert shop.record()[0].code == 0

    shop = Project(tmp_path)
    text = EVENTS.replace("FORMAT", table_format).replace("format: debezium, decimal_handling_mode: string", f"format: {kind}")
    shop.write("pipeline.yaml", text.replace("merge: {from: changes, into: lake.shop.orders}", "copy: {from: changes, into: lake.shop.orders}"))
    bad = [] if kind == "parquet" else [(4711, "bad"), (5, "bad")]
    deliver(1, "id", (4711, "Ann"), (1, "x"), *bad)
    deliver(2, "id", (4712, "y"))
    policy = "keys: [number]\n    on_schema_change: {renamed_from: {number: id}}"
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("id: bigint!", "number: bigint!").replace("keys: [id]", policy))
    deliver(3, "number", (4711, "Ann"), (2, "z"))
    with context(shop).engine.session() as session:
        session.load("asked", pa.table({"number": [4711]}))
        kept = lake(shop, "shop", "orders")
        assert session.found_below(kept, kept.pin(), "asked", ["number"]) == 2, "a file from before the renaming, and one from after it"
    shop.write("keys.csv", "number\n4711\n")
    done = shop.penstock("erase", "lake.shop.orders", "--keys", "keys.csv", "--json")
    assert done.code == 0, (done.out, done.err)
    assert [p["removed"] for p in json.loads(done.out)["places"]] == ([2, 2] if kind == "parquet" else [3, 1, 2])
    (shop.folder / "keys.csv").unlink()
    assert b"Ann" not in everything(shop)
    assert [r["number"] for r in shop.rows("lake.shop.orders", "number")] == [1, 2, 4712]
    if bad:
        assert b"4711" not in b"".join(f.read_bytes() for f in (shop.folder / "landing").rglob("*.*"))
        assert len(shop.rows("lake.shop.orders__quarantine")) == 1


@pytest.mark.parametrize("partition_by", ["source", "id, source"])
def test_keys_that_partition_the_table_are_searched_too(tmp_path: Path, table_format: str, partition_by: str) -> None:
    import pyarrow as pa

    shop = Project(tmp_path)
    text = EVENTS.replace("FORMAT", table_format).replace("format: debezium, decimal_handling_mode: string", "format: csv")
    text = text.replace("id: bigint!", "source: string!, id: bigint!").replace("keys: [id]", f"keys: [source, id]\n    partition_by: [{partition_by}]")
    shop.write("pipeline.yaml", text.replace("merge: {from: changes, into: lake.shop.orders}", "copy: {from: changes, into: lake.shop.orders}"))
    shop.write("landing/orders/1.csv", "source,id,state,amount\na,1,Ann,1.00\nb,1,x,1.00\na,2,y,1.00\n")
    assert shop.record()[0].code == 0
    table = lake(shop, "shop", "orders")
    with context(shop).engine.session() as session:
        session.load("asked", pa.table({"source": ["a"], "id": [1]}))
        assert session.found_below(table, table.pin(), "asked", ["source", "id"]) == 1
    shop.write("keys.csv", "source,id\na,1\n")
    done = shop.penstock("erase", "lake.shop.orders", "--keys", "keys.csv", "--json")
    assert done.code == 0, (done.out, done.err)
    assert [(p["removed"], p["left"]) for p in json.loads(done.out)["places"]] == [(1, 0), (1, 0)]
    assert [(r["source"], r["id"]) for r in shop.rows("lake.shop.orders", "source, id")] == [("a", 2), ("b", 1)]
