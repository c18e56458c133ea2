"""A pipeline killed at random points of a seed, again and again, ends as one that was not. Faults 1, 2 and 13 of the catalogue."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest
from pipelines import EVENTS, Project, event, events

POINTS = ("after_cut", "after_quarantine", "after_memory", "before_commit", "after_commit", "after_batch")
LIVES = 4
KEPT = """
  - id: kept
    merge: {from: changes, into: lake.shop.kept, stored_as_scd_type: 2}
"""
TABLES = ("lake.shop.orders", "lake.shop.kept", "lake.shop.orders__quarantine", "lake.shop.kept__quarantine")


def landed(r: random.Random) -> dict[str, str]:
    """Files of events of few keys in any order, some twice, some that are none."""
    found = [event(r.choice("cud"), r.randint(1, 6), lsn, r.choice(("new", "paid")), f"{lsn}.00") for lsn in range(1, 60)]
    found += [*r.sample(found, 9), "{", "null"]
    r.shuffle(found)
    cuts = sorted(r.sample(range(1, len(found)), 5))
    return {f"landing/orders/{i}.json": events(*found[a:b]) for i, (a, b) in enumerate(zip([0, *cuts], [*cuts, len(found)], strict=True))}


def project_of(folder: Path, table_format: str) -> Project:
    project, (other,) = Project(folder), {"iceberg", "delta"} - {table_format}
    declared = f'  lake.shop.kept:\n    format: {other}\n    columns: {{id: bigint!, state: string, amount: "decimal(12,2)"}}\n    keys: [id]\nsteps:\n'
    project.write("pipeline.yaml", EVENTS.replace("FORMAT", table_format).replace("steps:\n", declared) + KEPT)
    return project


@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
def test_a_run_killed_at_random_points_ends_as_one_that_was_not(tmp_path: Path, table_format: str, seed: int) -> None:
    r = random.Random(f"{seed} {table_format}")
    killed, whole = project_of(tmp_path / "killed", table_format), project_of(tmp_path / "whole", table_format)
    waiting = list(landed(r).items())
    for name, text in waiting:
        whole.write(name, text)
    assert whole.record()[0].code == 0
    points = []
    while waiting or len(points) < LIVES:
        for name, text in waiting[:2]:
            killed.write(name, text)
        del waiting[:2]
        points.append(f"{r.choice(POINTS)}:{r.randint(1, 4)}")
        done = killed.process("run", ".", PENSTOCK_KILL_AT=points[-1])
        assert done.code in (0, -signal.SIGKILL), (points, done.err)
    done = killed.penstock("run", ".")
    assert done.code == 0, (points, done.err)
    shown = [p.penstock("state", ".", "--json").out for p in (killed, whole)]
    assert [[s["applied"] for s in json.loads(text)] for text in shown] == [[6, 6]] * 2, points
    for table in TABLES:
        columns = "*" if "quarantine" not in table else "__reason, __payload"
        assert killed.rows(table, columns) == whole.rows(table, columns), (table, points)
        assert len(set(killed.batches(table))) == len(killed.batches(table)), (table, points)
