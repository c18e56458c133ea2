"""The rules of change data against the model: any order, any batching, any crash and any repetition give the tables of one sorted batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
from changes_model import HISTORY, NULL_UPDATES, ONE_PART, SOFT, SPEC, TYPES, Event, replay, stream
from changes_tables import InOrder, Tables, WholeRows, agree, run, scd1, versions

from penstock.changes.appended import waits
from penstock.changes.events import prepared
from penstock.changes.facts import MergeSpec, unavailable
from penstock.changes.full_copy import beaten
from penstock.changes.rules import remembered_changes
from penstock.changes.scd1 import whole_row_rules
from penstock.changes.scd1_general import general_rules
from penstock.changes.scd2 import history_rules
from penstock.changes.scd2_in_order import in_order_rules, of_astray

STREAMS = {"whole": {}, "truncates": {"truncates": 0.03}, "partial": {"partial": 0.3}, "all": {"partial": 0.2, "truncates": 0.02}}


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("spec", [SPEC, SOFT, HISTORY], ids=["scd1", "soft_delete", "scd2"])
@pytest.mark.parametrize("seed", range(4))
def test_any_order_and_any_batching_give_the_table_of_one_sorted_batch(spec: MergeSpec, kind: str, seed: int) -> None:
    events, tables = stream(seed, **STREAMS[kind]), Tables(spec)
    run(tables, seed, events)
    agree(tables, replay(spec, events), seed)


OTHERS = ONE_PART | NULL_UPDATES | {"NULL updates of some": replace(SPEC, optional=frozenset(["order"])), "nothing tracked": replace(HISTORY, tracked=())}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("seed", [0, 1, 6])
def test_so_do_sequences_of_one_part_and_null_updates(name: str, seed: int) -> None:
    """A feed with NULL updates has no other partial rows."""
    spec = OTHERS[name]
    events = stream(seed, partial=0 if spec.optional else 0.2, truncates=0.02, events_a_key=15, parts=spec.sequences)
    for tables in (Tables(spec), InOrder(spec)) if spec.history else (Tables(spec),):
        run(tables, seed, events, most=5)
        agree(tables, replay(spec, events), seed)


@pytest.mark.parametrize("seed", range(30))
def test_the_short_rules_do_the_same_for_whole_rows(seed: int) -> None:
    spec = SPEC if seed % 3 else ONE_PART["scd1 by one part"]
    events, tables = stream(seed, parts=spec.sequences), WholeRows(spec)
    run(tables, seed, events)
    agree(tables, replay(spec, events), seed)


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("seed", range(4))
def test_the_short_rules_of_a_history_do_the_same(seed: int, kind: str) -> None:
    spec = replace(HISTORY, tracked=HISTORY.data) if seed % 2 else HISTORY
    events, tables, general = stream(seed, **STREAMS[kind]), InOrder(spec), Tables(spec)
    run(tables, seed, events)
    agree(tables, replay(spec, events), seed)
    run(general, seed, events)
    assert kept(tables) == kept(general), f"seed {seed}"


def kept(tables: Tables) -> list[str]:
    """All that the memory holds."""
    return sorted(map(repr, tables.kept()))


def test_batches_without_ties_are_settled_by_keys_and_sequences_alone() -> None:
    tables = WholeRows(SPEC)
    for batch in ([event("c", 1, 1), event("u", 2, 2)], [event("d", 5)], [event("u", 4, 3)], [event("c", 6, 9), event("d", 7), event("c", 8, 10)]):
        tables.apply(batch)
    assert (tables.shortest, [r["order"] for r in tables.found()]) == (4, [10])
    tables.apply([event("c", 8, 11), event("c", 8, 12)])
    assert (tables.shortest, [r["order"] for r in tables.found()]) == (4, [12])


@pytest.mark.parametrize("seed", range(6))
def test_open_versions_are_the_rows_of_type_1(seed: int) -> None:
    events = stream(seed, partial=0.2, truncates=0.02)
    one, two = Tables(SPEC), Tables(HISTORY)
    run(one, seed, events)
    run(two, seed, events)
    rows = {k: {c: r[c] for c in SPEC.data} for k, r in scd1(one).items()}
    assert {k: row for (k, _), (end, row) in versions(two).items() if end is None} == rows, f"seed {seed}"


@pytest.mark.parametrize("spec", [SPEC, SOFT, NULL_UPDATES["scd1 with NULL updates"]], ids=["scd1", "soft_delete", "NULL updates"])
@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("seed", range(4))
def test_the_counts_of_one_batch_are_the_models(spec: MergeSpec, kind: str, seed: int) -> None:
    events = stream(seed, **STREAMS[kind])
    found, expected = Tables(spec).apply(events), replay(spec, events).counts
    assert {k: getattr(found, k) for k in expected} == expected, f"seed {seed}"
    if (spec, kind) == (SPEC, "whole"):
        assert WholeRows(SPEC).apply(events) == found, f"seed {seed}"


@pytest.mark.parametrize("tables", [Tables(SPEC), Tables(HISTORY), WholeRows(SPEC), InOrder(HISTORY)], ids=["general", "history", "whole", "history in order"])
def test_a_batch_done_again_finds_everything_there(tables: Tables) -> None:
    events = stream(3)
    first, again = tables.apply(events), tables.apply(events)
    assert (again.applied, again.read) == (0, first.read)
    assert tables.engine.rows("SELECT * FROM upserts") == []
    assert tables.engine.rows("SELECT * FROM remember") == []


def event(op: str, at: int, order: int | None = None, note: str | None = None, *lost: str) -> Event:
    columns = {"tenant": 1, "Customer Id": "a", "__op": op, "__sequence_1": at, "__sequence_2": 0, "order": order, "note": note}
    return dict.fromkeys(TYPES) | columns | {"__unavailable": unavailable(lost)}


def test_a_history_in_order_is_settled_by_the_short_rules() -> None:
    tables, general = InOrder(HISTORY), Tables(HISTORY)
    in_order = [event("c", 1, 1), event("u", 2, 2)], [event("d", 5)], [event("c", 6, 9), event("d", 7), event("c", 8, 10)], [event("u", 9, 11)]
    for batch in (*in_order, [event("u", 10, 11)], [event("u", 4, 3)]):
        assert tables.apply(batch) == general.apply(batch)
    assert (versions(tables), kept(tables), tables.settled_short) == (versions(general), kept(general), 7)


CRASHES = (
    ([event("c", 1, 9, "x"), event("u", 5, 9, None, "note")], [event("c", 5, 9, "")]),
    ([event("c", 3, 9, "x"), event("u", 5, 9, None, "note")], [event("u", 9, 9, None, "note"), event("c", 4, 9, "new")]),
    ([event("c", 5, 9, "a"), event("u", 7, 9, "b")], [event("d", 6), event("c", 5, 9, "a")]),
)


@pytest.mark.parametrize("spec", [SPEC, HISTORY], ids=["scd1", "scd2"])
@pytest.mark.parametrize(("before", "batch"), CRASHES)
def test_a_row_made_of_partial_events_does_not_pass_for_a_fact_after_a_crash(spec: MergeSpec, before: list[Event], batch: list[Event]) -> None:
    tables = Tables(spec)
    tables.apply(before)
    tables.apply(batch, crash=True)
    tables.apply(batch)
    agree(tables, replay(spec, before + batch), 0)


def test_null_updates_keep_what_the_row_had() -> None:
    spec = replace(SPEC, optional=frozenset(SPEC.data))
    tables = Tables(spec)
    for events in ([event("u", 5, None, "late")], [event("u", 1, 9)]):
        tables.apply(events)
    assert [(r["order"], r["note"], r["Total Amount"], r["__sequence_1"]) for r in tables.found()] == [(9, "late", None, 5)]


def texts() -> list[str]:
    found = [
        whole_row_rules(SPEC),
        general_rules(SPEC),
        general_rules(SOFT),
        general_rules(ONE_PART["scd1 by one part"]),
        history_rules(HISTORY),
        of_astray(history_rules(HISTORY)),
        in_order_rules(HISTORY),
    ]
    return [t for r in found for t in vars(r).values()] + [
        *remembered_changes(SPEC),
        prepared(SOFT, "events"),
        *(f"SELECT * FROM memory WHERE {waits(spec)}" for spec in (SPEC, HISTORY)),
        beaten(SPEC, "passed"),
        prepared(replace(SPEC, optional=frozenset(SPEC.data)), "events"),
    ]


@pytest.mark.parametrize("text", texts())
def test_the_text_keeps_to_what_spark_reads_too(text: str) -> None:
    """sqlglot renders the rules for Spark without a word that one of the two reads otherwise; see the list of what does not cross."""
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(text, read="duckdb")
    assert not list(tree.find_all(exp.ArgMax, exp.AnyValue)), text
    assert not any(isinstance(t, exp.Tuple) for t in tree.find_all(exp.Tuple) if not isinstance(t.parent, exp.In)), text
    assert not any(star.args.get("except_") or star.args.get("replace") for star in tree.find_all(exp.Star)), text
    assert sqlglot.parse_one(tree.sql("spark"), read="spark").sql("spark") == tree.sql("spark")
