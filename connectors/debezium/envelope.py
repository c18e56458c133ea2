"""One line of Debezium's JSON as a change event."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from decimal import Decimal
from hashlib import md5
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from penstock.changes.facts import unavailable
from penstock.connectors.debezium.sequence import CONNECTORS, Source, sequence_of
from penstock.connectors.images import UNREADABLE, image_type
from penstock.connectors.readers import ReadSpec
from penstock.connectors.values import ABSENT
from penstock.errors import DataError, choice
from penstock.schema import names
from penstock.sources import OPERATIONS

_PLACEHOLDER = b"__debezium_unavailable_value"
# what stands for a text, for bytes, and for an element of an array of texts, bytes and UUIDs
_UNAVAILABLE = frozenset(
    {_PLACEHOLDER.decode(), b64encode(_PLACEHOLDER).decode(), str(UUID(bytes=md5(_PLACEHOLDER, usedforsecurity=False).digest(), version=3))}
)
_AS_NUMBERS = list(_PLACEHOLDER)  # an array of numbers
DELETE, TRUNCATE, _MESSAGE = "d", "t", "m"
_NO_SCHEMA = b"null"


class Event(msgspec.Struct, frozen=True, gc=False):
    """A change of one row, and the line (number from 1, content) that says it.

    `image` is what the row is afterwards, or a delete's keys, without the values that the event leaves out: the columns of `lost`, and `unavailable`
    as text. `schema` is the JSON beside the payload, empty without one.
    """

    number: int
    line: bytes
    op: str
    sequence: tuple[int, ...]
    image: Any
    schema: bytes
    lost: tuple[str, ...] = ()
    unavailable: str | None = None


class Decoder:
    """Decodes the lines of one object. Fields that are not declared are skipped unread."""

    def __init__(self, spec: ReadSpec, data: bytes) -> None:
        self._columns = names(spec.columns)
        self._key_names = frozenset(spec.keys)
        self._connector = CONNECTORS[str(spec.option("connector"))]
        self._image = image_type(spec.columns, ABSENT)
        self._keys = [f"c{i}" for i, name in enumerate(self._columns) if name in spec.keys]
        keys = image_type(tuple(c for c in spec.columns if c.name in spec.keys), ABSENT)
        self._json = msgspec.json.Decoder(_line_type(self._image, keys), float_hook=Decimal)
        self._may_be_partial = any(c.type.is_nested for c in spec.columns) or any(mark.encode() in data for mark in _UNAVAILABLE)

    def events(self, number: int, line: bytes) -> Sequence[Event]:
        """The line's event, of a changed key a delete and an upsert; none for tombstones and messages, which say nothing of a row.

        Raises DataError for what is no event or lacks a part.
        """
        try:
            found = self._json.decode(line)
        except UNREADABLE as error:
            raise DataError(f"not a Debezium event: {error}") from error
        body = found if found is None or found.payload is ABSENT else found.payload
        if body is None or body.op == _MESSAGE:
            return ()
        if body.op not in OPERATIONS:
            raise DataError(f"the event's op is {choice(str(body.op), OPERATIONS)}")
        sequence = sequence_of(body.source, body.op, self._connector)
        image = self._nothing() if body.op == TRUNCATE else self._keys_of(body.before) if body.op == DELETE else body.after
        if image is None:
            raise DataError(f"an event with op {body.op!r} holds no {'before' if body.op == DELETE else 'after'}, so its key is not known")
        lost = self._take_placeholders(image) if self._may_be_partial else ()
        schema = b"" if found.schema is ABSENT or found is body else bytes(found.schema)
        event = Event(number, line, body.op, sequence, image, b"" if schema == _NO_SCHEMA else schema, lost, unavailable(lost))
        if body.op == DELETE or body.before is None or not self._has_other_key(body.before, image):
            return (event,)
        return replace(event, op=DELETE, image=self._keys_of(body.before), lost=(), unavailable=None), event

    def _has_other_key(self, before: Any, after: Any) -> bool:
        """True for another key; what `before` does not say is no other. Raises DataError where it says another in part."""
        was = [getattr(before, f"c{i}") for i in range(len(self._keys))]
        pairs = [(old, getattr(after, name)) for old, name in zip(was, self._keys, strict=True) if old is not None and old is not ABSENT]
        if all(old == new for old, new in pairs):
            return False
        if len(pairs) < len(was):
            raise DataError("the event changes its key, but its before does not hold the whole key", hint="REPLICA IDENTITY must cover the keys")
        return True

    def _nothing(self) -> Any:
        return self._image(**dict.fromkeys(f"c{i}" for i in range(len(self._columns))))

    def _keys_of(self, before: Any) -> Any:
        if before is None:
            return None
        others = dict.fromkeys(f"c{i}" for i in range(len(self._columns)))
        return self._image(**(others | {name: getattr(before, f"c{i}") for i, name in enumerate(self._keys)}))

    def _take_placeholders(self, image: Any) -> tuple[str, ...]:
        """Take the values that stand for unchanged ones (TOAST) out of an image; returns their columns."""
        lost = tuple(name for i, name in enumerate(self._columns) if _is_placeholder(getattr(image, f"c{i}")))
        if keys := self._key_names.intersection(lost):
            raise DataError(f"the event leaves out the value of the key column {', '.join(sorted(keys))}")
        for i, name in enumerate(self._columns):
            if name in lost:
                setattr(image, f"c{i}", None)
        return lost


def _is_placeholder(value: Any) -> bool:
    if isinstance(value, dict | list):
        return value == _AS_NUMBERS or any(v in _UNAVAILABLE for v in value if isinstance(v, str))
    return isinstance(value, str) and value in _UNAVAILABLE


def _line_type(image: type, keys: type) -> Any:
    """Both forms of a line: the event itself, or `{"schema": …, "payload": event}`."""
    parts: list[tuple[str, Any, Any]] = [
        ("op", str | None, None),
        ("before", keys | None, None),
        ("after", image | None, None),
        ("source", Source | None, None),
    ]
    body = msgspec.defstruct("Body", parts, gc=False)
    return (
        msgspec.defstruct("Line", [*parts, ("schema", msgspec.Raw | msgspec.UnsetType, ABSENT), ("payload", body | None | msgspec.UnsetType, ABSENT)], gc=False)
        | None
    )
