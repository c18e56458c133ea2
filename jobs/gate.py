"""A step's gate on one batch: bad rows aside first, then the verdict on what would be published."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

from penstock.errors import GateStoppedError
from penstock.pipeline import Gate
from penstock.schema import is_reserved, quote
from penstock.suites import Suite, load_suite

from .context import Context
from .record import GateVerdict

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock.engines.base import Session


def _suite(context: Context, gate: Gate) -> Suite:
    return load_suite(context.loaded.folder / f"{gate.suite}.json")


def sort_rows(context: Context, gate: Gate | None, session: Session, rows: str) -> tuple[str, pa.Table | None]:
    """Judge each row of the relation `rows` on its own: the relation of those that may go on, and those that failed, with reasons.

    Raises GateStoppedError for one bad row where the gate says `on_failure: stop`.
    """
    if gate is None:
        return rows, None
    from penstock.quality.gate import split

    parts = split(session, rows, _suite(context, gate))
    failed = session.query(f"SELECT * FROM {parts.failed}")
    if failed.num_rows and gate.on_failure == "stop":
        reasons = "; ".join(sorted({str(r) for r in failed["__reason"].to_pylist()})[:3])
        raise GateStoppedError(
            f"the gate {gate.suite!r} found {failed.num_rows} bad rows: {reasons}",
            hint="correct the source and `penstock batch retry`, or let bad rows be quarantined (on_failure: quarantine), or `penstock batch skip`",
        )
    return parts.passed, failed


def judge(context: Context, gate: Gate | None, session: Session, rows: str, batch: int, *, passed: int) -> tuple[GateVerdict, ...]:
    """The suite's verdict on exactly the rows about to be published; raises GateStoppedError unless it passes.

    `passed` is how many rows came through the row expectations: where it is not 0 and nothing is left to publish (all was known, or superseded),
    there is nothing to judge. A batch without rows never passes.
    """
    if gate is None:
        return ()
    from penstock.quality.gate import evaluate
    from penstock.quality.judged import judged_rows

    shown = ", ".join(quote(c) for c in session.columns(rows) if not is_reserved(c))
    published = judged_rows(session.frame(f"SELECT {shown} FROM {rows}"))
    if passed and not published.count:
        return (GateVerdict(batch, gate.suite, True, ("nothing to publish, nothing judged",)),)
    verdict = evaluate(published, _suite(context, gate))
    if not verdict.passed:
        raise GateStoppedError(
            f"the gate {gate.suite!r} kept batch {batch} ({published.count} rows) from its readers: {'; '.join(verdict.failures[:5])}",
            hint="look with `penstock batch show PIPELINE STEP BATCH`; correct the source or the suite and run again, or `penstock batch skip`",
        )
    return (GateVerdict(batch, gate.suite, True),)


def warm_up() -> None:
    """Begin to load Great Expectations while a batch is still being read: its import alone takes seconds."""

    def load() -> None:
        from penstock.quality.great_expectations import loaded

        loaded()

    Thread(target=load, daemon=True).start()
