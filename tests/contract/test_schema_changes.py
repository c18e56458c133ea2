"""Columns that are declared anew: appended, widened, or refused before a write; what lies in old files is read rightly."""

from __future__ import annotations

import json
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pipelines import EVENTS, Done, Project, context, event, events, lake

from penstock.errors import DataError
from penstock.evolution import Evolution, OnSchemaChange, evolution, is_wider
from penstock.schema import Column, DataType

NAMES = ("boolean", "int", "bigint", "float", "double", "decimal(9,2)", "decimal(12,2)", "decimal(12,3)", "string", "date", "timestamp")
WIDER = {("int", "bigint"), ("float", "double"), ("decimal(9,2)", "decimal(12,2)")}


@pytest.mark.parametrize("old", NAMES)
@pytest.mark.parametrize("new", NAMES)
def test_only_what_loses_nothing_is_wider(old: str, new: str) -> None:
    assert is_wider(DataType.parse(new), DataType.parse(old)) == ((old, new) in WIDER)


def columns(**named: str) -> tuple[Column, ...]:
    return tuple(Column.parse(n, t) for n, t in named.items())


def test_the_order_of_columns_means_nothing() -> None:
    assert not evolution("t", columns(a="int!", b="string"), columns(b="string", a="int"), OnSchemaChange())


def test_a_table_gets_what_is_new_and_keeps_its_promises() -> None:
    change = evolution("t", columns(a="int!", b="string"), columns(a="bigint", c="date", b="string"), OnSchemaChange())
    assert change == Evolution(append=columns(c="date"), widen=columns(a="bigint!"))


@pytest.mark.parametrize(
    ("held", "declared", "policy", "said"),
    [
        ({"a": "bigint"}, {"a": "int"}, {}, "it has a bigint where a int is declared"),
        ({"a": "string"}, {"a": "int"}, {}, "it has a string where a int is declared"),
        ({"a": "int", "b": "int"}, {"a": "int"}, {}, "it has besides b int"),
        ({"a": "int"}, {"a": "int", "b": "int!"}, {}, "it lacks b int!, and a new column has no value in the rows that are there"),
        ({"a": "int"}, {"a": "int", "b": "int"}, {"new_column": "fail"}, "it lacks b int"),
        ({"a": "int"}, {"a": "bigint"}, {"wider_type": "fail"}, "it has a int where a bigint is declared"),
        ({"__sequence_1": "int"}, {"__sequence_1": "bigint"}, {}, "it has __sequence_1 int where __sequence_1 bigint is declared, which orders events"),
    ],
)
def test_anything_else_is_refused_by_name(held: dict[str, str], declared: dict[str, str], policy: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        evolution("t", columns(**held), columns(**declared), OnSchemaChange(**policy))


@pytest.mark.parametrize(
    ("policy", "said"),
    [("{c: b, b: a}", "column 'b' is said to be a new and a former name"), ("{y: a}", "y not among the columns"), ("{}", "it has A where a is declared")],
)
def test_renamings_that_could_lose_values_are_refused(tmp_path: Path, policy: str, said: str) -> None:
    if policy == "{}":
        with pytest.raises(DataError, match=said):
            evolution("t", columns(A="int"), columns(a="int"), OnSchemaChange(dropped_column="drop"))
        return
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", "delta").replace("keys: [id]", f"keys: [id]\n    on_schema_change: {{renamed_from: {policy}}}"))
    done = project.penstock("plan", ".")
    assert (done.code, said in done.err) == (2, True), done.err


def test_a_rollback_is_refused_as_a_whole(tmp_path: Path) -> None:
    """The memory of a Delta table that is about to be renamed has other columns in its former files than it will have."""
    shop = Project(tmp_path)
    text = EVENTS.replace("FORMAT", "delta")
    shop.write("pipeline.yaml", text)
    for number in (1, 2, 3):
        shop.write(f"landing/orders/{number}.json", events(event("c", number, 10 * number, "new"), event("d", 90 + number, 10 * number + 1)))
        assert shop.record()[0].code == 0
    shop.write("pipeline.yaml", renamed(text, "amount", "total", '"decimal(12,2)"'))
    done = shop.penstock("rollback", "lake.shop.orders", "--to", "1", "--then", "replay")
    assert done.code == 0, done.err
    assert shop.rows("lake.shop.orders", "count(*) AS n") == [{"n": 1}]
    assert shop.record()[0].code == 0
    assert shop.rows("lake.shop.orders", "count(*) AS n, count(total) AS t") == [{"n": 1, "t": 0}]
    reasons = [r["__reason"] for r in shop.rows("lake.shop.orders__quarantine", "__reason")]
    assert set(reasons) == {"column 'total' is not in the event"}, "what was replayed"


@pytest.fixture
def shop(tmp_path: Path, table_format: str) -> Project:
    project = Project(tmp_path)
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format))
    project.write("landing/orders/1.json", events(event("c", 1, 1, "new", "1.50"), event("c", 2, 2, "new", "2.50")))
    assert project.record()[0].code == 0
    return project


def test_a_new_column_is_null_where_it_was_not(shop: Project) -> None:
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("columns: {id: bigint!", "columns: {id: bigint!, note: string"))
    with_note = event("u", 2, 10, "paid", "2.50").replace('"state"', '"note": "hello", "state"')
    late = event("c", 3, 9, "new", "1.00").replace('"state"', '"note": null, "state"')
    shop.write("landing/orders/2.json", events(with_note, late))
    done, _ = shop.record()
    assert done.code == 0, done.err
    found = [(1, None, "new"), (2, "hello", "paid"), (3, None, "new")]
    assert [tuple(r.values()) for r in shop.rows("lake.shop.orders", "id, note, state")] == found
    shop.write("landing/orders/3.json", events(event("d", 3, 20)))
    assert shop.record()[0].code == 0
    assert [tuple(r.values()) for r in shop.rows("lake.shop.orders", "id, note, state")] == found[:2]


LOST = "__debezium_unavailable_value"


def with_note(line: str, note: str) -> str:
    return line.replace('"state"', f'"note": "{note}", "state"')


@pytest.mark.parametrize("scd", [1, 2])
def test_an_event_that_waits_says_nothing_of_a_new_column(tmp_path: Path, table_format: str, scd: int) -> None:
    """A row that stands is NULL in it, also one that is kept by partial events; a deleted key's next life, of which a change came first, is not."""
    shop = Project(tmp_path)
    text = EVENTS.replace("FORMAT", table_format).replace("orders}", f"orders, stored_as_scd_type: {scd}}}")
    shop.write("pipeline.yaml", text)
    stands = (event("c", 1, 10, "one", "1.00"), event("u", 1, 20, LOST, "2.00"), event("c", 2, 10, "two", "1.00"), event("u", 2, 20, "two!", LOST))
    waits = (event("u", 3, 20, LOST, "2.00"), event("c", 4, 5, "four", "1.00"), event("d", 4, 10), event("u", 4, 20, LOST, "2.00"))
    shop.write("landing/orders/1.json", events(*stands, *waits))
    assert shop.record()[0].code == 0
    open_rows = "id, state, amount, note" if scd == 1 else "id, state, amount, note, __end_at_1"
    text = text.replace("columns: {id: bigint!", "columns: {number: bigint!, note: string").replace("[id]", "[number]\n    on_schema_change: RENAMED")
    shop.write("pipeline.yaml", text.replace("RENAMED", "{renamed_from: {number: id}}"))
    open_rows = open_rows.replace("id", "number")
    later = (with_note(event("c", k, 15, "late", "1.00"), "hello") for k in (3, 4))
    second = events(*later, with_note(event("u", 2, 30, "two", LOST), "said"))
    shop.write("landing/orders/2.json", second.replace('"id"', '"number"'))
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err
    found = [tuple(r.values())[:4] for r in shop.rows("lake.shop.orders", open_rows) if not r.get("__end_at_1")]
    assert found == [(1, "one", "2.00", None), (2, "two", "1.00", "said"), (3, "late", "2.00", "hello"), (4, "late", "2.00", "hello")]
    shop.write("landing/orders/3.json", events(with_note(event("u", 1, 15, "between", "1.50"), "older")).replace('"id"', '"number"'))
    assert shop.penstock("run", ".").code == 0
    found = [tuple(r.values())[:4] for r in shop.rows("lake.shop.orders", open_rows) if not r.get("__end_at_1")]
    assert found[0] == (1, "between", "2.00", None)


def test_a_wider_type_holds_old_and_new(tmp_path: Path, table_format: str) -> None:
    shop = Project(tmp_path)
    text = EVENTS.replace("FORMAT", table_format).replace("id: bigint!", "id: int!, r: float").replace("decimal(12,2)", "decimal(4,2)")
    sums = f'  lake.shop.sums: {{format: {table_format}, columns: {{ids: bigint, total: "decimal(38,2)", r: double}}}}'
    text = text.replace("steps:", f"{sums}\nsteps:") + "  - {id: sums, transform: {sql: sums.sql, into: lake.shop.sums}}\n"
    shop.write("sums.sql", "SELECT sum(id) AS ids, sum(amount) AS total, max(r) AS r FROM lake.shop.orders")
    shop.write("pipeline.yaml", text)

    def with_r(line: str, r: float) -> str:
        return line.replace('"state"', f'"r": {r!r}, "state"')

    shop.write("landing/orders/1.json", events(with_r(event("c", 1, 1, "new", "1.50"), 0.1), with_r(event("c", 2, 2, "new", "2.50"), -2.5)))
    assert shop.record()[0].code == 0
    shop.write("pipeline.yaml", text.replace("id: int!, r: float", "id: bigint!, r: double").replace("decimal(4,2)", "decimal(12,2)"))
    later = (with_r(event("c", 2**40, 10, "new", "9999999999.99"), 1e300), with_r(event("u", 2, 11, "paid", "2.50"), 0.1))
    shop.write("landing/orders/2.json", events(*later))
    done, _ = shop.record()
    assert done.code == 0, done.err
    single = 0.10000000149011612  # 0.1 as a float has it
    found = [(r["id"], Decimal(r["amount"]), r["r"]) for r in shop.rows("lake.shop.orders", "id, amount, r")]
    assert found == [(1, Decimal("1.50"), single), (2, Decimal("2.50"), 0.1), (2**40, Decimal("9999999999.99"), 1e300)]
    assert shop.rows("lake.shop.sums") == [{"ids": 2**40 + 3, "total": "10000000003.99", "r": 1e300}], "Sail"


SEQUENCES = {"int": ("1", "2"), "bigint": ("3", "4"), "timestamp": ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")}


@pytest.mark.parametrize(
    ("old", "new", "scd", "is_kept"),
    [("int", "bigint", 1, True), ("int", "bigint", 2, False), ("bigint", "timestamp", 1, False), ("bigint", "timestamp", 2, True)],
)
def test_another_type_of_a_sequence_stops_the_run_before_a_write(tmp_path: Path, table_format: str, old: str, new: str, scd: int, *, is_kept: bool) -> None:
    """Also where the column that it is made of may become wider: rows of both types would be ordered by one."""
    shop = Project(tmp_path)
    text = EVENTS.replace("FORMAT", table_format).replace("orders}", f"orders, sequence_by: v, stored_as_scd_type: {scd}, apply_as_deletes: state = 'gone'}}")
    text = text.replace("decimal_handling_mode: string", "columns: {id: bigint!, state: string, v: TYPE!}").replace("debezium", "csv")
    text = text.replace(', amount: "decimal(12,2)"', ", v: TYPE!" if is_kept else "")

    def run(kind: str) -> Done:
        first, second = SEQUENCES[kind]
        shop.write("pipeline.yaml", text.replace("TYPE", kind))
        shop.write(f"landing/orders/{kind}.csv", f"id,state,v\n1,{kind},{first}\n2,gone,{second}\n")
        return shop.penstock("run", ".")

    def written() -> list[Any]:
        return [[h.version for h in lake(shop, "shop", name).history()] for name in ("orders", "orders__memory")]

    assert run(old).code == 0
    rows, versions = shop.rows("lake.shop.orders", "id, state"), written()
    done = run(new)
    hidden = "__sequence_1" if scd == 1 else "__start_at"
    assert (done.code, f"it has {hidden} {old} where {hidden} {new} is declared, which orders events" in done.err) == (1, True), done.err
    assert "penstock run --full-refresh" in done.err
    assert (shop.rows("lake.shop.orders", "id, state"), written()) == (rows, versions)


@pytest.mark.parametrize("scd", [1, 2])
def test_columns_are_renamed_dropped_and_named_again_without_a_value_in_the_wrong_place(tmp_path: Path, scd: int, table_format: str) -> None:
    shop = Project(tmp_path)
    text = EVENTS.replace("FORMAT", table_format).replace("shop.orders}", f"shop.orders, stored_as_scd_type: {scd}}}")
    text = text.replace("columns: {id: bigint!,", "columns: {id: bigint!, note: string,").replace("keys: [id]", "keys: [id]\n    maintain: {min_files: 2}")
    shop.write("pipeline.yaml", text)

    def deliver(number: int, lsn: int, **image: Any) -> None:
        said = json.loads(event("u", number, lsn)) | {"after": {"id": number, **image}}
        shop.write(f"landing/orders/{lsn}-{number}.json", events(json.dumps(said)))
        done = shop.penstock("run", ".")
        assert done.code == 0, done.err

    def declare(changed: str, policy: str) -> None:
        shop.write("pipeline.yaml", changed.replace("keys: [id]", f"keys: [id]\n    on_schema_change: {policy}"))

    deliver(1, 1, note="n1", state="s1", amount="1.00")
    deliver(2, 2, note="__debezium_unavailable_value", state="s2", amount="2.00")
    renamed = text.replace("note: string, state: string", "status: string, remark: string")
    declare(renamed, "{renamed_from: {status: state, remark: note}}")
    deliver(3, 3, status="s3", remark="n3", amount="3.00")
    deliver(2, 1, status="old", remark="n2", amount="0.00")  # completes the event that waits for its note, renamed meanwhile
    columns = "id, status, remark"
    now = {tuple(r.values()) for r in shop.rows("lake.shop.orders", columns)}
    assert now == {(1, "s1", "n1"), (2, "s2", "n2"), (3, "s3", "n3")} | ({(2, "old", "n2")} if scd == 2 else set())
    declare(renamed.replace(", remark: string", ""), "{dropped_column: drop}")
    deliver(4, 5, status="s4", amount="4.00")
    declare(renamed.replace("remark: string", "note: bigint, remark: string"), "{dropped_column: drop}")
    deliver(5, 6, status="s5", note=5, remark="again", amount="4.00")
    expected = {(1, "s1", None, None), (2, "s2", None, None), (3, "s3", None, None), (4, "s4", None, None), (5, "s5", 5, "again")}
    expected |= {(2, "old", None, None)} if scd == 2 else set()
    for _ in range(2):
        assert {tuple(r.values()) for r in shop.rows("lake.shop.orders", "id, status, note, remark")} == expected
        assert shop.penstock("maintain", "lake.shop.orders").code == 0
    native: Any = context(shop).catalog("lake").table("shop", "orders")
    state = native.pin().native
    rows = (state.scan().to_arrow() if table_format == "iceberg" else state.to_pyarrow_table()).to_pylist()
    assert {(r["id"], r["status"], r["note"], r["remark"]) for r in rows} == expected, "as pyiceberg or delta-rs reads it"


def test_a_column_that_rows_were_sorted_by_is_dropped(tmp_path: Path, table_format: str) -> None:
    shop = Project(tmp_path)
    text = EVENTS.replace("FORMAT", table_format).replace("keys: [id]", "keys: [id]\n    sort_by: [state, amount]\n    POLICY")
    shop.write("pipeline.yaml", text.replace("POLICY", ""))
    shop.write("landing/orders/1.json", events(event("c", 1, 1, "new", "2.50")))
    assert shop.penstock("run", ".").code == 0
    dropped = text.replace("state: string, ", "note: string, ").replace("[state, amount]", "[note, amount]")
    shop.write("pipeline.yaml", dropped.replace("POLICY", "on_schema_change: {dropped_column: drop}"))
    shop.write("landing/orders/2.json", events(event("c", 2, 2, amount="1.50").replace('"state"', '"note"')))
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err
    assert shop.rows("lake.shop.orders") == [{"id": 1, "note": None, "amount": "2.50"}, {"id": 2, "note": None, "amount": "1.50"}]
    assert lake(shop, "shop", "orders").design.sort_by == ("note", "amount")


def test_a_transform_reads_renamed_columns(tmp_path: Path, table_format: str) -> None:
    shop = Project(tmp_path)
    text = EVENTS.replace("FORMAT", table_format).replace(
        "steps:", f"  lake.shop.states: {{format: {table_format}, columns: {{STATE: string, orders: bigint}}}}\nsteps:"
    )
    text += "  - {id: states, transform: {sql: states.sql, into: lake.shop.states}}\n"
    shop.write("pipeline.yaml", text.replace("STATE", "state"))
    shop.write("states.sql", "SELECT state, count(*) AS orders FROM lake.shop.orders GROUP BY state")
    shop.write("landing/orders/1.json", events(event("c", 1, 1, "new"), event("c", 2, 2, "new")))
    assert shop.penstock("run", ".").code == 0
    renamed = (
        text.replace("state: string", "status: string")
        .replace("STATE", "status")
        .replace("    keys: [id]", "    keys: [id]\n    on_schema_change: {renamed_from: {status: state}}")
    )
    shop.write(
        "pipeline.yaml",
        renamed.replace(
            "columns: {status: string, orders: bigint}", "columns: {status: string, orders: bigint}, on_schema_change: {renamed_from: {status: state}}"
        ),
    )
    shop.write("states.sql", "SELECT status, count(*) AS orders FROM lake.shop.orders GROUP BY status")
    shop.write("landing/orders/2.json", events(event("c", 3, 3).replace('"state": null', '"status": "paid"')))
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err
    assert shop.rows("lake.shop.states") == [{"status": "new", "orders": 2}, {"status": "paid", "orders": 1}]


def test_what_was_pinned_before_columns_changed_is_read_with_those_of_now(tmp_path: Path, table_format: str) -> None:
    shop = Project(tmp_path)
    text = EVENTS.replace("FORMAT", table_format).replace(
        "steps:",
        f"""  lake.shop.seen:
    format: {table_format}
    columns: {{id: bigint, status: string, note: int}}
steps:""",
    )
    text += "  - {id: seen, transform: {sql: seen.sql, into: lake.shop.seen, write: append}}\n"
    shop.write("pipeline.yaml", text)
    shop.write("seen.sql", "SELECT id, state AS status, CAST(state AS INT) AS note FROM lake.shop.orders")
    shop.write("landing/orders/1.json", events(event("c", 1, 1, "new"), event("c", 2, 2, "paid")))
    assert shop.penstock("run", ".").code == 1, "the batch is cut, and fails"
    policy = "on_schema_change: {renamed_from: {status: state}}"
    changed = text.replace("{id: bigint!, state: string,", "{note: int, id: bigint!, status: string,")
    shop.write("pipeline.yaml", changed.replace("    keys: [id]", f"    keys: [id]\n    {policy}"))
    shop.write("seen.sql", "SELECT id, status, note FROM lake.shop.orders")
    shop.write("landing/orders/2.json", events(event("c", 3, 3).replace('"state": null', '"status": "late", "note": 7')))
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err
    before, after = [(1, "new", None), (2, "paid", None)], [(1, "new", None), (2, "paid", None), (3, "late", 7)]
    assert sorted(tuple(r.values()) for r in shop.rows("lake.shop.seen")) == sorted(before + after)


@pytest.fixture
def by_state(tmp_path: Path) -> Project:
    """A Delta table, ordered by amounts, partitioned by states, with two batches applied."""
    shop = Project(tmp_path)
    shop.write("pipeline.yaml", EVENTS.replace("FORMAT", "delta").replace("keys: [id]", "keys: [id]\n    partition_by: [state]\n    sort_by: [amount]"))
    for number, amount in ((1, "9.50"), (2, "1.50")):
        shop.write(f"landing/orders/{number}.json", events(*(event("c", 10 * number + i, 10 * number + i, "new", amount) for i in range(3))))
        assert shop.record()[0].code == 0
    return shop


def renamed(text: str, old: str, new: str, kind: str) -> str:
    return (
        text.replace(f"{old}: {kind}", f"{new}: {kind}")
        .replace(f"[{old}]", f"[{new}]")
        .replace("keys: [id]", f"keys: [id]\n    on_schema_change: {{renamed_from: {{{new}: {old}}}}}")
    )


def test_delta_files_are_written_anew_in_their_order_and_partitions(by_state: Project) -> None:
    text = by_state.text("pipeline.yaml")
    by_state.write("pipeline.yaml", renamed(text, "amount", "total", '"decimal(12,2)"').replace('total: "decimal(12,2)"', 'total: "decimal(14,2)"'))
    by_state.write("landing/orders/3.json", events(event("c", 30, 30, "paid").replace('"amount": null', '"total": "4.00"')))
    killed = by_state.process("run", ".", PENSTOCK_KILL_AT="before_reshape_commit")
    assert killed.code == -signal.SIGKILL, killed.err
    left = context(by_state).catalog("lake").table("shop", "orders")
    assert left
    assert left.design.sort_by == ("amount",), "nothing of the table changed"
    killed = by_state.process("run", ".", PENSTOCK_KILL_AT="before_reshape_commit:2")
    assert killed.code == -signal.SIGKILL, killed.err
    done = by_state.penstock("run", ".")
    assert done.code == 0, done.err
    table = context(by_state).catalog("lake").table("shop", "orders")
    assert table
    files = {f.partition: pq.ParquetFile(f.uri).read(["total"])["total"].to_pylist() for f in table.files(table.pin())}
    assert files == {("new",): [Decimal("1.50")] * 3 + [Decimal("9.50")] * 3, ("paid",): [Decimal("4.00")]}
    assert by_state.rows("lake.shop.orders", "count(*) AS n, sum(total) AS total") == [{"n": 7, "total": "37.00"}]
    first = next(v.version for v in table.history() if v.batch == 1)
    then = by_state.penstock("query", "SELECT sum(amount) AS total FROM lake.shop.orders", "--as-of", str(first), "--json")
    assert then.json() == [{"total": "28.50"}], then.err


def test_a_delta_file_keeps_its_rows_and_their_order(tmp_path: Path) -> None:
    shop = Project(tmp_path)
    text = EVENTS.replace("FORMAT", "delta").replace("merge:", "copy:")
    shop.write("pipeline.yaml", text.replace("format: debezium, decimal_handling_mode: string", "format: json").replace("    keys: [id]\n", ""))
    for number, ids in ((1, [3, 1, 2]), (2, [9, 7, 8])):
        shop.write(f"landing/orders/{number}.json", "".join(f'{{"id": {i}, "state": "new", "amount": "1.00"}}\n' for i in ids))
        assert shop.record()[0].code == 0
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("decimal(12,2)", "decimal(14,2)"))
    shop.write("landing/orders/3.json", '{"id": 4, "state": "new", "amount": "999999999999.00"}\n')
    assert shop.record()[0].code == 0
    table = context(shop).catalog("lake").table("shop", "orders")
    assert table
    assert sorted(pq.ParquetFile(f.uri).read(["id"])["id"].to_pylist() for f in table.files(table.pin())) == [[3, 1, 2], [4], [9, 7, 8]]


def test_what_cannot_be_written_is_refused_before_files_are(by_state: Project) -> None:
    table = context(by_state).catalog("lake").table("shop", "orders")
    assert table
    text, version, files = by_state.text("pipeline.yaml"), table.pin().version, len(list(by_state.folder.rglob("*.parquet")))
    by_state.write("pipeline.yaml", text.replace("id: bigint!", "id: bigint!, note: string").replace("partition_by: [state]", "partition_by: [note]"))
    by_state.write("landing/orders/3.json", events(event("c", 30, 30)))
    done = by_state.penstock("run", ".")
    assert (done.code, "is partitioned by state but note is declared" in done.err) == (1, True), done.err
    assert (table.pin().version, len(list(by_state.folder.rglob("*.parquet")))) == (version, files)
    native: Any = table.pin().native
    native.alter.set_table_properties({"delta.appendOnly": "true"})
    by_state.write("pipeline.yaml", renamed(text, "amount", "total", '"decimal(12,2)"'))
    done = by_state.penstock("run", ".")
    assert (done.code, "append-only tables" in done.err) == (2, True), done.err
    assert len(list(by_state.folder.rglob("*.parquet"))) == files


def test_a_delta_partition_keeps_its_name(by_state: Project) -> None:
    by_state.write("pipeline.yaml", renamed(by_state.text("pipeline.yaml"), "state", "status", "string"))
    by_state.write("landing/orders/3.json", events(event("c", 30, 30)))
    done = by_state.penstock("run", ".")
    assert (done.code, "renaming state, by which the Delta table shop.orders is partitioned" in done.err) == (2, True), done.err


def test_a_delta_table_goes_back_only_to_states_with_its_columns(by_state: Project) -> None:
    by_state.write("pipeline.yaml", renamed(by_state.text("pipeline.yaml"), "amount", "total", '"decimal(12,2)"'))
    for number in (3, 4):
        by_state.write(f"landing/orders/{number}.json", events(event("c", 10 * number, 10 * number, "new").replace("amount", "total")))
        assert by_state.record()[0].code == 0
    refused = by_state.penstock("rollback", "lake.shop.orders", "--to", "1", "--then", "skip")
    assert (refused.code, "whose files have other columns, is not supported" in refused.err) == (2, True), refused.err
    assert by_state.rows("lake.shop.orders", "count(*) AS n") == [{"n": 8}]
    done = by_state.penstock("rollback", "lake.shop.orders", "--to", "2", "--then", "skip")
    assert done.code == 0, done.err
    assert by_state.rows("lake.shop.orders", "count(*) AS n, sum(total) AS total") == [{"n": 6, "total": "33.00"}]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("state: string", "state: int", "it has state string where state int is declared"),
        (", state: string", "", "it has besides state string"),
        ("keys: [id]", "keys: [id, state]", "is kept by the keys (id) but (id, state) are declared"),
        ("}\n    keys: [id]", ", more: int}\n    keys: [id, state]", "is kept by the keys (id) but (id, state) are declared"),
        ("format: debezium", "format: debezium, connector: mysql", "it lacks __sequence_3 bigint, which orders events"),
    ],
)
def test_other_changes_stop_before_a_write(shop: Project, old: str, new: str, said: str) -> None:
    before = shop.rows("lake.shop.orders")
    text = shop.text("pipeline.yaml")
    text = text.replace("state: string", "state: string!") if "keys" in old else text
    shop.write("pipeline.yaml", text.replace(old, new))
    shop.write("landing/orders/2.json", events(event("u", 1, 10, "5", "1.50")))
    done = shop.penstock("run", ".")
    assert (done.code, said in done.err) == (1, True), done.err
    shop.write("pipeline.yaml", text)
    assert shop.rows("lake.shop.orders") == before


def test_a_sequence_gets_no_further_part_by_which_deleted_rows_would_rise(tmp_path: Path, table_format: str) -> None:
    project = Project(tmp_path)
    text = (
        EVENTS.replace("FORMAT", table_format)
        .replace("format: debezium, decimal_handling_mode: string", "format: csv")
        .replace("state: string", "state: string, v: bigint!, w: bigint!")
        .replace("orders}", "orders, sequence_by: v, apply_as_deletes: state = 'gone'}")
    )
    project.write("pipeline.yaml", text)
    project.write("landing/orders/1.csv", "id,state,v,w,amount\n1,new,5,1,\n2,gone,5,9,\n")
    assert project.record()[0].code == 0
    project.write("pipeline.yaml", text.replace("sequence_by: v", "sequence_by: [v, w]"))
    project.write("landing/orders/2.csv", "id,state,v,w,amount\n1,older,5,0,\n2,risen,5,1,\n")
    done = project.penstock("run", ".")
    assert (done.code, "it lacks __sequence_2 bigint, which orders events" in done.err) == (1, True), done.err
    assert project.rows("lake.shop.orders", "id, state") == [{"id": 1, "state": "new"}]
