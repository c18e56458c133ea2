"""The place of an event in its source's log, as numbers that compare in the order of commits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from penstock.errors import DataError

Place = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

_FILE = re.compile(r"\.(\d{1,18})$")
_PAIR = msgspec.json.Decoder(tuple[Place | None, Place], strict=False)


class Source(msgspec.Struct, gc=False):
    """What is read of an event's `source`."""

    connector: str | None = None
    sequence: str | None = None
    file: str | None = None
    pos: Place | None = None
    row: Place | None = None


def postgresql(source: Source, op: str) -> tuple[int, ...]:
    """(LSN of the last commit before the event's own, LSN of the event), from `source.sequence`.

    A connector that has seen no commit yet writes null. A snapshot's row is then older than all changes. A change takes its own LSN instead: on any
    one key it lies above every earlier commit and below its own transaction's, for the row was locked.
    """
    if source.sequence is None:
        raise DataError("the event has no source.sequence; the connector must be Debezium 1.5 or newer, and an LSN alone does not order commits")
    try:
        commit, lsn = _PAIR.decode(source.sequence)
    except msgspec.MsgspecError as error:
        raise DataError(f"source.sequence is {source.sequence!r}, not a pair of LSNs: {error}") from error
    if commit is None:
        commit = 0 if op == "r" else lsn
    return commit, lsn


def mysql(source: Source, _op: str) -> tuple[int, ...]:
    """(number of the binlog file, position, row)."""
    number = _FILE.search(source.file or "")
    if number is None or source.pos is None or source.row is None:
        raise DataError(f"the event's place in the binlog is not known: source has file {source.file!r}, pos {source.pos}, row {source.row}")
    return int(number[1]), source.pos, source.row


@dataclass(frozen=True)
class Connector:
    """One family of Debezium's connectors: the names in `source.connector`, and how its events are ordered."""

    names: frozenset[str]
    sequence: Callable[[Source, str], tuple[int, ...]]


CONNECTORS: Mapping[str, Connector] = {
    "postgresql": Connector(frozenset({"postgresql"}), postgresql),
    "mysql": Connector(frozenset({"mysql", "mariadb"}), mysql),
}


def sequence_of(source: Source | None, op: str, connector: Connector) -> tuple[int, ...]:
    """The event's order. Raises DataError when another connector wrote it, or when it does not say its place."""
    if source is None or source.connector not in connector.names:
        name = source and source.connector
        raise DataError(f"the event's source.connector is {name!r}; the step reads {', '.join(sorted(connector.names))} (option `connector`)")
    return connector.sequence(source, op)
