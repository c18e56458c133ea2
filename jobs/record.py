"""What a run did, as data: the record that is shown at its end, stored, and read by machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal

from penstock.changes.counts import Counts

RUNS = "runs/"
Status = Literal["done", "nothing to do", "failed", "stopped", "not run"]


@dataclass(frozen=True)
class GateVerdict:
    """One gate on one batch: expectations that failed, with the reason of each."""

    batch: int
    suite: str
    passed: bool
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepRecord:
    """What one step did in one run; `batches` are the numbers it applied, `bytes` those it wrote.

    `version`: the snapshot or version of its lake table that the last batch made, None where that is not known. `retryable`: the same may succeed later.
    """

    step: str
    kind: str
    status: Status
    batches: tuple[int, ...] = ()
    counts: Counts = field(default_factory=Counts)
    commits: int = 0
    bytes: int = 0
    seconds: float = 0.0
    gates: tuple[GateVerdict, ...] = ()
    note: str = ""
    error: str = ""
    retryable: bool = False
    version: int | None = None


@dataclass(frozen=True)
class RunRecord:
    """A run: `id` sorts by time."""

    id: str
    pipeline: str
    environment: str | None
    started: datetime
    seconds: float
    steps: tuple[StepRecord, ...]

    @property
    def status(self) -> Status:
        for worst in ("failed", "stopped"):
            if any(s.status == worst for s in self.steps):
                return worst
        return "nothing to do" if all(s.status == "nothing to do" for s in self.steps) else "done"

    def dumps(self) -> str:
        """The record as one line of JSON."""
        return json.dumps(asdict(self) | {"status": self.status}, default=str)

    @classmethod
    def loads(cls, data: bytes) -> RunRecord:
        said = json.loads(data)
        steps = tuple(_step(s) for s in said["steps"])
        return cls(said["id"], said["pipeline"], said["environment"], datetime.fromisoformat(said["started"]), said["seconds"], steps)


def _step(said: dict[str, Any]) -> StepRecord:
    """Of a record that another Penstock wrote, what this one knows."""
    gates = tuple(GateVerdict(**gate | {"failures": tuple(gate["failures"])}) for gate in said["gates"])
    known = {f.name: said[f.name] for f in fields(StepRecord) if f.name in said}
    return StepRecord(**known | {"batches": tuple(said["batches"]), "counts": Counts(**said["counts"]), "gates": gates})


def record_key(run: str) -> str:
    """Where in the state store a run's record lies."""
    return f"{RUNS}{run}.json"


@dataclass(frozen=True)
class Event:
    """One thing that happened in a run, for whoever watches: a terminal, a log, a scheduler."""

    kind: Literal["run started", "step started", "batch started", "batch done", "step done", "run done", "note"]
    step: str = ""
    batch: int = 0
    total: int = 0
    message: str = ""
    time: datetime = field(default_factory=lambda: datetime.now(UTC))


Watcher = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A watcher that looks away."""
    del event
