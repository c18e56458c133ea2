"""The conservation law of a batch, in events."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from penstock.errors import ConservationError


@dataclass(frozen=True)
class Counts:
    """What became of the events of a batch.

    applied: decided a row, or a delete to remember. unchanged: says what the table, or its memory, already held. superseded: a newer fact stands.
    duplicate: a further copy of an event within the batch. filtered: not meant for the table (tombstones). quarantined: kept, with the reason.
    """

    read: int = 0
    applied: int = 0
    unchanged: int = 0
    superseded: int = 0
    duplicate: int = 0
    filtered: int = 0
    quarantined: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: value + getattr(other, name) for name, value in asdict(self).items()})

    def check(self, where: str) -> Counts:
        """Raises ConservationError unless read = applied + unchanged + superseded + duplicate + filtered + quarantined."""
        found = asdict(self)
        read = found.pop("read")
        if read != sum(found.values()):
            raise ConservationError(
                f"{where}: {read} events were read but {sum(found.values())} are accounted for ({', '.join(f'{k} {v}' for k, v in found.items())})"
            )
        return self
