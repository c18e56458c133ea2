"""A job run as its service sees it: one vocabulary for what EMR Serverless, EMR and Glue say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Phase = Literal["unknown", "waiting", "running", "succeeded", "failed", "cancelled"]
ENDED: frozenset[Phase] = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True)
class Said:
    """`state` is the service's own word, and `phase` unknown where it gave none.

    `reason`: what it adds, and `log`: where it says that the log is (a URI, a log group), each empty where it is silent.
    """

    phase: Phase
    state: str
    reason: str = ""
    log: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.reason}" if self.reason else self.state

    @property
    def has_ended(self) -> bool:
        return self.phase in ENDED


NO_ANSWER = "NO ANSWER"
GONE = Said("failed", "GONE", "the service does not know it any more")


def phase_of(state: str, phases: Mapping[Phase, tuple[str, ...]], otherwise: Phase = "running") -> Phase:
    """The phase that a service's state is one of; what it has no word for yet is taken for a job at work."""
    return next((phase for phase, states in phases.items() if state in states), otherwise)


def job_name(pipeline: str, run: str) -> str:
    """What a job run is called where a service lets it have a name; by it the job run of a run is found again."""
    return f"{pipeline} {run}"
