"""Change streams through the engine onto real tables, in every format and catalog, end as the model does."""

from __future__ import annotations

import itertools
import random
import secrets
from dataclasses import replace
from typing import Any

import pytest
from changes_model import SPEC, batches, settled, stream, table

from penstock.changes.counts import Counts
from penstock.config import AwsSettings
from penstock.connectors.catalogs import Catalog
from penstock.engines.embedded import files, routing
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.schema import Column, sequence_columns
from penstock.tables import LakeTable, PartitionField

COLUMNS = tuple(Column.parse(n, t) for n, t in {"tenant": "bigint!", "Customer Id": "string!", "order": "bigint", "note": "string"}.items())


class Merged:
    """A keyed table with its memory."""

    def __init__(self, catalog: Catalog, table_format: str, *partitions: PartitionField) -> None:
        name = f"m_{secrets.token_hex(4)}"
        hidden = sequence_columns(SPEC.sequences)
        self.table: LakeTable = catalog.create("ops", name, table_format, (*COLUMNS, *hidden), partitions)
        self.memory: LakeTable = catalog.create("ops", f"{name}__memory", table_format, (*COLUMNS[:2], *hidden))
        self.engine = EmbeddedEngine(AwsSettings.from_environment())

    def apply(self, events: list[dict[str, Any]], batch: int, *, crash: bool = False) -> Counts:
        with self.engine.session() as session:
            session.load("batch", table(events))
            pinned, remembered = self.table.pin(), self.memory.pin()
            found = session.settle(SPEC, self.table, pinned, self.memory, remembered)
            reminder = session.rewrite(self.memory, remembered, found.remember, found.forget, f"r{batch}")
            assert self.memory.commit(remembered, replace(reminder, ledger={"p/s": batch})).state == "done"
            if not crash:
                change = session.rewrite(self.table, pinned, found.upserts, found.deletes, f"r{batch}")
                assert self.table.commit(pinned, replace(change, ledger={"p/s": batch})).state == "done"
        return found.counts.check(f"batch {batch}")

    def rows(self) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        with self.engine.session() as session:
            session.scan("now", self.table, self.table.pin())
            found = [tuple(row[c] for c in SPEC.stored) for row in session.query("SELECT * FROM now").to_pylist()]
        assert len(found) == len({row[:2] for row in found}), "a key stands twice"
        return {row[:2]: row for row in found}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("partitions", [(), (PartitionField("identity", "order"),)], ids=["flat", "partitioned"])
def test_streams_end_as_the_model(catalog: Catalog, table_format: str, seed: int, partitions: tuple[PartitionField, ...]) -> None:
    """A row that moves to another partition leaves its old one: the table is partitioned by what the events change."""
    events, r = stream(seed), random.Random(seed)
    merged = Merged(catalog, table_format, *partitions)
    for i, batch in enumerate([*batches(seed, events)[:5], events], 1):
        if r.random() < 0.3:
            merged.apply(batch, i, crash=True)
        merged.apply(batch, i)
    assert merged.rows() == settled(events), f"seed {seed}"


def test_large_files_are_divided_by_key_and_small_changes_touch_one(catalog: Catalog, table_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (files, routing):
        monkeypatch.setattr(module, "FILE_ROWS", 4096)
    monkeypatch.setattr(files, "ROW_GROUP_ROWS", 2048)
    merged = Merged(catalog, table_format)

    def event(i: int, at: int, note: str) -> dict[str, Any]:
        return {"tenant": i, "Customer Id": "x", "order": i, "note": note, "__sequence_1": at, "__sequence_2": 0, "__op": "c", "__position": f"f#{i}"}

    merged.apply([event(i, 1, "first") for i in random.Random(1).sample(range(20_000), 20_000)], 1)
    before = {f.uri: f for f in merged.table.files(merged.table.pin())}
    ranges = sorted((f.lower["tenant"], f.upper["tenant"]) for f in before.values())
    assert len(before) == 5
    assert all(a[1] < b[0] for a, b in itertools.pairwise(ranges)), "files overlap"
    merged.apply([event(7, 2, "second"), event(20_001, 2, "new")], 2)
    after = {f.uri for f in merged.table.files(merged.table.pin())}
    assert len(set(before) - after) == 2
    rows = merged.rows()
    assert (len(rows), rows[7, "x"][3], rows[20_001, "x"][3]) == (20_001, "second", "new")
