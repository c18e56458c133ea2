"""A gate: rows judged one by one in SQL, then the whole suite by Great Expectations on exactly the rows about to be published."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.changes.facts import is_unavailable
from penstock.engines.base import Session
from penstock.schema import literal, quote
from penstock.sources import OP, REASON
from penstock.suites import Expectation, Suite

from .judged import JudgedRows
from .predicates import holds, said


@dataclass(frozen=True)
class Parts:
    """Relations of the session: `passed` has the columns of the judged rows, `failed` also `__reason`."""

    passed: str = "passed"
    failed: str = "failed"


@dataclass(frozen=True)
class Verdict:
    """What the suite says of some rows; `failures` names each expectation that failed, with what was found."""

    passed: bool
    failures: tuple[str, ...] = ()


def split(session: Session, rows: str, suite: Suite) -> Parts:
    """Judge each row of a relation by the suite's row-level expectations; not what has no image: deletes, truncates, values that an event leaves out."""
    columns = session.columns(rows)
    events = OP in columns
    reasons = ", ".join(f"CASE WHEN {_fails(e, condition, events=events)} THEN {literal(said(e))} END" for e in suite.expectations if (condition := holds(e)))
    reason = f"concat_ws('; ', {reasons})" if reasons else "''"
    if events:
        reason = f"CASE WHEN {OP} IN ('d', 't') THEN '' ELSE {reason} END"
    session.execute(f"CREATE OR REPLACE TEMP TABLE judged AS SELECT *, {reason} AS {REASON} FROM {rows}")
    session.execute(f"CREATE OR REPLACE TEMP VIEW passed AS SELECT {', '.join(map(quote, columns))} FROM judged WHERE {REASON} = ''")
    session.execute(f"CREATE OR REPLACE TEMP VIEW failed AS SELECT * FROM judged WHERE {REASON} <> ''")
    return Parts()


def _fails(expectation: Expectation, condition: str, *, events: bool) -> str:
    left_out = "".join(f" AND NOT ({is_unavailable(c)})" for c in expectation.columns) if events else ""
    return f"NOT ({condition}){left_out}"


def evaluate(rows: JudgedRows, suite: Suite) -> Verdict:
    """The suite's verdict. Never passed: no rows, a missing column, an expectation that raises, one without a result."""
    if not rows.count:
        return Verdict(passed=False, failures=("there is no row to judge",))
    missing = [f"{said(e)}: there is no column {c!r}" for e in suite.expectations for c in e.columns if c not in rows.columns]
    if missing:
        return Verdict(passed=False, failures=tuple(missing))
    from .great_expectations import validate

    outcomes = validate(rows, suite)
    failures = tuple(outcome.text for outcome in outcomes if not outcome.success)
    if len(outcomes) < len(suite.expectations):
        failures += (f"{len(suite.expectations) - len(outcomes)} expectations have no result",)
    return Verdict(not failures, failures)
