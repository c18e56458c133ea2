"""Great Expectations, called: the only module that imports it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from penstock.errors import MissingExtraError, PipelineFileError, Problem, nearest
from penstock.suites import Expectation, Suite
from penstock.threads import IMPORTING

from .predicates import said

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


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


def validate(rows: pa.Table, suite: Suite) -> list[Outcome]:
    """Evaluate every expectation of the suite on the rows. Raises PipelineFileError for an expectation that does not exist."""
    gx = loaded()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from great_expectations.expectations.registry import list_registered_expectation_implementations

        if unknown := [e.type for e in suite.expectations if e.type not in (known := list_registered_expectation_implementations())]:
            raise PipelineFileError([Problem(f"Great Expectations has no {name!r}{nearest(name, known)}", file=f"{suite.name}.json") for name in unknown])
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asked = gx.ExpectationSuite(name=suite.name, expectations=[{"type": e.type, "kwargs": _typed(e, rows)} for e in suite.expectations])
        definition = context.data_sources.add_pandas("rows").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
        result = definition.get_batch(batch_parameters={"dataframe": as_pandas(rows)}).validate(asked, result_format="SUMMARY")
    return [_outcome(r) for r in result.results]


def as_pandas(rows: pa.Table) -> pd.DataFrame:
    """Rows as Great Expectations takes them: decimals as doubles (as objects they cost minutes), dates as timestamps."""
    import pyarrow as pa

    def judged(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_decimal(kind):
            return pa.float64()
        return pa.timestamp("us") if pa.types.is_date(kind) else kind

    schema = pa.schema([pa.field(f.name, judged(f.type)) for f in rows.schema])
    return rows.cast(schema).to_pandas()


def _typed(expectation: Expectation, rows: pa.Table) -> dict[str, Any]:
    """The arguments, with texts that stand for instants as such where the column holds instants."""
    import pyarrow as pa

    column = expectation.kwargs.get("column")
    kind = rows.schema.field(column).type if column in rows.column_names else None
    if kind is None or not pa.types.is_temporal(kind):
        return dict(expectation.kwargs)
    return {k: datetime.fromisoformat(v) if k in ("min_value", "max_value") and isinstance(v, str) else v for k, v in expectation.kwargs.items()}


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
