"""The rules of change data against the model: any order, any batching, any crash and any repetition give the tables of one sorted batch."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from changes_model import HISTORY, SOFT, SPEC, TYPES, Event, Key, Truth, batches, key, replay, stream, table

from penstock.changes.counts import Counts
from penstock.changes.events import prepared
from penstock.changes.facts import MergeSpec, listed, unavailable
from penstock.changes.rules import remembered_changes
from penstock.changes.scd1 import whole_row_rules
from penstock.changes.scd1_general import general_rules
from penstock.changes.scd2 import history_rules
from penstock.changes.scd2_in_order import in_order_rules, of_astray, within

COUNTED = ("read", "applied", "superseded", "quarantined", "unchanged", "duplicate")
STREAMS = {"whole": {}, "truncates": {"truncates": 0.03}, "partial": {"partial": 0.3}, "all": {"partial": 0.2, "truncates": 0.02}}


class Tables:
    """A table and its memory in DuckDB, changed as the rules say."""

    def __init__(self, spec: MergeSpec) -> None:
        self.spec, self.c = spec, duckdb.connect()
        self.text = history_rules(spec) if spec.history else general_rules(spec)
        types = {**TYPES, **dict.fromkeys((*spec.start, *spec.end), pa.int64())}
        for name, columns in {"target": spec.stored, "memory_kept": spec.event}.items():
            self.c.register("none", pa.table({c: pa.array([], types[c]) for c in columns}))
            self.c.execute(f"CREATE TABLE {name} AS FROM none")

    def apply(self, events: list[Event], *, crash: bool = False) -> Counts:
        """One batch; with `crash` the memory is written and the table is not."""
        self.c.register("events", table(events))
        self._keep("batch", prepared(self.spec, "events"))
        self._settle(everything=any(e["__op"] == "t" for e in events))
        self._write("memory_kept", self.spec.keys, "remember", "forget")
        if not crash:
            self._write("target", (*self.spec.keys, *(self.spec.start if self.spec.history else ())), "upserts", "deletes")
        counted = self.c.execute(self._counts()).to_arrow_table().to_pylist()[0]
        return Counts(**counted)

    def _settle(self, *, everything: bool) -> None:
        on = listed("t.{0} = b.{0}", self.spec.keys, " AND ")
        where = "" if everything else f"WHERE EXISTS(SELECT 1 FROM batch b WHERE {on})"
        self._keep("stored", f"SELECT * FROM target t {where}")
        self._keep("remembered", f"SELECT * FROM memory_kept t {where}{'' if everything else ' OR __op = ' + repr('t')}")
        remember, forget = remembered_changes(self.spec)
        for name in ("settled", "memory", "upserts", "deletes"):
            self._keep(name, getattr(self.text, name))
        self._keep("remember", remember)
        self._keep("forget", forget)

    def _counts(self) -> str:
        return self.text.counts

    def _keep(self, name: str, sql: str) -> None:
        self.c.execute(f"CREATE OR REPLACE TABLE {name} AS {sql}")

    def _write(self, name: str, at: tuple[str, ...], upserts: str, deletes: str) -> None:
        for gone in (upserts, deletes):
            self.c.execute(f"DELETE FROM {name} t USING {gone} b WHERE {listed('t.{0} = b.{0}', at, ' AND ')}")
        self.c.execute(f"INSERT INTO {name} BY NAME SELECT * FROM {upserts}")

    def found(self) -> list[dict[str, Any]]:
        return self.c.execute("FROM target").to_arrow_table().to_pylist()

    def waiting(self) -> set[Key]:
        rows = {key(r) for r in self.found()}
        return {key(m) for m in self.c.execute("FROM memory_kept WHERE __op = 'u'").to_arrow_table().to_pylist()} - rows


class WholeRows(Tables):
    """The short rules, where they are enough; and the shortest, by keys and sequences alone, where these are."""

    shortest = 0

    def _settle(self, *, everything: bool) -> None:
        assert not everything
        text, on = whole_row_rules(self.spec), listed("t.{0} = b.{0}", self.spec.keys, " AND ")
        self._keep("located", f"SELECT * FROM target t SEMI JOIN batch b ON {on}")
        self._keep("remembered", f"SELECT * FROM memory_kept t SEMI JOIN batch b ON {on}")
        self._keep("tied", text.tied)
        self._keep("settled", text.ranked)
        tied, enough = self.c.execute(f"SELECT EXISTS(SELECT 1 FROM tied), ({text.is_enough})").fetchall()[0]
        if tied or not enough:
            self._keep("held", f"SELECT t.* FROM target t SEMI JOIN tied b ON {on}")
            self._keep("settled", text.settled)
            self._keep("upserts", text.upserts)
        else:
            self.shortest += 1
            self._keep("upserts", text.chosen)
        for name in ("deletes", "remember", "forget"):
            self._keep(name, getattr(text, name))

    def _counts(self) -> str:
        return whole_row_rules(self.spec).counts


class InOrder(Tables):
    """The short rules of a history for the keys that they settle, the general ones for those astray."""

    settled_short = 0

    def _settle(self, *, everything: bool) -> None:
        self.astray = self.everything = everything
        if everything:
            super()._settle(everything=True)
            return
        text, on = in_order_rules(self.spec), listed("t.{0} = b.{0}", self.spec.keys, " AND ")
        self._keep("stored", f"SELECT * FROM target t SEMI JOIN batch b ON {on}")
        truncates = "UNION ALL SELECT * FROM memory_kept WHERE __op = 't'"
        self._keep("remembered", f"SELECT * FROM memory_kept t SEMI JOIN batch b ON {on} {truncates}")
        for name in ("astray", "upserts"):
            self._keep(name, getattr(text, name))
        self.c.execute(f"INSERT INTO astray {text.same}")
        self._keep("upserts", text.others)
        self.c.execute("ALTER TABLE upserts DROP __same")
        for name in ("deletes", "remember", "forget"):
            self._keep(name, getattr(text, name))
        self.settled_short += self.c.execute(text.counts).fetchall()[0][0]
        for name in ("batch", "stored", "remembered"):
            self._keep(f"astray_{name}", f"SELECT * FROM {name} t SEMI JOIN astray b ON {on} {truncates if name == 'remembered' else ''}")
        general = of_astray(self.text)
        remember, forget = map(within, remembered_changes(self.spec))
        for name in ("settled", "memory"):
            self._keep(name, getattr(general, name))
        for name, sql in {"upserts": general.upserts, "deletes": general.deletes, "remember": remember, "forget": forget}.items():
            self.c.execute(f"INSERT INTO {name} BY NAME {sql}")

    def _counts(self) -> str:
        if self.everything:
            return self.text.counts
        both = f"({in_order_rules(self.spec).counts}) UNION ALL BY NAME ({of_astray(self.text).counts})"
        return f"SELECT {', '.join(f'CAST(SUM({c}) AS BIGINT) AS {c}' for c in COUNTED)} FROM ({both})"


def scd1(tables: Tables) -> dict[Key, dict[str, Any]]:
    return {key(r): {c: r[c] for c in tables.spec.stored if c not in tables.spec.keys} for r in tables.found()}


def versions(tables: Tables) -> dict[tuple[Key, Any], tuple[Any, dict[str, Any]]]:
    spec, found = tables.spec, {}
    for r in tables.found():
        start, end = (tuple(r[c] for c in side) for side in (spec.start, spec.end))
        found[key(r), start] = (None if end[0] is None else end, {c: r[c] for c in spec.data})
    return found


def run(tables: Tables, seed: int, events: list[Event]) -> None:
    """Apply the events shuffled and cut, some batches after a crash between the two commits, some a second time."""
    r, done = random.Random(seed), list[list[Event]]()
    for batch in batches(seed, events):
        while r.random() < 0.25:
            tables.apply(batch, crash=True)
        tables.apply(batch).check(f"seed {seed}")
        done.append(batch)
        if r.random() < 0.1:
            tables.apply(r.choice(done)).check(f"seed {seed}, an old batch again")


def agree(tables: Tables, truth: Truth, seed: int) -> None:
    if tables.spec.history:
        assert versions(tables) == truth.versions, f"seed {seed}"
    else:
        assert scd1(tables) == truth.rows, f"seed {seed}"
        assert tables.waiting() == truth.waiting, f"seed {seed}"


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("spec", [SPEC, SOFT, HISTORY], ids=["scd1", "soft_delete", "scd2"])
@pytest.mark.parametrize("seed", range(4))
def test_any_order_and_any_batching_give_the_table_of_one_sorted_batch(spec: MergeSpec, kind: str, seed: int) -> None:
    events, tables = stream(seed, **STREAMS[kind]), Tables(spec)
    run(tables, seed, events)
    agree(tables, replay(spec, events), seed)


@pytest.mark.parametrize("seed", range(30))
def test_the_short_rules_do_the_same_for_whole_rows(seed: int) -> None:
    events, tables = stream(seed), WholeRows(SPEC)
    run(tables, seed, events)
    agree(tables, replay(SPEC, events), seed)


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
    return sorted(map(repr, tables.c.execute("FROM memory_kept").to_arrow_table().to_pylist()))


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


@pytest.mark.parametrize("spec", [SPEC, SOFT], ids=["scd1", "soft_delete"])
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
    assert tables.c.execute("SELECT COUNT(*) FROM upserts").fetchall() == [(0,)]
    assert tables.c.execute("SELECT COUNT(*) FROM remember").fetchall() == [(0,)]


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
    for events in ([event("u", 5, None, "late")], [event("u", 1, 9)], [event("u", 7, 10)]):
        tables.apply(events)
    assert [(r["order"], r["note"], r["Total Amount"], r["__sequence_1"]) for r in tables.found()] == [(10, "late", None, 7)]


def texts() -> list[str]:
    found = [
        whole_row_rules(SPEC),
        general_rules(SPEC),
        general_rules(SOFT),
        history_rules(HISTORY),
        of_astray(history_rules(HISTORY)),
        in_order_rules(HISTORY),
    ]
    return [t for r in found for t in vars(r).values()] + [
        *remembered_changes(SPEC),
        prepared(SOFT, "events"),
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
