"""The change rules run on an engine as relations alone: a table and its memory, changed as each set of rules says, and compared with the model."""

from __future__ import annotations

import random
from typing import Any, Protocol

import duckdb
import pyarrow as pa
from changes_model import TYPES, Event, Key, Truth, batches, key, table

from penstock.changes.counts import Counts
from penstock.changes.events import prepared
from penstock.changes.facts import MergeSpec, listed, same_place
from penstock.changes.rules import remembered_changes
from penstock.changes.scd1 import whole_row_rules
from penstock.changes.scd1_general import general_rules
from penstock.changes.scd2 import history_rules
from penstock.changes.scd2_in_order import in_order_rules, of_astray, within
from penstock.schema import quote

SQL_TYPES = {pa.int64(): "BIGINT", pa.string(): "VARCHAR", pa.bool_(): "BOOLEAN", pa.decimal128(12, 2): "DECIMAL(12, 2)"}


class Engine(Protocol):
    """Queries are in DuckDB's dialect."""

    def load(self, name: str, rows: pa.Table) -> None: ...
    def keep(self, name: str, sql: str) -> None:
        """The rows of a query as a relation, which may be one that the query reads."""
        ...

    def rows(self, sql: str) -> list[dict[str, Any]]: ...


class Duck:
    def __init__(self) -> None:
        self.connection = duckdb.connect()

    def load(self, name: str, rows: pa.Table) -> None:
        self.connection.register("loaded", rows)
        self.keep(name, "SELECT * FROM loaded")

    def keep(self, name: str, sql: str) -> None:
        self.connection.execute(f"CREATE OR REPLACE TABLE {name} AS {sql}")

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return self.connection.execute(sql).to_arrow_table().to_pylist()


class Tables:
    """A table and its memory, kept by the general rules."""

    def __init__(self, spec: MergeSpec, engine: Engine | None = None) -> None:
        self.spec, self.engine = spec, engine or Duck()
        self.text = history_rules(spec) if spec.history else general_rules(spec)
        self.at = (*spec.keys, *(spec.start if spec.history else ()))
        for name, columns in {"target": spec.stored, "memory_kept": spec.event}.items():
            self.engine.load(name, pa.table({c: pa.array([], TYPES.get(c, pa.int64())) for c in columns}))

    def apply(self, events: list[Event], *, crash: bool = False) -> Counts:
        """One batch; with `crash` the memory is written and the table is not."""
        self.engine.load("events", table(events))
        self.engine.keep("batch", prepared(self.spec, "events"))
        self._settle(everything=any(e["__op"] == "t" for e in events))
        self._write("memory_kept", self.spec.event, self.spec.keys, "remember", "forget")
        if not crash:
            self._write("target", self.spec.stored, self.at, "upserts", "deletes")
        return sum((Counts(**row) for text in self._counts() for row in self.engine.rows(text)), Counts())

    def _settle(self, *, everything: bool) -> None:
        self.engine.keep("stored", "SELECT * FROM target" if everything else self._touched("target"))
        self.engine.keep("remembered", "SELECT * FROM memory_kept" if everything else self._touched("memory_kept", truncates=True))
        remember, forget = remembered_changes(self.spec)
        for name in ("settled", "memory", "upserts", "deletes"):
            self.engine.keep(name, getattr(self.text, name))
        self.engine.keep("remember", remember)
        self.engine.keep("forget", forget)

    def _counts(self) -> list[str]:
        return [self.text.counts]

    def _touched(self, name: str, by: str = "batch", *, truncates: bool = False) -> str:
        also = " UNION ALL SELECT * FROM memory_kept WHERE __op = 't'" if truncates else ""
        return f"SELECT t.* FROM {name} t SEMI JOIN {by} b ON {listed('t.{0} = b.{0}', self.spec.keys, ' AND ')}{also}"

    def _write(self, name: str, columns: tuple[str, ...], at: tuple[str, ...], upserts: str, deletes: str) -> None:
        on = same_place("t", "b", at)
        self.engine.keep(name, f"SELECT t.* FROM {name} t ANTI JOIN {upserts} b ON {on}")
        self.engine.keep(name, f"SELECT t.* FROM {name} t ANTI JOIN {deletes} b ON {on}")
        self._add(name, columns, f"SELECT * FROM {upserts}")

    def _add(self, name: str, columns: tuple[str, ...], sql: str) -> None:
        typed = ", ".join(f"CAST({quote(c)} AS {SQL_TYPES[TYPES.get(c, pa.int64())]}) AS {quote(c)}" for c in columns)
        self.engine.keep(name, f"SELECT {listed('{0}', columns)} FROM {name} UNION ALL SELECT {typed} FROM ({sql}) added")

    def found(self) -> list[dict[str, Any]]:
        return self.engine.rows("SELECT * FROM target")

    def kept(self) -> list[dict[str, Any]]:
        """All that the memory holds."""
        return self.engine.rows("SELECT * FROM memory_kept")

    def waiting(self) -> set[Key]:
        return {key(m) for m in self.kept() if m["__op"] == "u"} - {key(r) for r in self.found()}


class WholeRows(Tables):
    """The short rules, where they are enough; and the shortest, by keys and sequences alone, where these are."""

    shortest = 0

    def _settle(self, *, everything: bool) -> None:
        assert not everything
        text, keep = whole_row_rules(self.spec), self.engine.keep
        keep("located", self._touched("target"))
        keep("remembered", self._touched("memory_kept"))
        keep("settled", text.settled)
        keep("tied", text.tied)
        if self.engine.rows("SELECT COUNT(*) AS tied FROM tied")[0]["tied"]:
            keep("held", self._touched("target", "tied"))
            keep("compared", text.compared)
            keep("upserts", text.all_upserts)
            keep("settled", text.all_settled)
        else:
            self.shortest += 1
            keep("upserts", text.upserts)
        for name in ("deletes", "remember", "forget"):
            keep(name, getattr(text, name))

    def _counts(self) -> list[str]:
        return [whole_row_rules(self.spec).counts]


class InOrder(Tables):
    """The short rules of a history for the keys that they settle, the general ones for those astray."""

    settled_short = 0

    def _settle(self, *, everything: bool) -> None:
        self.everything = everything
        if everything:
            super()._settle(everything=True)
            return
        text, keep, spec = in_order_rules(self.spec), self.engine.keep, self.spec
        keep("stored", self._touched("target"))
        keep("remembered", self._touched("memory_kept", truncates=True))
        for name in ("astray", "upserts"):
            keep(name, getattr(text, name))
        self._add("astray", spec.keys, text.same)
        keep("upserts", text.others)
        for name in ("deletes", "remember", "forget"):
            keep(name, getattr(text, name))
        self.settled_short += self.engine.rows(text.counts)[0]["read"]
        for name in ("batch", "stored", "remembered"):
            keep(f"astray_{name}", self._touched(name, "astray", truncates=name == "remembered"))
        general = of_astray(self.text)
        remember, forget = map(within, remembered_changes(spec))
        for name in ("settled", "memory"):
            keep(name, getattr(general, name))
        for name, columns, sql in (
            ("upserts", spec.stored, general.upserts), ("deletes", self.at, general.deletes),
            ("remember", spec.event, remember), ("forget", spec.keys, forget),
        ):  # fmt: skip
            self._add(name, columns, sql)

    def _counts(self) -> list[str]:
        return [self.text.counts] if self.everything else [in_order_rules(self.spec).counts, of_astray(self.text).counts]


def scd1(tables: Tables) -> dict[Key, dict[str, Any]]:
    return {key(r): {c: r[c] for c in tables.spec.stored if c not in tables.spec.keys} for r in tables.found()}


def versions(tables: Tables) -> dict[tuple[Key, Any], tuple[Any, dict[str, Any]]]:
    spec, found = tables.spec, {}
    for r in tables.found():
        start, end = (tuple(r[c] for c in side) for side in (spec.start, spec.end))
        found[key(r), start] = (None if end[0] is None else end, {c: r[c] for c in spec.data})
    return found


def run(tables: Tables, seed: int, events: list[Event], most: int = 9) -> None:
    """Apply the events shuffled and cut, some batches after a crash between the two commits, some a second time."""
    r, done = random.Random(seed), list[list[Event]]()
    for batch in batches(seed, events, most):
        while r.random() < 0.25:
            tables.apply(batch, crash=True)
        tables.apply(batch).check(f"seed {seed}")
        done.append(batch)
        if r.random() < 0.1:
            tables.apply(r.choice(done)).check(f"seed {seed}, an old batch again")


def agree(tables: Tables, truth: Truth, seed: int) -> None:
    remembered = {tuple(m[s] for s in tables.spec.sequence) for m in tables.kept() if m["__op"] == "t"}
    assert remembered <= truth.truncates, f"seed {seed}"
    assert remembered >= (truth.truncates if tables.spec.history else {*sorted(truth.truncates)[-1:]}), f"seed {seed}"
    if tables.spec.history:
        assert versions(tables) == truth.versions, f"seed {seed}"
    else:
        assert scd1(tables) == truth.rows, f"seed {seed}"
        assert tables.waiting() == truth.waiting, f"seed {seed}"
