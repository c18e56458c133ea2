"""Whether the engine that a step runs on can write the step's tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

from penstock.capabilities import EngineCapabilities, engine_capabilities
from penstock.parse import Loaded
from penstock.pipeline import EngineName, Table, step_kind

Found = tuple[tuple[str | int, ...], str]


def engine_problems(loaded: Loaded) -> Iterator[Found]:
    for i, step in enumerate(loaded.pipeline.steps):
        engine = step.engine or loaded.environment.engine
        for path, location in _written(step):
            table = loaded.pipeline.tables.get(location)
            for what, can in _needed(table, step_kind(step) or "") if table and table.format else ():
                if not can(engine_capabilities(engine)):
                    others = " or ".join(name for name in get_args(EngineName) if can(engine_capabilities(name)))
                    yield ("steps", i, *path), f"{location} has {what}, which the engine {engine} does not write; give the step `engine: {others}`"


def _written(step: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The lake tables that a step writes by an engine, with the place of each in the step."""
    match kind := step_kind(step):
        case "merge" | "transform":
            yield (kind, "into"), getattr(step, kind).into
        case "copy":
            yield (kind, "into"), step.copy_.into
        case "delete" | "update":
            yield (kind, "from" if kind == "delete" else "into"), getattr(step, kind).table
        case "maintain":
            yield from (((kind, "tables", n), location) for n, location in enumerate(step.maintain.tables))


def _needed(table: Table, kind: str) -> Iterator[tuple[str, Callable[[EngineCapabilities], bool]]]:
    """What an engine needs to be able to, in words and as a question."""
    if kind == "maintain":
        compact = table.maintain.compact
        yield f"compact: {compact}", lambda able: compact in able.clusterings
    else:
        for field in table.partition_fields:
            yield f"partitions by {field}", lambda able, transform=field.transform: transform in able.partition_transforms  # type: ignore[misc]
    if nested := [c for c in table.schema_columns if c.type.is_nested]:
        yield f"the column {nested[0]}", lambda able: table.format in able.nested_columns
