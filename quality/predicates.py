"""Row-level expectations as SQL conditions, in the dialect of DuckDB and in Great Expectations' own meaning: NULLs are passed over, but by `not_be_null`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from penstock.schema import literal, quote
from penstock.suites import Expectation

_LOOKING_AROUND = re.compile(r"\(\?[=!<]|\\[1-9]")


def sql_value(value: Any) -> str:
    """A JSON value as a SQL literal."""
    if isinstance(value, bool):
        return str(value).upper()
    return str(value) if isinstance(value, int | float) else literal(str(value))


def _bounds(subject: str, kwargs: Mapping[str, Any]) -> str:
    lower, upper = kwargs.get("min_value"), kwargs.get("max_value")
    parts = []
    if lower is not None:
        parts.append(f"{subject} {'>' if kwargs.get('strict_min') else '>='} {sql_value(lower)}")
    if upper is not None:
        parts.append(f"{subject} {'<' if kwargs.get('strict_max') else '<='} {sql_value(upper)}")
    return " AND ".join(parts) or "TRUE"


def _set(column: str, kwargs: Mapping[str, Any]) -> str:
    values = ", ".join(sql_value(v) for v in kwargs["value_set"])
    return f"{column} IN ({values})" if values else "FALSE"


def _matches(column: str, pattern: str) -> str | None:
    """None where RE2, DuckDB's engine, does not know what Python's knows."""
    return None if _LOOKING_AROUND.search(pattern) else f"regexp_matches({column}, {literal(pattern)})"


def _negated(condition: str | None) -> str | None:
    return None if condition is None else f"NOT ({condition})"


_SINGLE: dict[str, Callable[[str, Mapping[str, Any]], str | None]] = {
    "expect_column_values_to_be_between": _bounds,
    "expect_column_values_to_be_in_set": _set,
    "expect_column_values_to_not_be_in_set": lambda c, k: _negated(_set(c, k)),
    "expect_column_values_to_match_regex": lambda c, k: _matches(c, k["regex"]),
    "expect_column_values_to_not_match_regex": lambda c, k: _negated(_matches(c, k["regex"])),
    "expect_column_value_lengths_to_be_between": lambda c, k: _bounds(f"length({c})", k),
    "expect_column_value_lengths_to_equal": lambda c, k: f"length({c}) = {int(k['value'])}",
}

_PASSED_OVER = {"both_values_are_missing": "({0} IS NULL AND {1} IS NULL)", "either_value_is_missing": "({0} IS NULL OR {1} IS NULL)", "never": "FALSE"}


def holds(expectation: Expectation) -> str | None:
    """The condition that a good row meets; None for what judges no single row, judges a share of them, or cannot be said in SQL."""
    kwargs = expectation.kwargs
    if kwargs.get("mostly", 1) != 1 or kwargs.get("row_condition"):
        return None
    if expectation.type == "expect_column_values_to_not_be_null":
        return f"{quote(kwargs['column'])} IS NOT NULL"
    if expectation.type == "expect_column_values_to_be_null":
        return f"{quote(kwargs['column'])} IS NULL"
    if expectation.type == "expect_column_pair_values_a_to_be_greater_than_b":
        a, b = quote(kwargs["column_A"]), quote(kwargs["column_B"])
        passed_over = _PASSED_OVER.get(kwargs.get("ignore_row_if", "both_values_are_missing"))
        return f"({passed_over.format(a, b)} OR coalesce({a} {'>=' if kwargs.get('or_equal') else '>'} {b}, FALSE))" if passed_over else None
    if expectation.type not in _SINGLE:
        return None
    column = quote(kwargs["column"])
    condition = _SINGLE[expectation.type](column, kwargs)
    return None if condition is None else f"({column} IS NULL OR ({condition}))"


def said(expectation: Expectation) -> str:
    """The expectation in one line, as a reason."""
    rest = {k: v for k, v in expectation.kwargs.items() if not k.startswith("column") and k not in ("mostly", "batch_id")}
    detail = ", ".join(f"{k}={v}" for k, v in rest.items())
    return f"{' / '.join(expectation.columns)}: {expectation.type}" + (f" ({detail})" if detail else "")
