"""The rules of SCD 1 against the model: any order, any batching, any repetition give one table."""

from __future__ import annotations

import random

import duckdb
import pytest
from changes_model import SCHEMA, SPEC, batches, counted, settled, stream, table

from penstock.changes.counts import Counts
from penstock.changes.scd1 import listed, rules

TEXT = rules(SPEC)


class Tables:
    """A table and its memory in DuckDB, changed as the rules say."""

    def __init__(self) -> None:
        self.c = duckdb.connect()
        self.c.register("none", table([]))
        self.c.execute(f"CREATE TABLE stored AS SELECT {listed('{0}', SPEC.stored)} FROM none")
        self.c.execute(f"CREATE TABLE memory AS SELECT {listed('{0}', (*SPEC.keys, *SPEC.sequence))} FROM none")

    def apply(self, events: list[dict[str, object]], *, crash: bool = False) -> Counts:
        """One batch; with `crash` the memory is written and the table is not."""
        c, on = self.c, listed("t.{0} = b.{0}", SPEC.keys, " AND ")
        c.register("batch", table(events))
        c.execute(f"CREATE OR REPLACE TABLE located AS SELECT t.* FROM stored t SEMI JOIN batch b ON {on}")
        c.execute(f"CREATE OR REPLACE TABLE recalled AS SELECT t.* FROM memory t SEMI JOIN batch b ON {on}")
        c.execute(f"CREATE OR REPLACE TABLE tied AS {TEXT.tied}")
        c.execute(f"CREATE OR REPLACE TABLE held AS SELECT t.* FROM stored t SEMI JOIN tied b ON {on}")
        for name in ("settled", "upserts", "deletes", "remember", "forget"):
            c.execute(f"CREATE OR REPLACE TABLE {name} AS {getattr(TEXT, name)}")
        self._write("memory", "remember", "forget")
        if not crash:
            self._write("stored", "upserts", "deletes")
        names = [d[0] for d in c.execute(TEXT.counts).description]
        return Counts(**dict(zip(names, c.execute(TEXT.counts).fetchall()[0], strict=True)))

    def _write(self, name: str, upserts: str, deletes: str) -> None:
        for gone in (upserts, deletes):
            self.c.execute(f"DELETE FROM {name} t USING {gone} b WHERE {listed('t.{0} = b.{0}', SPEC.keys, ' AND ')}")
        self.c.execute(f"INSERT INTO {name} BY NAME SELECT * FROM {upserts}")

    def rows(self) -> dict[tuple[object, ...], tuple[object, ...]]:
        found = self.c.execute(f"SELECT {listed('{0}', SPEC.stored)} FROM stored").fetchall()
        return {row[: len(SPEC.keys)]: row for row in found}


@pytest.mark.parametrize("seed", range(60))
def test_any_order_and_any_batching_give_the_table_of_one_sorted_batch(seed: int) -> None:
    events = stream(seed)
    tables, r = Tables(), random.Random(seed)
    done: list[list[dict[str, object]]] = []
    for batch in batches(seed, events):
        if r.random() < 0.25:
            tables.apply(batch, crash=True)
        tables.apply(batch).check(f"seed {seed}")
        done.append(batch)
        if r.random() < 0.1:
            tables.apply(r.choice(done)).check(f"seed {seed}, an old batch again")
    assert tables.rows() == settled(events), f"seed {seed}"


@pytest.mark.parametrize("seed", range(20))
def test_the_counts_of_one_batch_are_the_models(seed: int) -> None:
    events = stream(seed)
    found = Tables().apply(events)
    assert {k: getattr(found, k) for k in counted(events)} == counted(events), f"seed {seed}"


def test_a_batch_done_again_finds_everything_there() -> None:
    events, tables = stream(3), Tables()
    first, again = tables.apply(events), tables.apply(events)
    assert (again.applied, again.read) == (0, first.read)
    assert tables.c.execute("SELECT COUNT(*) FROM upserts").fetchall() == [(0,)]


def test_the_text_keeps_to_what_spark_reads_too() -> None:
    """sqlglot renders the rules for Spark without a word that one of the two reads otherwise; see the list of what does not cross."""
    import sqlglot
    from sqlglot import exp

    for text in (TEXT.tied, TEXT.settled, TEXT.upserts, TEXT.deletes, TEXT.remember, TEXT.forget, TEXT.counts):
        tree = sqlglot.parse_one(text, read="duckdb")
        assert not list(tree.find_all(exp.ArgMax, exp.AnyValue, exp.Tuple)), text
        assert not any(star.args.get("except_") or star.args.get("replace") for star in tree.find_all(exp.Star)), text
        assert sqlglot.parse_one(tree.sql("spark"), read="spark").sql("spark") == tree.sql("spark")


def test_the_schema_of_events_is_what_the_rules_read() -> None:
    assert set(SPEC.stored) | {"__op", "__position"} == set(SCHEMA.names)
