"""Events behind the horizon of a merge's retention, or too far ahead, are kept aside; what no event can need any more is forgotten."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from changes_model import ONE_PART, Event, stream
from merged import TEXTS, Kept
from pipelines import EVENTS, SHOP, Project, context, event, events, lake, truncate

from penstock.jobs.horizon import forget
from penstock.jobs.record import StepRecord
from penstock.jobs.run import run
from penstock.jobs.upkeep import maintain
from penstock.parse import load
from penstock.plan import compile_plan

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def shop(tmp_path: Path, table_format: str) -> Project:
    project = Project(tmp_path)
    text = EVENTS.replace("FORMAT", table_format).replace("into: lake.shop.orders}", "into: lake.shop.orders, retention: 10 days, max_ahead: 1000}")
    project.write("pipeline.yaml", text)
    return project


def deliver(project: Project, day: int, *lines: str, backfill: bool = False) -> StepRecord:
    """A file of events, and a run of that day."""
    project.write(f"landing/orders/{len(list((project.folder / 'landing').rglob('*.json')))}.json", events(*lines))
    loaded = load(project.folder)
    finished = run(loaded, compile_plan(loaded), backfill=backfill, now=START + timedelta(days=day))
    assert finished.error is None, finished.error
    return finished.record.steps[-1]


def reasons(project: Project) -> list[str]:
    return [r["__reason"] for r in project.rows("lake.shop.orders__quarantine", "__reason")]


def test_an_event_behind_the_horizon_is_quarantined_and_a_backfill_takes_it(shop: Project) -> None:
    deliver(shop, 0, event("c", 1, 10, "a"), event("d", 2, 20))
    deliver(shop, 5, event("u", 1, 30, "b"))
    assert deliver(shop, 9, event("c", 3, 15, "late")).counts.quarantined == 0, "day 0 is not ten days ago"
    late = deliver(shop, 12, event("c", 4, 20, "too late"), event("c", 5, 21, "in time"))
    assert (late.counts.quarantined, late.counts.applied, reasons(shop)) == (1, 1, ["behind the horizon of the retention"])
    assert [r["id"] for r in shop.rows("lake.shop.orders", "id")] == [1, 3, 5]
    taken = deliver(shop, 13, event("c", 4, 20, "too late"), backfill=True)
    assert (taken.counts.quarantined, [r["id"] for r in shop.rows("lake.shop.orders", "id")]) == (0, [1, 3, 4, 5])


def test_a_backfill_is_asked_for_by_the_command(shop: Project) -> None:
    today = (datetime.now(UTC) - START).days
    deliver(shop, today - 20, event("c", 1, 10, "a"), event("d", 2, 20))
    shop.write("landing/orders/8.json", events(event("c", 4, 20, "too late")))
    done, steps = shop.record()
    assert (done.code, steps["orders"]["counts"]["quarantined"], [r["id"] for r in shop.rows("lake.shop.orders", "id")]) == (0, 1, [1]), done.err
    shop.write("landing/orders/9.json", events(event("c", 4, 20, "too late")))
    done, steps = shop.record("--backfill")
    assert (done.code, steps["orders"]["counts"]["quarantined"], [r["id"] for r in shop.rows("lake.shop.orders", "id")]) == (0, 0, [1, 4]), done.err


def test_a_truncate_behind_the_horizon_empties_nothing(shop: Project) -> None:
    deliver(shop, 0, event("c", 1, 10, "a"), event("c", 2, 30, "a"))
    assert deliver(shop, 11, truncate(30)).counts.quarantined == 1
    assert len(shop.rows("lake.shop.orders")) == 2


def test_a_sequence_too_far_ahead_does_not_freeze_its_key(shop: Project) -> None:
    deliver(shop, 0, event("c", 1, 10, "a"))
    ahead = deliver(shop, 1, event("u", 1, 1011, "from the future"), event("u", 1, 1010, "b"))
    assert (ahead.counts.quarantined, ahead.counts.applied, reasons(shop)) == (1, 1, ["a sequence too far ahead (max_ahead)"])
    deliver(shop, 2, event("u", 1, 1012, "c"))
    assert shop.rows("lake.shop.orders", "state") == [{"state": "c"}]


def test_a_snapshot_does_not_say_where_the_log_is(shop: Project) -> None:
    deliver(shop, 0, event("r", 1, 24_023_128, "snapshot").replace('[\\"24023128\\"', "[null"))
    assert deliver(shop, 1, event("u", 1, 24_023_500, "b")).counts.applied == 1
    ahead = deliver(shop, 2, event("u", 1, 24_024_501, "from the future"))
    assert (ahead.counts.quarantined, shop.rows("lake.shop.orders", "state, __sequence_1")) == (1, [{"state": "b", "__sequence_1": 24_023_500}])


def test_numbers_below_zero_are_numbers_too(tmp_path: Path, table_format: str) -> None:
    project = Project(tmp_path)
    text = EVENTS.replace("format: debezium, decimal_handling_mode: string", "format: csv").replace("FORMAT", "delta")
    text = text.replace("columns: {id: bigint!", "columns: {id: bigint!, v: int!").replace("orders}", "orders, sequence_by: v, max_ahead: 5}")
    project.write("pipeline.yaml", text)
    for number, rows in enumerate(("1,-9,a,1\n", "1,-4,b,1\n2,-3,a,1\n")):
        project.write(f"landing/orders/{number}.csv", f"id,v,state,amount\n{rows}")
    assert project.penstock("run", ".").code == 0
    assert [(r["id"], r["v"]) for r in project.rows("lake.shop.orders")] == [(1, -4)]


def test_remembered_deletes_are_forgotten_behind_the_horizon_and_not_before(shop: Project) -> None:
    deliver(shop, 0, event("d", 1, 10), event("d", 2, 50))
    deliver(shop, 5, event("d", 3, 60), event("c", 4, 61, "a"))
    step = load(shop.folder).pipeline.step("orders")
    at = replace(context(shop), now=START + timedelta(days=9))
    assert forget(at, step) == 0
    assert sum(m.forgotten for m in maintain(at, ["lake.shop.orders"], now=START + timedelta(days=12))) == 2
    assert [r["id"] for r in shop.rows("lake.shop.orders__memory", "id") if r["id"]] == [3]
    deliver(shop, 12, event("c", 3, 59, "deleted at 60"), event("c", 1, 10, "refused"))
    assert [r["id"] for r in shop.rows("lake.shop.orders", "id")] == [4]


def test_maintenance_forgets_and_leaves_columns_to_the_runs(shop: Project) -> None:
    """It holds no lease: a run at work may be changing them."""
    deliver(shop, 0, event("d", 1, 10), event("d", 2, 50))
    deliver(shop, 5, event("d", 3, 60), event("c", 4, 61, "a"))
    text = shop.text("pipeline.yaml")
    for declared, forgotten in (
        (text.replace("id: bigint!,", "id: bigint!, k: bigint!,").replace("[id]", "[id, k]"), 0),
        (text.replace("{id:", "{more: int, id:"), 2),
    ):
        shop.write("pipeline.yaml", declared)
        done = maintain(context(shop), ["lake.shop.orders"], now=START + timedelta(days=12))
        assert sum(m.forgotten for m in done) == forgotten
        for name in ("orders", "orders__memory"):
            assert {"more", "k"}.isdisjoint(c.name for c in lake(shop, "shop", name).state.columns)
    deliver(
        shop, 12, event("c", 3, 59, "deleted at 60").replace('"state"', '"more": 1, "state"'), event("c", 5, 62, "new").replace('"state"', '"more": 2, "state"')
    )
    assert shop.rows("lake.shop.orders", "id, more") == [{"id": 4, "more": None}, {"id": 5, "more": 2}]


@pytest.mark.parametrize(
    ("kind", "last", "ahead"),
    [
        ("timestamp", "2026-01-03T01:00:00+01:00", "2026-01-02T23:00:00.000001-01:00"),
        ("timestamp_ntz", "2026-01-03T00:00:00", "2026-01-03T00:00:00.000001"),
        ("date", "2026-01-03", "2026-01-04"),
    ],
)
def test_max_ahead_of_times_is_a_duration_from_now(tmp_path: Path, table_format: str, kind: str, last: str, ahead: str) -> None:
    project = Project(tmp_path)
    text = EVENTS.replace("FORMAT", table_format).replace("format: debezium, decimal_handling_mode: string", "format: csv")
    text = text.replace("columns: {id: bigint!", f"columns: {{id: bigint!, at: {kind}!").replace("orders}", "orders, sequence_by: at, max_ahead: 1 day}")
    project.write("pipeline.yaml", text)
    project.write("landing/orders/1.csv", f"id,at,state,amount\n1,{last},a,1\n2,{ahead},b,2\n")
    loaded = load(project.folder)
    done = run(loaded, compile_plan(loaded), now=START + timedelta(days=1)).record.steps[-1]
    assert (done.counts.applied, done.counts.quarantined) == (1, 1), done
    assert (project.rows("lake.shop.orders", "id"), reasons(project)) == ([{"id": 1}], ["a sequence too far ahead (max_ahead)"])
    project.write("pipeline.yaml", text.replace("1 day", "17"))
    wrong = project.penstock("plan", ".")
    assert (wrong.code, "max_ahead is a duration (1 day), not 17" in wrong.err) == (2, True), wrong.err


RETENTION, A_BATCH = 24, 6  # hours; the sequence is an hour too
LATEST = RETENTION - A_BATCH
KINDS = {
    "scd1": ("", ONE_PART["scd1 by one part"]),
    "soft": (", soft_delete: gone, ignore_null_updates_column_list: [note]", replace(ONE_PART["soft_delete by one part"], optional=frozenset({"note"}))),
    "versions": (", stored_as_scd_type: 2, track_history_column_list: [order, Total Amount]", ONE_PART["scd2 by one part"]),
}


def retained(table_format: str) -> str:
    """One feed into a table of each kind."""
    columns = ", ".join(f'"{name}": "{kind}"' for name, kind in TEXTS.items() if name != "gone")
    tables = "".join(
        f"  lake.shop.{name}: {{format: {table_format}, columns: {{{columns}{', gone: boolean' if name == 'soft' else ''}}}, keys: [tenant, Customer Id]}}\n"
        for name in KINDS
    )
    read = f"{{from: raw/events/, format: json, columns: {{{columns}, v: bigint!, op: string}}}}"
    rule = f"sequence_by: v, apply_as_deletes: op = 'd', apply_as_truncates: op = 't', retention: {RETENTION} hours"
    steps = "".join(f"  - {{id: {name}, merge: {{from: files, into: lake.shop.{name}, {rule}{option}}}}}\n" for name, (option, _) in KINDS.items())
    return f"{SHOP}{tables}steps:\n  - {{id: files, read: {read}}}\n{steps}"


def delivered(seed: int) -> Iterator[tuple[int, list[Event]]]:
    """At which hour a batch is there, and its events, some a second time in a later one; none is as old as the retention when it comes.

    Of the keys many rest longer than that.
    """
    r = random.Random(seed)
    said = stream(seed, parts=1, truncates=0.01, keys=4)[:44]
    said = [e if e["__op"] == "t" else e | {"tenant": r.randint(1, 2), "Customer Id": r.choices("abcdef", (8, 4, 2, 1, 1, 1))[0]} for e in said]
    coming: dict[int, list[Event]] = {}
    for e in [*said, *(e for e in said if r.random() < 0.15)]:
        there = e["__sequence_1"] + r.choice((0, r.randint(0, LATEST), LATEST))
        coming.setdefault(-(-there // A_BATCH) * A_BATCH, []).append(e)
    yield from sorted(coming.items())


def as_line(e: Event) -> str:
    row = {c: e[c] for c in TEXTS if c != "gone"} | {"v": e["__sequence_1"], "op": e["__op"]}
    return json.dumps(row, default=str) + "\n"


@pytest.mark.parametrize("seed", [5])
def test_what_is_late_by_less_than_the_retention_ends_as_if_all_were_remembered(tmp_path: Path, table_format: str, seed: int) -> None:
    """The memory is forgotten behind the horizon between the batches."""
    project, said, forgotten = Project(tmp_path), list[Event](), dict.fromkeys(KINDS, 0)
    project.write("pipeline.yaml", retained(table_format))
    loaded = load(project.folder)
    for hour, batch in delivered(seed):
        said += batch
        project.write(f"landing/events/{hour:03}.json", "".join(map(as_line, batch)))
        now = START + timedelta(hours=hour)
        finished = run(loaded, compile_plan(loaded), now=now)
        assert finished.error is None, finished.error
        late = {s.step: s.counts.quarantined for s in finished.record.steps if s.counts.quarantined}
        assert not late, f"seed {seed}, hour {hour}"
        for done in maintain(context(project), now=now):
            forgotten[done.location.split(".")[2].removesuffix("__memory")] += done.forgotten
    for name, (_, spec) in KINDS.items():
        Kept(spec, lake(project, "shop", name)).agrees(said, seed)
    assert (forgotten["scd1"] > 0, forgotten["soft"] > 0, forgotten["versions"]) == (True, True, 0), f"seed {seed}"
