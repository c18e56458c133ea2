"""Gates: what is judged, by whom, and that nothing passes on nothing."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from penstock.changes.facts import unavailable
from penstock.config import AwsSettings
from penstock.engines.base import Engine, Session
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.errors import PipelineFileError
from penstock.quality.gate import evaluate, split
from penstock.quality.judged import judged_rows
from penstock.quality.predicates import holds
from penstock.quality.reconcile import compare
from penstock.suites import Expectation, Suite

ROW_LEVEL: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_values_to_not_be_null", {"column": "n"}),
    ("expect_column_values_to_be_null", {"column": "n"}),
    ("expect_column_values_to_be_between", {"column": "n", "min_value": -1, "max_value": 2}),
    ("expect_column_values_to_be_between", {"column": "n", "min_value": 0, "strict_min": True}),
    ("expect_column_values_to_be_between", {"column": "d", "max_value": 1.5, "strict_max": True}),
    ("expect_column_values_to_be_between", {"column": "day", "min_value": "2024-01-02"}),
    ("expect_column_values_to_be_between", {"column": "at", "min_value": "2024-01-01T23:30:00"}),
    ("expect_column_values_to_be_between", {"column": "at", "max_value": "2024-01-02T00:00:00+01:00"}),
    ("expect_column_values_to_be_between", {"column": "clock", "min_value": "2024-03-31T02:30:00", "strict_min": True}),
    ("expect_column_values_to_be_in_set", {"column": "day", "value_set": ["2024-01-01"]}),
    ("expect_column_values_to_not_be_in_set", {"column": "clock", "value_set": ["2024-03-31 02:30:00"]}),
    ("expect_column_values_to_be_in_set", {"column": "t", "value_set": ["a", "it's"]}),
    ("expect_column_values_to_not_be_in_set", {"column": "t", "value_set": ["a", ""]}),
    ("expect_column_values_to_match_regex", {"column": "t", "regex": "^[a-z]'?"}),
    ("expect_column_values_to_not_match_regex", {"column": "t", "regex": "s$"}),
    ("expect_column_value_lengths_to_be_between", {"column": "t", "min_value": 1, "max_value": 3}),
    ("expect_column_value_lengths_to_equal", {"column": "t", "value": 4}),
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "n", "column_B": "m"}),
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "n", "column_B": "m", "or_equal": True, "ignore_row_if": "either_value_is_missing"}),
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "three", "column_B": "m"}),
]


@pytest.fixture
def session() -> Iterator[Session]:
    with EmbeddedEngine(AwsSettings()).session() as found:
        yield found


def suite(*expectations: tuple[str, dict[str, Any]]) -> Suite:
    return Suite("suite", tuple(Expectation(t, k) for t, k in expectations), {})


def rows(seed: int) -> pa.Table:
    import datetime as dt
    from decimal import Decimal

    r = random.Random(seed)
    count = r.randint(1, 12)
    start, night = dt.datetime(2024, 1, 1, 23, tzinfo=dt.UTC), dt.datetime(2024, 3, 31, 2, 30)
    minutes = [None, *(dt.timedelta(minutes=n) for n in (0, 1, 30))]
    return pa.table({
        "three": pa.array([3] * count, pa.int64()),
        "n": pa.array([r.choice((None, -1, 0, 1, 2, 3)) for _ in range(count)], pa.int64()),
        "m": pa.array([r.choice((None, 0, 1)) for _ in range(count)], pa.int64()),
        "d": pa.array([r.choice((None, Decimal("1.49"), Decimal("1.50"))) for _ in range(count)], pa.decimal128(12, 2)),
        "day": pa.array([r.choice((None, dt.date(2024, 1, 1), dt.date(2024, 1, 2))) for _ in range(count)], pa.date32()),
        "at": pa.array([None if at is None else start + at for at in r.choices(minutes, k=count)], pa.timestamp("us", "UTC")),
        "clock": pa.array([None if at is None else night + at for at in r.choices(minutes, k=count)], pa.timestamp("us")),
        "t": pa.array([r.choice((None, "", "a", "it's", "Zs")) for _ in range(count)], pa.string()),
        "__position": [f"f#{i}" for i in range(count)],
    })  # fmt: skip


@pytest.mark.parametrize("case", range(len(ROW_LEVEL)), ids=lambda i: ROW_LEVEL[i][0][7:])
def test_the_predicate_and_great_expectations_agree(session: Session, case: int) -> None:
    judged = suite(ROW_LEVEL[case])
    assert holds(judged.expectations[0])
    seen = set()
    for seed in range(6):
        data = rows(seed)
        session.load("rows", data)
        parts = split(session, "rows", judged)
        failed = session.query(f"SELECT * FROM {parts.failed}").num_rows
        passed = session.query(f"SELECT * FROM {parts.passed}").num_rows
        assert passed + failed == data.num_rows
        verdict = evaluate(judged_rows(data.drop_columns(["__position"])), judged)
        assert verdict.passed == (failed == 0), f"seed {seed}: {verdict}"
        seen.add(verdict.passed)
    assert False in seen, "no seed made this expectation fail"


def test_reasons_name_every_expectation_that_failed(session: Session) -> None:
    session.load("rows", pa.table({"n": [9], "t": ["x"], "__position": ["f#1"], "__op": ["u"], "__unavailable": pa.array([None], pa.string())}))
    judged = suite(
        ("expect_column_values_to_be_between", {"column": "n", "max_value": 5}), ("expect_column_values_to_be_in_set", {"column": "t", "value_set": ["a"]})
    )
    (bad,) = session.query(f"SELECT * FROM {split(session, 'rows', judged).failed}").to_pylist()
    assert bad["__reason"] == "n: expect_column_values_to_be_between (max_value=5); t: expect_column_values_to_be_in_set (value_set=['a'])"


def test_a_value_that_an_event_leaves_out_is_not_judged(session: Session) -> None:
    left_out = pa.array([unavailable(["t"]), None], pa.string())
    session.load(
        "rows", pa.table({"n": [1, 2], "t": pa.array([None, None], pa.string()), "__position": ["f#1", "f#2"], "__op": ["u", "u"], "__unavailable": left_out})
    )
    parts = split(session, "rows", suite(("expect_column_values_to_not_be_null", {"column": "t"})))
    assert session.query(f"SELECT n FROM {parts.passed}")["n"].to_pylist() == [1]


def test_a_delete_has_no_image_to_judge(session: Session) -> None:
    session.load("rows", pa.table({"n": pa.array([None], pa.int64()), "__position": ["f#1"], "__op": ["d"], "__unavailable": pa.array([None], pa.string())}))
    parts = split(session, "rows", suite(("expect_column_values_to_not_be_null", {"column": "n"})))
    assert session.query(f"SELECT * FROM {parts.failed}").num_rows == 0


NOTHING: dict[str, tuple[pa.Table, Suite, str]] = {
    "no rows": (pa.table({"n": pa.array([], pa.int64())}), suite(ROW_LEVEL[0]), "no row to judge"),
    "no column": (pa.table({"x": [1]}), suite(ROW_LEVEL[0]), "there is no column 'n'"),
    "an expectation that raises": (pa.table({"t": ["a"]}), suite(("expect_column_values_to_match_regex", {"column": "t", "regex": "("})), "raised"),
    "an aggregate": (pa.table({"n": [1, 1]}), suite(("expect_column_values_to_be_unique", {"column": "n"})), "unexpected_count 2"),
    "a share": (pa.table({"n": [1, None, None]}), suite(("expect_column_values_to_not_be_null", {"column": "n", "mostly": 0.5})), "unexpected_percent"),
}


@pytest.mark.parametrize("case", NOTHING, ids=str)
def test_what_never_passes(case: str) -> None:
    data, judged, message = NOTHING[case]
    verdict = evaluate(judged_rows(data), judged)
    assert not verdict.passed
    assert message in " ".join(verdict.failures)


def test_an_expectation_that_does_not_exist_is_the_users_error() -> None:
    with pytest.raises(PipelineFileError, match="did you mean 'expect_column_values_to_be_between'"):
        evaluate(judged_rows(pa.table({"n": [1]})), suite(("expect_column_values_to_be_betwen", {"column": "n"})))


def test_a_text_that_is_no_date_is_the_users_error() -> None:
    with pytest.raises(PipelineFileError, match=r"suite.json: expect_column_max_to_be_between: 'yesterday' is no date or time, as column 'day' holds them"):
        evaluate(judged_rows(rows(2)), suite(("expect_column_max_to_be_between", {"column": "day", "min_value": "yesterday"})))


OF_ALL_ROWS: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_values_to_be_unique", {"column": "n"}),
    ("expect_column_values_to_not_be_null", {"column": "t", "mostly": 0.8}),
    ("expect_column_max_to_be_between", {"column": "at", "min_value": "2024-01-01T23:30:00Z"}),
    ("expect_column_min_to_be_between", {"column": "day", "max_value": "2024-01-01"}),
    ("expect_column_mean_to_be_between", {"column": "d", "min_value": 1.494}),
    ("expect_column_sum_to_be_between", {"column": "d", "max_value": 5.98}),
    ("expect_column_distinct_values_to_be_in_set", {"column": "clock", "value_set": ["2024-03-31T02:30:00"]}),
    ("expect_column_unique_value_count_to_be_between", {"column": "m", "min_value": 2}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["m", "n"]}),
    ("expect_table_row_count_to_be_between", {"min_value": 4, "max_value": 9}),
]


def test_rows_are_judged_on_spark_as_in_this_process(on_spark: Engine, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    # of a pair of which one is NULL, Great Expectations says on Spark that it is good
    alike = [e for e in ROW_LEVEL if "column_A" not in e[1] or e[1].get("ignore_row_if") == "either_value_is_missing"]
    judged, seen = suite(*alike, *OF_ALL_ROWS), set()
    shown = ", ".join(f'"{c}"' for c in rows(0).column_names[:-1])
    try:
        for seed in range(2):
            said = []
            with on_spark.session() as there:
                for asked in (session, there):
                    asked.load("rows", rows(seed))
                    said.append(evaluate(judged_rows(asked.frame(f"SELECT {shown} FROM rows")), judged))
            alone, far = (sorted(re.split(r" \(|: (?!expect)", failure)[0] for failure in verdict.failures) for verdict in said)
            assert far == alone, f"seed {seed}: {said}"
            seen |= set(alone)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert len(seen) > 10, seen


RECONCILED = {
    "a changed value": ([(1, "a"), (2, "b")], [(1, "a"), (2, "c")], (1, 1, 0, 0, 0)),
    "two values swapped": ([(1, "a"), (2, "b")], [(1, "b"), (2, "a")], (0, 2, 0, 0, 0)),
    "NULL and empty": ([(1, None)], [(1, "")], (0, 1, 0, 0, 0)),
    "trailing blanks": ([(1, "a")], [(1, "a ")], (0, 1, 0, 0, 0)),
    "a row on one side": ([(1, "a"), (2, "b")], [(1, "a"), (3, "b")], (1, 0, 1, 1, 0)),
    "a key twice": ([(1, "a"), (1, "a")], [(1, "a")], (2, 0, 0, 0, 1)),
    "all equal": ([(1, None), (2, "b")], [(2, "b"), (1, None)], (2, 0, 0, 0, 0)),
}


@pytest.mark.parametrize("case", RECONCILED, ids=str)
def test_reconciliation_sees_values_not_counts(session: Session, case: str) -> None:
    left, right, expected = RECONCILED[case]
    for name, side in (("l", left), ("r", right)):
        session.load(f"side_{name}", pa.table({"id": [i for i, _ in side], "v": pa.array([v for _, v in side], pa.string())}))
    found = compare(session, "side_l", "side_r", ["id"], ["v"])
    assert (found.matched, found.different, found.only_left, found.only_right, found.duplicates) == expected
    assert found.equal == (case == "all equal")


def test_decimals_of_other_scales_are_equal(session: Session) -> None:
    session.execute("CREATE TABLE l AS SELECT 1 AS id, CAST(1.10 AS DECIMAL(10, 2)) AS v")
    session.execute("CREATE TABLE r AS SELECT 1 AS id, CAST(1.1 AS DECIMAL(20, 5)) AS v")
    assert compare(session, "l", "r", ["id"], ["v"]).equal
