"""A window of a partition column: which partitions it covers, so that those now empty are emptied too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import Field

from penstock.connections import Model
from penstock.errors import ArgumentError
from penstock.tables import PartitionField

EPOCH = datetime(1970, 1, 1)
TYPES = frozenset({"date", "timestamp", "timestamp_ntz", "int", "bigint"})


class Window(Model):
    """`from` is within, `until` is not; each is a value or `:name`, a parameter. Partitions are covered whole."""

    column: str
    from_: str | int | date | datetime = Field(alias="from")
    until: str | int | date | datetime

    def bounds(self, parameters: Mapping[str, Any], type_name: str) -> Bounds:
        """The bounds as values of the column's type. Raises ArgumentError for one that is none."""
        return Bounds(self.column, *(_value(end, parameters, type_name) for end in (self.from_, self.until)))


@dataclass(frozen=True)
class Bounds:
    """Ints, or moments without a zone (UTC)."""

    column: str
    least: int | datetime
    end: int | datetime

    def ranges(self, fields: Sequence[PartitionField]) -> Mapping[int, tuple[Any, Any]]:
        """By the place of each field of the column: the least value that is covered, and the first that is not.

        Raises ArgumentError where the window ends amid a partition.
        """
        return {i: (_ordinal(f, self.least), _ordinal(f, self.end)) for i, f in enumerate(fields) if f.column == self.column}


def covers(ranges: Mapping[int, tuple[Any, Any]], partition: Sequence[object]) -> bool:
    """True where all rows that a partition can have lie within."""
    return any(partition[i] is not None and least <= _plain(partition[i]) < end for i, (least, end) in ranges.items())


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else value


def _value(given: Any, parameters: Mapping[str, Any], type_name: str) -> Any:
    value = given
    if isinstance(given, str) and given.startswith(":"):
        if given[1:] not in parameters:
            hint = "give it with --data-interval START/END, as a scheduler does" if given.startswith(":data_interval") else "give it with --param"
            raise ArgumentError(f"parameter {given} of the window has no value", hint=hint)
        value = parameters[given[1:]]
    try:
        if type_name in ("int", "bigint"):
            return int(value)
        return _plain(datetime.fromisoformat(value) if isinstance(value, str) else value)
    except (ValueError, AttributeError) as error:
        raise ArgumentError(f"{given!r} ({value!r}) is no {type_name}") from error


def _ordinal(field: PartitionField, moment: Any) -> Any:
    """A bound as the partition that begins with it."""
    if field.transform == "identity":
        return moment
    months = (moment.year - 1970) * 12 + moment.month - 1
    passed = moment - EPOCH
    found, start = {
        "years": (moment.year - 1970, datetime(moment.year, 1, 1)),
        "months": (months, datetime(moment.year, moment.month, 1)),
        "days": (passed.days, EPOCH + timedelta(days=passed.days)),
        "hours": (passed // timedelta(hours=1), EPOCH + passed // timedelta(hours=1) * timedelta(hours=1)),
    }[field.transform]
    if start != moment:
        raise ArgumentError(f"the window's end {moment} lies amid a partition of {field}", hint=f"give whole {field.transform}")
    return found
