"""Change streams through the engine onto real tables, in every format and catalog, end as the model does."""

from __future__ import annotations

import itertools
import random
import secrets
from dataclasses import replace
from typing import Any

import pytest
from changes_model import HISTORY, SOFT, SPEC, TYPES, Event, Key, batches, key, replay, stream, table

from penstock.changes.counts import Counts
from penstock.changes.events import prepared
from penstock.changes.facts import MergeSpec, memory_columns
from penstock.config import AwsSettings
from penstock.connectors.catalogs import Catalog
from penstock.engines.embedded import files, routing
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.schema import BIGINT, Column, interval_columns, sequence_columns
from penstock.tables import LakeTable, PartitionField

TEXTS = {
    "tenant": "bigint!", "Customer Id": "string!", "order": "bigint", "Total Amount": "decimal(12,2)", "note": "string", "gone": "boolean",
}  # fmt: skip
SEQUENCE = (BIGINT, BIGINT)


class Merged:
    """A keyed table with its memory."""

    def __init__(self, catalog: Catalog, table_format: str, *partitions: PartitionField, spec: MergeSpec = SPEC) -> None:
        self.spec, name = spec, f"m_{secrets.token_hex(4)}"
        declared = tuple(Column.parse(c, TEXTS[c]) for c in (*spec.keys, *spec.data))
        hidden = interval_columns(SEQUENCE) if spec.history else sequence_columns(SEQUENCE)
        self.table: LakeTable = catalog.create("ops", name, table_format, (*declared, *hidden), partitions)
        self.memory: LakeTable = catalog.create("ops", f"{name}__memory", table_format, memory_columns(spec, (*declared, *sequence_columns(SEQUENCE))))
        self.engine = EmbeddedEngine(AwsSettings.from_environment())

    def apply(self, events: list[Event], batch: int, *, crash: bool = False) -> Counts:
        with self.engine.session() as session:
            session.load("events", table(events))
            session.execute(f"CREATE TABLE batch AS {prepared(self.spec, 'events')}")
            pinned, remembered = self.table.pin(), self.memory.pin()
            found = session.settle(self.spec, self.table, pinned, self.memory, remembered)
            reminder = session.rewrite(self.memory, remembered, found.remember, found.forget, f"r{batch}")
            assert self.memory.commit(remembered, replace(reminder, ledger={"p/s": batch})).state == "done"
            if not crash:
                change = session.rewrite(self.table, pinned, found.upserts, found.deletes, f"r{batch}")
                assert self.table.commit(pinned, replace(change, ledger={"p/s": batch})).state == "done"
        return found.counts.check(f"batch {batch}")

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


def run(merged: Merged, events: list[Event], seed: int) -> None:
    r = random.Random(seed)
    for i, batch in enumerate([*batches(seed, events)[:4], events], 1):
        if r.random() < 0.3:
            merged.apply(batch, i, crash=True)
        merged.apply(batch, i)
    merged.agrees(events, seed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("partitions", [(), (PartitionField("identity", "order"),)], ids=["flat", "partitioned"])
def test_whole_rows_end_as_the_model(catalog: Catalog, table_format: str, seed: int, partitions: tuple[PartitionField, ...]) -> None:
    """A row that moves to another partition leaves its old one: the table is partitioned by what the events change."""
    run(Merged(catalog, table_format, *partitions), stream(seed), seed)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("spec", [SPEC, SOFT, HISTORY], ids=["scd1", "soft_delete", "scd2"])
def test_partial_rows_and_truncates_end_as_the_model(catalog: Catalog, table_format: str, seed: int, spec: MergeSpec) -> None:
    events = stream(seed, partial=0.2, truncates=0.03, events_a_key=20)
    run(Merged(catalog, table_format, PartitionField("identity", "order"), spec=spec), events, seed)


def test_a_truncate_reaches_what_comes_late_and_leaves_what_is_newer(catalog: Catalog, table_format: str) -> None:
    def event(op: str, at: int, tenant: int | None = None) -> Event:
        return dict.fromkeys(TYPES) | {"tenant": tenant, "Customer Id": tenant and "x", "__op": op, "__sequence_1": at, "__sequence_2": 0}

    merged = Merged(catalog, table_format)
    merged.apply([event("c", 1, 1), event("c", 9, 2)], 1)
    counts = merged.apply([event("t", 5)], 2)
    assert (counts.applied, list(merged.rows())) == (1, [(2, "x")])
    late = merged.apply([event("c", 4, 3), event("c", 6, 4)], 3)
    assert (late.applied, late.superseded, sorted(merged.rows())) == (1, 1, [(2, "x"), (4, "x")])
    assert merged.apply([event("t", 3)], 4).superseded == 1
    assert len(merged.rows()) == 2


def test_large_files_are_divided_by_key_and_small_changes_touch_one(catalog: Catalog, table_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (files, routing):
        monkeypatch.setattr(module, "FILE_ROWS", 4096)
    monkeypatch.setattr(files, "ROW_GROUP_ROWS", 2048)
    merged = Merged(catalog, table_format)

    def event(i: int, at: int, note: str) -> dict[str, Any]:
        return dict.fromkeys(TYPES) | {"tenant": i, "Customer Id": "x", "order": i, "note": note, "__sequence_1": at, "__sequence_2": 0, "__op": "c"}

    merged.apply([event(i, 1, "first") for i in random.Random(1).sample(range(20_000), 20_000)], 1)
    before = {f.uri: f for f in merged.table.files(merged.table.pin())}
    ranges = sorted((f.lower["tenant"], f.upper["tenant"]) for f in before.values())
    assert len(before) == 5
    assert all(a[1] < b[0] for a, b in itertools.pairwise(ranges)), "files overlap"
    merged.apply([event(7, 2, "second"), event(20_001, 2, "new")], 2)
    after = {f.uri for f in merged.table.files(merged.table.pin())}
    assert len(set(before) - after) == 2
    rows = merged.rows()
    assert (len(rows), rows[7, "x"]["note"], rows[20_001, "x"]["note"]) == (20_001, "second", "new")
