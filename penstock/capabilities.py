"""What engines can do, known without loading them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class EngineCapabilities:
    """What an engine is able to write; code asks these, never the engine's name.

    `partition_transforms` of a table's fields, `clusterings` as `maintain: {compact: ...}` names them, and `nested_columns`: the table formats of which it
    writes structs, arrays and maps.
    """

    partition_transforms: frozenset[str]
    clusterings: frozenset[str]
    nested_columns: frozenset[str]


def engine_capabilities(name: str) -> EngineCapabilities:
    """An engine's capabilities by its name in a pipeline file, from its light `config.py`."""
    found: EngineCapabilities = import_module(f"penstock.engines.{name}.config").CAPABILITIES
    return found
