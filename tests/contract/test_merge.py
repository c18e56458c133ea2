"""Change streams through the engine onto real tables, in every format and catalog, end as the model does."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from changes_model import HISTORY, NULL_UPDATES, ONE_PART, SOFT, SPEC, TYPES, Event, stream
from merged import Merged, run

from penstock.changes.facts import MergeSpec
from penstock.connectors.catalogs import Catalog
from penstock.engines.embedded import files, routing
from penstock.tables import PartitionField


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("partitions", [(), (PartitionField("identity", "order"),)], ids=["flat", "partitioned"])
def test_whole_rows_end_as_the_model(catalog: Catalog, table_format: str, seed: int, partitions: tuple[PartitionField, ...]) -> None:
    """A row that moves to another partition leaves its old one: the table is partitioned by what the events change."""
    run(Merged(catalog, table_format, *partitions), stream(seed), seed)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("spec", [SPEC, SOFT, HISTORY], ids=["scd1", "soft_delete", "scd2"])
def test_partial_rows_and_truncates_end_as_the_model(catalog: Catalog, table_format: str, seed: int, spec: MergeSpec) -> None:
    events = stream(seed, partial=0.2, truncates=0.03, events_a_key=20)
    run(Merged(catalog, table_format, PartitionField("identity", "order"), spec=spec), events, seed)


@pytest.mark.parametrize("name", [*ONE_PART, *NULL_UPDATES])
def test_sequences_of_one_part_and_null_updates_end_as_the_model(lake: Catalog, table_format: str, name: str) -> None:
    spec = (ONE_PART | NULL_UPDATES)[name]
    run(Merged(lake, table_format, spec=spec), stream(6, partial=0 if spec.optional else 0.2, truncates=0.03, events_a_key=15, parts=spec.sequences), 6)


def test_a_history_remembers_every_truncate(lake: Catalog, table_format: str) -> None:
    def event(op: str, at: int) -> Event:
        return dict.fromkeys(TYPES) | {"tenant": 1, "Customer Id": "x", "order": at, "__op": op, "__sequence_1": at, "__sequence_2": 0}

    nothing = {"tenant": None, "Customer Id": None, "order": None}
    said = [event("t", 10) | nothing, event("t", 20) | nothing, event("c", 15), event("c", 5)]
    merged = Merged(lake, table_format, spec=HISTORY)
    for number, one in enumerate(said, 1):
        merged.apply([one], number)
    assert {start: end for (_, start), (end, _) in merged.versions().items()} == {(5, 0): (10, 0), (15, 0): (20, 0)}


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


def test_files_older_than_a_batch_are_known_by_their_statistics_and_no_others(catalog: Catalog, table_format: str) -> None:
    """Sequences are not read of files that are older than all of a batch; one that could hold an event's equal is no such file."""

    def event(op: str, at: int, tenant: int, order: int | None = None) -> dict[str, Any]:
        return dict.fromkeys(TYPES) | {"tenant": tenant, "Customer Id": "x", "order": order, "__op": op, "__sequence_1": at, "__sequence_2": 0}

    merged, every = Merged(catalog, table_format), list[dict[str, Any]]()
    batches = (
        [event("c", 1, 1, 1), event("c", 5, 2, 9), event("d", 4, 3)],
        [event("c", 5, 2, 7)],  # says less than its equal that is stored
        [event("c", 6, 2, 8), event("c", 7, 1, 3), event("c", 8, 3, 1)],
        [event("u", 9, 3, 2), event("d", 9, 1)],
    )
    for number, batch in enumerate(batches, 1):
        every += batch
        merged.apply(batch, number)
        merged.agrees(every, number)


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
