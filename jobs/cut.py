"""Batches are cut here: what is new at a source, or which snapshots a step will read, pinned before anything is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from penstock.batches import Batch, BatchLog, group
from penstock.connectors.readers import count_rows, data_files
from penstock.errors import BrokenFileError, SourceChangedError
from penstock.killpoints import reach
from penstock.objects import ObjectInfo, ObjectStore
from penstock.pipeline import BatchLimits, Read, ReadStep

from .context import Context
from .record import StepRecord


def unseen(listing: Iterable[ObjectInfo], seen: Mapping[str, str]) -> list[ObjectInfo]:
    """Files that no batch holds. Raises SourceChangedError for a file that was read and has other content now."""
    fresh = []
    for file in listing:
        if file.uri not in seen:
            fresh.append(file)
        elif seen[file.uri] != file.etag:
            raise SourceChangedError(
                f"{file.uri} changed after a batch had taken it",
                hint="move it out of the folder and deliver what is new in it under a new name; if the folder is complete each time, "
                "declare `take: all` with `write: overwrite`",
            )
    return fresh


def bound_of(limits: BatchLimits, store: ObjectStore, read: Read, files: Iterable[ObjectInfo]) -> int:
    """The bytes that a batch may hold: `max_bytes`, or less where the first file that can be read says that `max_rows` is met sooner."""
    for file in files if limits.max_rows is not None else ():
        with suppress(BrokenFileError):  # told when its batch is applied: what was never cut cannot be skipped
            rows = count_rows(store, file, read.format)
            return min(limits.max_bytes, max(1, (limits.max_rows or 1) * file.size // max(rows, 1)))
    return limits.max_bytes


def cut_files(context: Context, step: ReadStep) -> Sequence[Batch]:
    """Cut what is new at a reading step's source; returns the new batches, none when there is nothing."""
    read, log, store = step.read, context.batches(step.id), context.store(step.read.from_)
    listing = data_files(store)
    if read.take == "all":
        last = log.read(after=log.head() - 1)
        known = {f.uri: f.etag for b in last for f in b.files}
        if not listing or known == {f.uri: f.etag for f in listing}:
            return []
        return [log.cut(Batch(step.id, 0, files=tuple(listing)))]
    made: list[Batch] = []
    while fresh := unseen(listing, log.seen()):
        bound = bound_of(read.batch, store, read, fresh)
        for files in group(fresh, max_files=read.batch.max_files, max_bytes=bound):
            made.append(log.cut(Batch(step.id, 0, files=files)))
            if made[-1].files != files:  # another process cut first; what it took is seen now
                break
    return made


def read(context: Context, step: ReadStep) -> StepRecord:
    """A reading step's part of a run: its batches are cut, and applied by the steps that take them."""
    cut, log = cut_files(context, step), context.batches(step.id)
    reach("after_cut")
    note = "" if cut or log.head() else f"no file lies below {step.read.from_}, and none ever did"
    return StepRecord(step.id, "read", "done" if cut else "nothing to do", tuple(b.number for b in cut), bytes=sum(b.size for b in cut), note=note)


def cut_pins(log: BatchLog, step_id: str, pins: Mapping[str, int]) -> Sequence[Batch]:
    """Cut a batch for what a step reads now; none when the last batch read the same."""
    last = log.read(after=log.head() - 1)
    if last and dict(last[-1].pins) == dict(pins):
        return []
    reach("before_cut")
    return [log.cut(Batch(step_id, 0, pins=dict(pins)))]


def cut_again(batch: Batch, listing: Iterable[ObjectInfo]) -> tuple[Batch, tuple[str, ...]]:
    """The batch with its files as they are now, and the URIs of those that are gone."""
    now = {f.uri: f for f in listing}
    gone = tuple(f.uri for f in batch.files if f.uri not in now)
    return replace(batch, files=tuple(now[f.uri] for f in batch.files if f.uri in now)), gone
