"""A Great Expectations suite as a file says it, read without Great Expectations."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.errors import PipelineFileError, Problem


@dataclass(frozen=True)
class Expectation:
    """One expectation: its type's name and its arguments."""

    type: str
    kwargs: Mapping[str, Any]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it looks at."""
        single = [self.kwargs[k] for k in ("column", "column_A", "column_B") if k in self.kwargs]
        return tuple(str(c) for c in (*single, *self.kwargs.get("column_list", ())))


@dataclass(frozen=True)
class Suite:
    """A named set of expectations, as the file has it (`raw`) and as it is used."""

    name: str
    expectations: tuple[Expectation, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)


def known_expectations() -> frozenset[str]:
    """The names of Great Expectations' own types, found without loading it; none where it is not installed."""
    found = importlib.util.find_spec("great_expectations")
    folders = found.submodule_search_locations if found else None
    return frozenset(f.stem for folder in folders or () for f in Path(folder, "expectations", "core").glob("expect_*.py"))


def load_suite(path: Path) -> Suite:
    """Read `<suite>.json`; raises PipelineFileError when it is missing, not JSON, or holds no expectation."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        expectations = tuple(Expectation(str(e["type"]), dict(e.get("kwargs", {}))) for e in raw["expectations"])
    except FileNotFoundError:
        raise PipelineFileError([Problem("the suite's file is not there", file=str(path))]) from None
    except json.JSONDecodeError as error:
        raise PipelineFileError([Problem(f"not valid JSON: {error.msg}", file=str(path), line=error.lineno, column=error.colno)]) from None
    except (KeyError, TypeError, AttributeError):
        form = '{"name": …, "expectations": [{"type": …, "kwargs": {…}}]}'
        raise PipelineFileError([Problem(f"not a suite of Great Expectations 1.x: {form}", file=str(path), line=1)]) from None
    if not expectations:
        raise PipelineFileError([Problem("the suite has no expectation: such a gate could not fail", file=str(path), line=1)])
    return Suite(str(raw.get("name", path.stem)), expectations, raw)
