"""Pydantic's findings in the words of a pipeline file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from penstock.connections import Model
from penstock.errors import Problem, nearest
from penstock.pipeline import Pipeline, step_kind
from penstock.yaml_positions import Document, Path

Models = list[type[BaseModel]]


def explain(error: ValidationError, document: Document) -> list[Problem]:
    """Each finding at its place: what was read, what is allowed, the nearest spelling."""
    found = error.errors(include_url=False)
    return [_problem(f, document) for f in found if f["type"] != "too_short" or not f["input"]]


def _problem(found: ErrorDetails, document: Document) -> Problem:
    path, models = _walk(found["loc"], document.data, missing=found["type"] == "missing")
    return document.problem(path, _message(found, path, models))


def _walk(loc: tuple[int | str, ...], data: Any, *, missing: bool) -> tuple[Path, Models]:
    """The path in the document, without the tags that pydantic puts in for unions, and the models of what holds its last part."""
    path: list[int | str] = []
    models: Models = [Pipeline]
    holder, tagged = models, False
    for i, part in enumerate(loc):
        if tagged:
            tagged = False
            continue
        inside = (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int))
        if not inside and not (missing and i == len(loc) - 1):
            continue
        holder = _fitting(models, data)
        below = _child(holder, part)
        models, tagged = below or models, not below and len(models) > 1
        data = data[part] if inside else None
        path.append(part)
    return tuple(path), holder


def _models_in(annotation: Any) -> Models:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in get_args(annotation) for m in _models_in(part)]


def _child(models: Models, part: int | str) -> Models:
    return [m for model in models for name, f in model.model_fields.items() if part in (name, f.alias) for m in _models_in(f.annotation)]


def _fitting(models: Models, data: Any) -> Models:
    """Of several models the one that the data's `kind`, or the kind of its step, names."""
    if len(models) == 1 or not isinstance(data, dict):
        return models
    kind = data.get("kind") or step_kind(data)
    fits = [m for m in models if kind in _names(m) or ("kind" in m.model_fields and kind in get_args(m.model_fields["kind"].annotation))]
    return fits or models


def _names(model: type[BaseModel]) -> list[str]:
    return [f.alias or name for name, f in model.model_fields.items()]


def _message(found: ErrorDetails, path: Path, models: Models) -> str:
    given, context = found["input"], found.get("ctx", {})
    match found["type"]:
        case "missing":
            return f"{path[-1]!r} is missing"
        case "extra_forbidden":
            allowed = [n for m in models if issubclass(m, Model) for n in _names(m)]
            return f"{path[-1]!r} is not known here; allowed: {', '.join(dict.fromkeys(allowed))}{nearest(str(path[-1]), allowed)}"
        case "literal_error" | "enum":
            expected = [word.strip(" '") for word in str(context["expected"]).replace(" or ", ",").split(",")]
            return f"{given!r} is not one of {', '.join(expected)}{nearest(str(given), expected)}"
        case "union_tag_invalid":
            expected = [word.strip(" '") for word in str(context["expected_tags"]).split(",")]
            return f"kind {context['tag']!r} is not one of {', '.join(expected)}{nearest(str(context['tag']), expected)}"
        case "union_tag_not_found":
            return "'kind' is missing: s3, files, catalog or redshift"
        case "step_kind":
            return f"{found['msg']}; this one has {_listed(given)}"
        case "string_pattern_mismatch" | "string_type":
            return _misformed(found, path)
        case "value_error":
            return str(context["error"])
    return _plain(found)


def _plain(found: ErrorDetails) -> str:
    return f"{found['msg'][0].lower()}{found['msg'][1:]}, not {_shown(found['input'])}"


def _misformed(found: ErrorDetails, path: Path) -> str:
    """A text of the wrong form, or none where a text belongs."""
    if found["type"] == "string_type":
        is_torn = found["input"] is None and str(path[-1]).endswith(")")
        return 'a type with a comma is quoted: "decimal(10,2)"' if is_torn else _plain(found)
    if "partition_by" in path:
        return f"{found['input']!r} is no partition: a column, or years(c), months(c), days(c), hours(c), bucket(16, c), truncate(10, c) of one"
    return f"{found['input']!r} is not a name or form that is allowed here ({found['ctx']['pattern']})"


def _listed(given: Any) -> str:
    return ", ".join(map(str, given)) if isinstance(given, Mapping) else _shown(given)


def _shown(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."
