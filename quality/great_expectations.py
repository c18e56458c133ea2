"""Great Expectations, called: the only module that imports it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from penstock.errors import MissingExtraError, PipelineFileError, Problem, nearest
from penstock.suites import Expectation, Suite
from penstock.threads import IMPORTING

from .judged import JudgedRows
from .predicates import said


@dataclass(frozen=True)
class Outcome:
    """One expectation's result; `text` says what was found."""

    success: bool
    text: str


def loaded() -> Any:
    """The library. Raises MissingExtraError where it is not installed."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with IMPORTING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import great_expectations as gx
        except ImportError as error:
            raise MissingExtraError("great-expectations", "quality") from error
    return gx


def validate(rows: JudgedRows, suite: Suite) -> list[Outcome]:
    """Evaluate every expectation of the suite on the rows. Raises PipelineFileError for an expectation that does not exist."""
    gx = loaded()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from great_expectations.expectations.registry import list_registered_expectation_implementations

        if unknown := [e.type for e in suite.expectations if e.type not in (known := list_registered_expectation_implementations())]:
            raise PipelineFileError([Problem(f"Great Expectations has no {name!r}{nearest(name, known)}", file=f"{suite.name}.json") for name in unknown])
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asked = gx.ExpectationSuite(name=suite.name, expectations=[{"type": e.type, "kwargs": _typed(e, rows, suite)} for e in suite.expectations])
        source = context.data_sources.add_spark("rows", persist=False) if rows.kind == "spark" else context.data_sources.add_pandas("rows")
        definition = source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
        result = definition.get_batch(batch_parameters={"dataframe": rows.data()}).validate(asked, result_format="SUMMARY")
    return [_outcome(r) for r in result.results]


def _typed(expectation: Expectation, rows: JudgedRows, suite: Suite) -> dict[str, Any]:
    """The arguments, with texts that stand for instants as such where the column holds instants."""
    column = expectation.kwargs.get("column")

    def instant(value: Any) -> Any:
        try:
            return rows.said(datetime.fromisoformat(value)) if isinstance(value, str) else value
        except ValueError as error:
            what = f"{value!r} is no date or time, as column {column!r} holds them; write it as 2026-01-31 or 2026-01-31T12:00:00"
            raise PipelineFileError([Problem(f"{expectation.type}: {what}", file=f"{suite.name}.json")]) from error

    kwargs = dict(expectation.kwargs)
    if column in rows.instants:
        kwargs |= {k: instant(kwargs[k]) for k in ("min_value", "max_value") if k in kwargs}
        if values := kwargs.get("value_set"):
            kwargs["value_set"] = [instant(v) for v in values]
    return kwargs


def _outcome(result: Any) -> Outcome:
    expectation = Expectation(result.expectation_config.type, result.expectation_config.kwargs)
    raised = _exception(result.exception_info)
    found = result.result or {}
    detail = raised or "; ".join(
        f"{k} {found[k]}" for k in ("unexpected_count", "unexpected_percent", "observed_value", "partial_unexpected_list") if found.get(k) is not None
    )
    return Outcome(bool(result.success) and not raised, f"{said(expectation)}: {detail}"[:500])


def _exception(info: Mapping[str, Any] | None) -> str:
    """What an expectation raised; Great Expectations keeps one such record, or one for each metric."""
    if not info:
        return ""
    records = [info] if "raised_exception" in info else list(info.values())
    return "; ".join(f"raised {r.get('exception_message')}" for r in records if isinstance(r, Mapping) and r.get("raised_exception"))
