"""`delete`, `update`, and overwriting by a window, as a user runs them."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from pipelines import SHOP, Done, Project

PIPELINE = """
pipeline: shop
params: {oldest: "2026-01-03", since: "2026-01-01"}
connections:
  raw: {kind: files, path: landing}
  lake: {kind: catalog, catalog: sqlite, warehouse: warehouse}
tables:
  lake.shop.visits: {format: FORMAT, columns: {id: bigint!, day: date!, note: string}, partition_by: [day]}
  lake.shop.daily: {format: FORMAT, columns: {day: date!, visits: bigint}, partition_by: [PARTITION]}
steps:
  - {id: files, read: {from: raw/visits/, format: csv}}
  - {id: visits, copy: {from: files, into: lake.shop.visits}}
  - {id: old, delete: {from: lake.shop.visits, where: "day < :oldest"}}
  - {id: notes, update: {into: lake.shop.visits, set: {note: "coalesce(note, 'none') || '!'"}, where: "note IS NULL OR note NOT LIKE '%!'"}}
  - id: daily
    transform: {sql: daily.sql, into: lake.shop.daily, write: overwrite_partitions, window: {column: day, from: ":since", until: 2026-02-01}}
"""


@pytest.fixture(params=["iceberg", "delta"])
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    project = Project(tmp_path)
    partition = "months(day)" if request.param == "iceberg" else "day"
    project.write("pipeline.yaml", PIPELINE.replace("FORMAT", request.param).replace("PARTITION", partition))
    project.write("daily.sql", "SELECT day, count(*) AS visits FROM lake.shop.visits GROUP BY day")
    project.write("landing/visits/1.csv", "id,day,note\n1,2026-01-01,a\n2,2026-01-03,\n3,2026-01-04,c!\n")
    return project


def test_rows_are_deleted_and_updated_where_there_are_any_and_once(shop: Project) -> None:
    done, steps = shop.record()
    assert done.code == 0, done.err
    expected = [{"id": 2, "day": "2026-01-03", "note": "none!"}, {"id": 3, "day": "2026-01-04", "note": "c!"}]
    assert shop.rows("lake.shop.visits") == expected
    assert (steps["old"]["counts"]["applied"], steps["notes"]["counts"]["applied"]) == (1, 1)
    again, steps = shop.record()
    assert (again.code, {s["status"] for s in steps.values()}) == (0, {"nothing to do"}), again.err
    shop.write("landing/visits/2.csv", "id,day,note\n4,2026-01-02,late\n5,2026-01-05,e\n")
    assert shop.penstock("run", ".").code == 0
    assert [(r["id"], r["note"]) for r in shop.rows("lake.shop.visits")] == [(2, "none!"), (3, "c!"), (5, "e!")]


@pytest.mark.parametrize(("column", "value"), [("id", "CASE WHEN id > 2 THEN id + 1 END"), ("day", "CASE WHEN id > 9 THEN day END")])
def test_a_column_that_is_never_null_does_not_become_so(shop: Project, column: str, value: str) -> None:
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("""set: {note: "coalesce(note, 'none') || '!'"}""", f"set: {{{column}: {value}}}"))
    refused = shop.penstock("run", ".")
    assert (refused.code, f"would set column {column!r} of 1 rows of lake.shop.visits to NULL" in refused.err) == (1, True), refused.err
    assert [r["id"] for r in shop.rows("lake.shop.visits")] == [2, 3], "deleted, and not updated"


DELETED, UPDATED = 'where: "day < :oldest"', """set: {note: "coalesce(note, 'none') || '!'"}, where: "note IS NULL OR note NOT LIKE '%!'\""""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (DELETED, 'where: "CAST(note AS INT) < 0"', "'c!'"),
        (DELETED, 'where: "id / (id - 3) > 0"', "division by zero"),
        (UPDATED, 'set: {note: "0"}, where: "to_date(note) > :oldest"', '"c!"'),
        (UPDATED, 'set: {note: "note::int"}, where: id > 0', "'c!'"),
        (UPDATED, 'set: {note: "5 % (id - 3)"}, where: id > 0', "division by zero"),
    ],
)
def test_what_has_no_value_stops_the_step(shop: Project, old: str, new: str, said: str) -> None:
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace(old, new))
    shop.write("landing/visits/1.csv", "id,day,note\n3,2026-01-04,c!\n")
    stopped = shop.penstock("run", ".")
    assert (stopped.code, said in stopped.err, "next: TRY_CAST" in stopped.err) == (1, True, True), stopped.err
    assert shop.rows("lake.shop.visits") == [{"id": 3, "day": "2026-01-04", "note": "c!"}]


def test_try_cast_is_null_where_there_is_no_value(shop: Project) -> None:
    written = shop.text("pipeline.yaml").replace("coalesce(note, 'none') || '!'", "coalesce(CAST(TRY_CAST(note AS INT) AS STRING), '!')")
    shop.write("pipeline.yaml", written.replace("day < :oldest", "TRY_CAST(note AS INT) = 7 OR try_divide(id, id - 2) > 5"))
    shop.write("landing/visits/1.csv", "id,day,note\n1,2026-01-01,a\n2,2026-01-03,7\n3,2026-01-04,c!\n4,2026-01-04,8!\n")
    assert shop.penstock("run", ".").code == 0
    assert [(r["id"], r["note"]) for r in shop.rows("lake.shop.visits")] == [(1, "!"), (3, "c!"), (4, "8!")]


def test_partitions_of_the_window_that_are_empty_now_are_emptied(shop: Project) -> None:
    assert shop.penstock("run", ".").code == 0
    assert [r["day"] for r in shop.rows("lake.shop.daily")] == ["2026-01-03", "2026-01-04"]
    assert shop.penstock("run", ".", "--param", "oldest=2026-01-04").code == 0
    assert [r["day"] for r in shop.rows("lake.shop.daily")] == ["2026-01-04"]
    shop.write("landing/visits/2.csv", "id,day,note\n6,2026-02-01,too late\n")
    outside = shop.penstock("run", ".")
    assert (outside.code, "1 rows lie outside the window day from 2026-01-01" in outside.err) == (1, True), outside.err


def test_a_window_may_be_the_data_interval(shop: Project) -> None:
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace('":since", until: 2026-02-01', '":data_interval_start", until: ":data_interval_end"'))
    without = shop.penstock("run", ".")
    assert (without.code, "give it with --data-interval" in without.err) == (2, True), without.err
    done = shop.penstock("run", ".", "--data-interval", "2026-01-01/2026-02-01T00:00:00")
    assert done.code == 0, done.err
    assert [r["day"] for r in shop.rows("lake.shop.daily")] == ["2026-01-03", "2026-01-04"]


def test_a_window_that_ends_amid_a_partition_is_refused(shop: Project) -> None:
    if "months(day)" not in shop.text("pipeline.yaml"):
        pytest.skip("a partition of one value has no middle")
    assert shop.penstock("run", ".").code == 0
    shop.write("landing/visits/2.csv", "id,day,note\n6,2026-01-30,x\n")
    amid = shop.penstock("run", ".", "--param", "since=2026-01-02")
    assert (amid.code, "lies amid a partition of months(day)" in amid.err) == (2, True), amid.err


COPIED = (
    SHOP
    + """  lake.shop.rows: {format: FORMAT, columns: {id: bigint!, p: KIND}, partition_by: ["PARTITION"]}
steps:
  - {id: files, read: {from: raw/rows/, format: csv, TAKE}}
  - {id: rows, copy: {from: files, into: lake.shop.rows, write: WRITE}}
"""
)
# before the window, twice within, and behind it
DAYS = ["1969-12-30", "1969-12-31", "1970-01-01", "1970-01-02"]
INSTANTS = ["1969-12-30T23:59:59.999999Z", "1969-12-31T02:00:00+02:00", "1970-01-01T23:59:59.999999Z", "1970-01-02T00:00:00Z"]
HOURS = ["1969-12-31T22:59:59.999999", "1969-12-31T23:00:00", "1970-01-01T00:59:59.999999", "1970-01-01T01:00:00"]
NUMBERS = ["-6", "-5", "9", "10"]


@pytest.mark.parametrize(
    ("table_format", "kind", "partition", "values", "since", "until", "amid"),
    [
        ("iceberg", "date", "years(p)", ["1967-12-31", "1968-01-01", "1969-12-31", "1970-01-01"], "1968-01-01", "1970-01-01", "1968-02-01"),
        ("iceberg", "timestamp", "years(p)", ["1968-12-31T23:00:00-00:30", *INSTANTS[1:3], "1971-01-01T00:00:00Z"], "1969-01-01", "1971-01-01", "1969-01-02"),
        ("iceberg", "date", "days(p)", DAYS, DAYS[1], DAYS[3], None),
        ("iceberg", "timestamp", "days(p)", INSTANTS, INSTANTS[1], "1970-01-02", "1969-12-31T01:00:00"),
        ("iceberg", "timestamp_ntz", "hours(p)", HOURS, HOURS[1], HOURS[3], "1969-12-31T23:30:00"),
        ("iceberg", "int", "p", NUMBERS, "-5", "10", None),
        ("iceberg", "date", "p", DAYS, DAYS[1], DAYS[3], None),
        ("delta", "int", "p", NUMBERS, "-5", "10", None),
        ("delta", "bigint", "p", NUMBERS, "-5", "10", None),
        ("delta", "date", "p", DAYS, DAYS[1], DAYS[3], None),
        ("delta", "timestamp", "p", INSTANTS, INSTANTS[1], INSTANTS[3], None),
        ("delta", "timestamp_ntz", "p", HOURS, HOURS[1], HOURS[3], None),
    ],
)
def test_a_copy_replaces_the_partitions_of_its_window_and_no_others(
    tmp_path: Path, table_format: str, kind: str, partition: str, values: list[str], since: str, until: str, amid: str | None
) -> None:
    project = Project(tmp_path)
    text = COPIED.replace("FORMAT", table_format).replace("KIND", kind).replace("PARTITION", partition).replace("TAKE", "batch: {max_files: 1}")

    def copy(number: int, rows: dict[int, str], first: str = since) -> Done:
        window = "" if number == 1 else f', window: {{column: p, from: "{first}", until: "{until}"}}'
        project.write("pipeline.yaml", text.replace("WRITE", f"overwrite_partitions{window}"))
        project.write(f"landing/rows/{number}.csv", "id,p\n" + "".join(f"{k},{v}\n" for k, v in rows.items()))
        return project.penstock("run", ".")

    def ids() -> list[int]:
        return [r["id"] for r in project.rows("lake.shop.rows", "id")]

    assert copy(1, dict(enumerate([*values, ""]))).code == 0
    assert ids() == [0, 1, 2, 3, 4]
    done = copy(2, {12: values[2]})
    assert (done.code, ids()) == (0, [0, 3, 4, 12]), done.err
    outside = copy(3, {13: values[2], 14: values[0], 15: values[3], 16: ""})
    assert (outside.code, "3 rows lie outside the window p from" in outside.err, ids()) == (1, True, [0, 3, 4, 12]), outside.err
    if amid:
        project.penstock("batch", "skip", ".", "rows", "3")
        refused = copy(4, {17: values[2]}, amid)
        assert (refused.code, f"lies amid a partition of {partition}" in refused.err, ids()) == (2, True, [0, 3, 4, 12]), refused.err


@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
def test_a_copy_that_overwrites_leaves_what_the_folder_holds_now(tmp_path: Path, table_format: str) -> None:
    project = Project(tmp_path)
    text = COPIED.replace("FORMAT", table_format).replace("KIND", "date").replace("PARTITION", "p").replace("WRITE", "overwrite")
    project.write("pipeline.yaml", text.replace("TAKE", "take: new"))
    wrong = project.penstock("plan", ".")
    assert (wrong.code, "overwrite from files needs `take: all` on the read step" in wrong.err) == (2, True), wrong.err
    project.write("pipeline.yaml", text.replace("TAKE", "take: all"))
    for held in ({1: [(1, DAYS[0]), (2, DAYS[1])], 2: [(3, DAYS[1])]}, {2: [(3, DAYS[1]), (4, None)]}):
        for old in project.folder.glob("landing/rows/*"):
            old.unlink()
        for number, rows in held.items():
            project.write(f"landing/rows/{number}.csv", "id,p\n" + "".join(f"{k},{v or ''}\n" for k, v in rows))
        for status in ("done", "nothing to do"):
            done, steps = project.record()
            assert (done.code, steps["rows"]["status"]) == (0, status), done.err
            assert [(r["id"], r["p"]) for r in project.rows("lake.shop.rows")] == [row for rows in held.values() for row in rows]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('where: "day < :oldest"', 'where: "dya < :oldest"', "column 'dya' is not one of"),
        ('where: "day < :oldest"', 'where: "day <"', "does not parse"),
        ('where: "day < :oldest"', 'where: "day < :elder"', "parameter :elder has no value"),
        ('where: "day < :oldest"', 'where: "day < (SELECT max(day) FROM other)"', "one expression over a row is expected"),
        ("set: {note:", "set: {nope:", "column 'nope' is not one of"),
        ("window: {column: day", "window: {column: visits", "by which the table is partitioned"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(shop: Project, old: str, new: str, said: str) -> None:
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace(old, new))
    wrong = shop.penstock("plan", ".")
    assert (wrong.code, said in wrong.err, "pipeline.yaml:" in wrong.err) == (2, True, True), wrong.err


@pytest.mark.parametrize("partition", ["day", "months(day)", "bucket(4, id)"])
def test_rows_move_to_the_partitions_of_their_new_values_once_however_often_the_run_is_killed(shop: Project, partition: str) -> None:
    if partition != "day" and "format: delta" in shop.text("pipeline.yaml"):
        pytest.skip("Delta has partitions by columns alone")
    moved = """set: {day: "date_add(day, 40)", note: "concat(note, '!')"}, where: "note NOT LIKE '%!'\""""
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace(UPDATED, moved).replace("partition_by: [day]", f'partition_by: ["{partition}"]', 1))
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("until: 2026-02-01", "until: 2026-04-01"))
    shop.write("landing/visits/1.csv", "id,day,note\n1,2026-01-01,a\n2,2026-01-03,b\n3,2026-01-04,c!\n4,2026-01-31,d\n")
    for point in ("before_commit:2", "after_commit:2", "before_commit", "after_commit"):  # of the delete, then of the update
        assert shop.process("run", ".", PENSTOCK_KILL_AT=point).code == -signal.SIGKILL, point
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err
    expected = [(2, "2026-02-12", "b!"), (3, "2026-01-04", "c!"), (4, "2026-03-12", "d!")]
    assert [tuple(r.values()) for r in shop.rows("lake.shop.visits")] == expected
    assert [tuple(r.values()) for r in shop.rows("lake.shop.visits WHERE day = DATE '2026-02-12'")] == expected[:1], "it is found by its partition"
    assert sorted(shop.batches("lake.shop.visits")) == [1, 1, 1], "each step's batch once"
