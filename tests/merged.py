"""A keyed table with its memory, merged into by the engine; streams run through it, compared with the model."""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
from changes_model import SPEC, Event, Key, batches, key, replay, table

from penstock.changes.counts import Counts
from penstock.changes.events import prepared
from penstock.changes.facts import MergeSpec, memory_columns
from penstock.config import AwsSettings
from penstock.connectors.catalogs import Catalog
from penstock.engines.base import Engine, Work
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.errors import TooHeavyError
from penstock.schema import BIGINT, Column, interval_columns, sequence_columns
from penstock.tables import Design, LakeTable, PartitionField

TEXTS = {
    "tenant": "bigint!", "Customer Id": "string!", "order": "bigint", "Total Amount": "decimal(12,2)", "note": "string", "gone": "boolean",
}  # fmt: skip
SEQUENCE = (BIGINT, BIGINT)


class Kept:
    """A keyed table as it is, to be compared with the model."""

    def __init__(self, spec: MergeSpec, table: LakeTable, engine: Engine | None = None) -> None:
        self.spec, self.table = spec, table
        self.engine = engine or EmbeddedEngine(AwsSettings.from_environment())

    def found(self) -> list[dict[str, Any]]:
        with self.engine.session() as session:
            session.scan("now", self.table, self.table.pin())
            return session.query("SELECT * FROM now").to_pylist()

    def rows(self) -> dict[Key, dict[str, Any]]:
        """SCD 1, by key."""
        rows = self.found()
        assert len(rows) == len({key(row) for row in rows}), "a key stands twice"
        return {key(row): {c: row[c] for c in (*self.spec.data, *self.spec.sequence)} for row in rows}

    def versions(self) -> dict[tuple[Key, Any], tuple[Any, dict[str, Any]]]:
        """SCD 2, from (key, start) to (end, values)."""
        rows = [(key(row), *(tuple(row[c] for c in side) for side in (self.spec.start, self.spec.end)), row) for row in self.found()]
        assert len(rows) == len({(k, start) for k, start, _, _ in rows}), "a version stands twice"
        return {(k, start): (None if end[0] is None else end, {c: row[c] for c in self.spec.data}) for k, start, end, row in rows}

    def agrees(self, events: list[Event], seed: int) -> None:
        truth = replay(self.spec, events)
        assert (self.versions() if self.spec.history else self.rows()) == (truth.versions if self.spec.history else truth.rows), f"seed {seed}"


class Merged(Kept):
    """A new keyed table with its memory."""

    texts: Mapping[str, str] = TEXTS

    def __init__(
        self,
        catalog: Catalog,
        table_format: str,
        *partitions: PartitionField,
        spec: MergeSpec = SPEC,
        position_deletes: bool = False,
        engine: Engine | None = None,
    ) -> None:
        name = f"m_{secrets.token_hex(4)}"
        declared = tuple(Column.parse(c, self.texts[c]) for c in (*spec.keys, *spec.data))
        sequence = SEQUENCE[: spec.sequences]
        hidden = interval_columns(sequence) if spec.history else sequence_columns(sequence)
        table = catalog.create("ops", name, table_format, (*declared, *hidden), partitions, design=Design(position_deletes=position_deletes))
        super().__init__(spec, table, engine)
        self.memory: LakeTable = catalog.create("ops", f"{name}__memory", table_format, memory_columns(spec, (*declared, *sequence_columns(sequence))))

    def apply(self, events: list[Event], batch: int, *, crash: bool = False) -> Counts:
        try:
            return self._applied(events, batch, crash=crash)
        except TooHeavyError:
            return self._applied(events, batch, crash=crash)

    def _applied(self, events: list[Event], batch: int, *, crash: bool) -> Counts:
        pinned, remembered = self.table.pin(), self.memory.pin()
        with self.engine.session(work=Work(lambda: 0, self.table, pinned)) as session:
            session.load("events", self.said(events))
            session.execute(f"CREATE TABLE batch AS {prepared(self.spec, 'events')}")
            found = session.settle(self.spec, self.table, pinned, self.memory, remembered)
            reminder = session.rewrite(self.memory, remembered, found.remember, found.forget, f"r{batch}")
            assert self.memory.commit(remembered, replace(reminder, ledger={"p/s": batch})).state == "done"
            if not crash:
                change = session.rewrite(self.table, pinned, found.upserts, found.deletes, f"r{batch}")
                assert self.table.commit(pinned, replace(change, ledger={"p/s": batch})).state == "done"
        return found.counts.check(f"batch {batch}")

    def said(self, events: list[Event]) -> pa.Table:
        return table(events)


def run(merged: Merged, events: list[Event], seed: int) -> None:
    r = random.Random(seed)
    for i, batch in enumerate([*batches(seed, events)[:4], events], 1):
        if r.random() < 0.3:
            merged.apply(batch, i, crash=True)
        merged.apply(batch, i)
    merged.agrees(events, seed)
