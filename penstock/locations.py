"""Locations in a pipeline file: `connection[.namespace].table` or `connection/path/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.connections import Connection
from penstock.errors import ArgumentError, choice

MEMORY, QUARANTINE = "__memory", "__quarantine"  # the tables that Penstock keeps beside a table


@dataclass(frozen=True)
class TableLocation:
    connection: str
    namespace: str
    table: str


@dataclass(frozen=True)
class PathLocation:
    """`path` ends in `/` and has no `/` before it; it is empty for the connection's own root."""

    connection: str
    path: str


def parse_location(text: str, connections: Mapping[str, Connection]) -> TableLocation | PathLocation:
    """Raises ArgumentError when the text is not a location, or its connection is not declared."""
    head, slash, path = text.partition("/")
    parts = head.split(".")
    if parts[0] not in connections:
        raise ArgumentError(f"connection {choice(parts[0], connections)}")
    if slash and len(parts) == 1:
        return PathLocation(head, f"{path.strip('/')}/" if path.strip("/") else "")
    if slash or len(parts) != 3 or not all(parts):
        raise ArgumentError(f"{text!r} is not a location: a table is connection.namespace.table, files are connection/path/")
    return TableLocation(*parts)
