"""The kinds of step: what each does in a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.batches import Batch
from penstock.pipeline import CopyStep

from . import amend, call, copy, cut, external, maintain, merge, reconcile, script, transform, unload
from .context import Context
from .record import StepRecord


@dataclass(frozen=True)
class Job:
    """A kind of step that applies batches. `cut` returns those that it made just now; `apply` does one."""

    cut: Callable[[Context, Any], Sequence[Batch]]
    apply: Callable[[Context, Any, Batch], StepRecord]


Work = Callable[[Context, Any], StepRecord]  # a kind of step that applies none: it does all that is due


def _from_read_step(context: Context, step: Any) -> Sequence[Batch]:
    """Such a step's batches are those of the step that it reads, cut there."""
    del context, step
    return []


def _cut_copy(context: Context, step: CopyStep) -> Sequence[Batch]:
    return [] if copy.reads_files(context, step) else copy.cut(context, step)


JOBS: Mapping[str, Job | Work] = {
    "read": cut.read,
    "merge": Job(_from_read_step, merge.apply),
    "transform": Job(transform.cut, transform.apply),
    "copy": Job(_cut_copy, copy.apply),
    "delete": Job(amend.cut, amend.apply),
    "update": Job(amend.cut, amend.apply),
    "call": Job(call.cut, call.apply),
    "sql": Job(script.cut, script.apply),
    "unload": Job(unload.cut, unload.apply),
    "external": Job(external.cut, external.apply),
    "reconcile": Job(reconcile.cut, reconcile.apply),
    "maintain": maintain.work,
}
