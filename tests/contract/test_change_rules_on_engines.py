"""The same rules, rendered for Spark, on Sail and on Spark itself: what is written once says the same there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
import sqlglot
from changes_model import HISTORY, NULL_UPDATES, ONE_PART, SOFT, SPEC, TYPES, Event, replay, stream
from changes_tables import Duck, Engine, InOrder, Tables, WholeRows, agree, run, versions

from penstock.changes.facts import MergeSpec
from penstock.config import AwsSettings
from penstock.engines.embedded.sail import session
from penstock.engines.spark.arrow import framed, to_arrow

ALL = {"partial": 0.2, "truncates": 0.01}
RULES: dict[str, tuple[type[Tables], MergeSpec, dict[str, float]]] = {
    "scd1": (Tables, SPEC, ALL),
    "scd1_of_whole_rows": (WholeRows, SPEC, {}),
    "soft_delete": (Tables, SOFT, ALL),
    "scd2": (Tables, HISTORY, ALL),
    "scd2_in_order": (InOrder, replace(HISTORY, tracked=HISTORY.data), {}),
}


ON_SAIL: dict[str, tuple[type[Tables], MergeSpec, dict[str, Any]]] = {
    "scd1_by_one_part": (Tables, ONE_PART["scd1 by one part"], ALL | {"parts": 1}),
    "scd1_with_null_updates": (Tables, NULL_UPDATES["scd1 with NULL updates"], {"truncates": 0.01}),
}


ON_SPARK = ("scd1", "scd2")  # the others are seen by engines in turns, on tables


class Connected:
    """Relations are views of rows that the session was given: a view of a query would be computed anew for every query upon it."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def load(self, name: str, rows: pa.Table) -> None:
        framed(self.session, rows).createOrReplaceTempView(name)

    def keep(self, name: str, sql: str) -> None:
        self.load(name, self._asked(sql))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return self._asked(sql).to_pylist()

    def _asked(self, sql: str) -> pa.Table:
        return to_arrow(self.session.sql(sqlglot.transpile(sql, read="duckdb", write="spark", unsupported_level=sqlglot.ErrorLevel.RAISE)[0]))


@pytest.fixture
def engine(request: pytest.FixtureRequest, on: str) -> Engine:
    if on == "duckdb":
        return Duck()
    if on == "sail":
        return Connected(session(AwsSettings()))
    spark = request.getfixturevalue("spark")
    spark.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")  # a large query over few rows takes longer to compile than to run
    return Connected(spark)


def streams(count: int, **chances: Any) -> list[Event]:
    """Several streams as one, each with keys of its own; a truncate is for all of them."""
    return [
        event if event["__op"] == "t" else event | {"Customer Id": f"{seed} {event['Customer Id']}"}
        for seed in range(count)
        for event in stream(seed, events_a_key=15, **chances)
    ]


@pytest.mark.parametrize(("on", "seed", "rules"), [*(("sail", 7, rules) for rules in RULES | ON_SAIL), *(("spark", 7, rules) for rules in ON_SPARK)])
def test_streams_end_as_the_model(engine: Engine, on: str, rules: str, seed: int) -> None:
    """Four streams in one table, and two batches of them: on Spark a query takes long, its rows do not."""
    made, spec, chances = (RULES | ON_SAIL)[rules]
    events, tables = streams(4, **chances), made(spec, engine)
    run(tables, seed, events, most=2 if on == "spark" else 3)
    agree(tables, replay(spec, events), seed)
    for short in ("shortest", "settled_short"):
        assert getattr(tables, short, 1), "the short rules had nothing to do"


@pytest.mark.parametrize("rules", [Tables, InOrder])
@pytest.mark.parametrize("on", ["duckdb", "sail"])
def test_a_version_without_a_sequence_is_the_oldest(engine: Engine, rules: type[Tables]) -> None:
    """As another tool writes it, which knows nothing of hidden columns."""
    tables = rules(HISTORY, engine)
    image = {"tenant": 1, "Customer Id": "a", "order": 1, "Total Amount": None}
    row = dict.fromkeys(HISTORY.stored) | image | {"note": "theirs"}
    engine.load("target", pa.Table.from_pylist([row], schema=pa.schema([(c, TYPES.get(c, pa.int64())) for c in HISTORY.stored])))
    for at, op in ((20, "u"), (15, "u"), (30, "d")):
        tables.apply([dict.fromkeys(TYPES) | image | {"order": at, "__op": op, "__sequence_1": at, "__sequence_2": 0}])
    found = {start[0]: (end and end[0], values["order"]) for (_, start), (end, values) in versions(tables).items()}
    assert found == {None: (15, 1), 15: (20, 15), 20: (30, 20)}
