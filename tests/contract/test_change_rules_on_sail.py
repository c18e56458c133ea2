"""The same rules, rendered for Spark, on Sail: what is written once says the same there."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlglot
from changes_model import HISTORY, SOFT, SPEC, TYPES, Event, batches, key, replay, stream, table

from penstock.changes.events import prepared
from penstock.changes.facts import MergeSpec
from penstock.changes.rules import remembered_changes
from penstock.changes.scd1_general import general_rules
from penstock.changes.scd2 import history_rules
from penstock.config import AwsSettings
from penstock.engines.embedded.sail import session


class SailTables:
    """A table and its memory as rows in Python; every query on Sail, its result kept as files."""

    def __init__(self, spec: MergeSpec, folder: Path) -> None:
        self.spec, self.folder, self.spark, self.number = spec, folder, session(AwsSettings()), itertools.count()
        self.text = history_rules(spec) if spec.history else general_rules(spec)
        self.at = (*spec.keys, *(spec.start if spec.history else ()))
        self.rows: list[Event] = []
        self.memory: list[Event] = []

    def apply(self, events: list[Event]) -> None:
        spec, everything = self.spec, any(e["__op"] == "t" for e in events)
        mine = {key(e) for e in events}
        self._load("events", table(events))
        self._keep("batch", prepared(spec, "events"))
        self._load("stored", self._arrow(spec.stored, [r for r in self.rows if everything or key(r) in mine]))
        self._load("remembered", self._arrow(spec.event, [m for m in self.memory if everything or m["__op"] == "t" or key(m) in mine]))
        for name in ("settled", "memory", "upserts", "deletes"):
            self._keep(name, getattr(self.text, name))
        remember, forget = (self._run(text) for text in remembered_changes(spec))
        changed, gone, (counts,) = (self._run(text) for text in ("SELECT * FROM upserts", "SELECT * FROM deletes", self.text.counts))
        assert counts["read"] == sum(n for what, n in counts.items() if what != "read") == len(events), counts
        moved = {key(m) for m in forget}
        self.memory = [m for m in self.memory if m["__op"] == "t" or key(m) not in moved] + remember
        places = {self._place(r) for r in (*changed, *gone)}
        self.rows = [r for r in self.rows if self._place(r) not in places] + changed

    def _place(self, row: Event) -> tuple[Any, ...]:
        return tuple(row[c] for c in self.at)

    def _arrow(self, columns: tuple[str, ...], rows: list[Event]) -> pa.Table:
        schema = pa.schema([(c, TYPES.get(c, pa.int64())) for c in columns])
        return pa.Table.from_pylist([{c: r[c] for c in columns} for r in rows], schema=schema)

    def _load(self, name: str, rows: pa.Table) -> None:
        from pyspark.sql.pandas.types import from_arrow_schema

        frame = self.spark.createDataFrame(rows if rows.num_rows else [], from_arrow_schema(rows.schema))
        frame.createOrReplaceTempView(name)

    def _sql(self, text: str) -> Any:
        return self.spark.sql(sqlglot.transpile(text, read="duckdb", write="spark", unsupported_level=sqlglot.ErrorLevel.RAISE)[0])

    def _keep(self, name: str, text: str) -> None:
        """By way of files: a view would be computed anew for every query upon it."""
        frame, path = self._sql(text), str(self.folder / f"{next(self.number)}")
        frame.write.parquet(path)
        self.spark.read.schema(frame.schema).parquet(path).createOrReplaceTempView(name)

    def _run(self, text: str) -> list[Event]:
        found: list[Event] = self._sql(text).toArrow().to_pylist()
        return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spec", [SPEC, SOFT, HISTORY], ids=["scd1", "soft_delete", "scd2"])
def test_streams_end_as_the_model(spec: MergeSpec, seed: int, tmp_path: Path) -> None:
    events, tables = stream(seed, partial=0.2, truncates=0.03, events_a_key=15), SailTables(spec, tmp_path)
    for batch in [b for b in batches(seed, events, most=4) if b]:
        tables.apply(batch)
    truth = replay(spec, events)
    if spec.history:
        ends = [tuple(r[c] for c in spec.end) for r in tables.rows]
        found = {
            (key(r), tuple(r[c] for c in spec.start)): (None if end[0] is None else end, {c: r[c] for c in spec.data})
            for r, end in zip(tables.rows, ends, strict=True)
        }
        assert found == truth.versions, f"seed {seed}"
    else:
        assert {key(r): {c: r[c] for c in (*spec.data, *spec.sequence)} for r in tables.rows} == truth.rows, f"seed {seed}"
