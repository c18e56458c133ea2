"""A pipeline compiled: a typed graph of steps in the order in which they run, and everything checked that can be known without running."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from penstock.checks import check
from penstock.errors import ArgumentError, PipelineFileError, choice
from penstock.lineage import tables_of
from penstock.parse import Loaded
from penstock.pipeline import Table, step_kind
from penstock.tables import table_format

_ON_ENGINES = ("merge", "transform", "copy", "delete", "update", "maintain")


@dataclass(frozen=True)
class PlannedStep:
    """One step: what it reads and writes (locations, connections or read steps), the steps that run before it, and the engine, where one has work to do."""

    id: str
    kind: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    write: str = ""
    gate: str = ""
    deletes: str = ""
    engine: str = ""


@dataclass(frozen=True)
class Plan:
    """Steps in an order that respects their edges, and the file's order otherwise. `runs_on` is the service that runs them, empty for this machine,
    `spark_in` the session in which those on Spark have it, empty for what is at hand.
    """

    pipeline: str
    environment: str | None
    steps: tuple[PlannedStep, ...]
    runs_on: str = ""
    spark_in: str = ""

    def select(self, text: str | None) -> tuple[PlannedStep, ...]:
        """The steps that a selection names: `a`, `a+` (what follows it too), `+a` (what it needs too), several by commas; all for None.

        Raises ArgumentError for a name that no step has.
        """
        if text is None:
            return self.steps
        chosen: set[str] = set()
        for part in (p.strip() for p in text.split(",")):
            name = part.strip("+")
            if name not in {s.id for s in self.steps}:
                raise ArgumentError(f"step {choice(name, [s.id for s in self.steps])}")
            chosen.add(name)
            chosen |= self._reach(name, forward=True) if part.endswith("+") else set()
            chosen |= self._reach(name, forward=False) if part.startswith("+") else set()
        return tuple(s for s in self.steps if s.id in chosen)

    def _reach(self, name: str, *, forward: bool) -> set[str]:
        edges = [(b, s.id) if forward else (s.id, b) for s in self.steps for b in s.after]
        found, frontier = set[str](), {name}
        while frontier:
            frontier = {end for start, end in edges if start in frontier} - found
            found |= frontier
        return found


def compile_plan(loaded: Loaded) -> Plan:
    """Compile and check a loaded pipeline. Raises PipelineFileError with every problem found."""
    problems = check(loaded)
    if problems:
        raise PipelineFileError(sorted(set(problems), key=lambda p: (p.file, p.line, p.column)))
    steps = [_planned(loaded, step) for step in loaded.pipeline.steps]
    edges = {s.id: tuple(b.id for j, b in enumerate(steps) if b.id != s.id and _depends(s, b, earlier=j < i)) for i, s in enumerate(steps)}
    engines = {step.id: step.engine or loaded.environment.engine for step in loaded.pipeline.steps}
    linked = [replace(s, after=edges[s.id], engine=engines[s.id] if s.kind in _ON_ENGINES else "") for s in steps]
    runtime, spark = loaded.environment.runtime, loaded.environment.spark
    return Plan(loaded.pipeline.pipeline, loaded.env, _ordered(linked, loaded), runtime.place if runtime else "", spark.place if spark else "")


def _planned(loaded: Loaded, step: Any) -> PlannedStep:
    kind = step_kind(step) or ""
    gate = step.gate.suite if getattr(step, "gate", None) else ""
    match kind:
        case "read":
            return PlannedStep(step.id, kind, (step.read.from_,))
        case "merge":
            return PlannedStep(step.id, kind, (step.merge.from_,), (step.merge.into,), (), "merge", gate, _deletes(loaded.pipeline.tables[step.merge.into]))
        case "transform":
            reads = step.transform.inputs or tables_of((loaded.folder / step.transform.sql).read_text(), "spark")
            return PlannedStep(step.id, kind, tuple(reads), (step.transform.into,), (), step.transform.write, gate)
        case "copy":
            return PlannedStep(step.id, kind, (step.copy_.from_,), (step.copy_.into,), (), step.copy_.write, gate)
        case "delete" | "update":
            return PlannedStep(step.id, kind, (), (getattr(step, kind).table,), (), kind)
        case "call" | "sql":
            on = getattr(step, kind).on
            return PlannedStep(step.id, kind, (on,), (on,))
        case "unload":
            return PlannedStep(step.id, kind, (step.unload.from_,), tuple(filter(None, (step.unload.into, step.unload.table))))
        case "external":
            reads = tuple(t.from_ for t in step.external.tables.values())
            return PlannedStep(step.id, kind, (*reads, step.external.on), (step.external.on,))
        case "maintain":
            return PlannedStep(step.id, kind, step.maintain.tables)
    return PlannedStep(step.id, kind, (step.reconcile.left, step.reconcile.right))


def _deletes(table: Table) -> str:
    """How rows of a merged table are deleted, and why so."""
    able = table_format(table.format or "")
    if unable := able.without_position_deletes(table.readers):
        named = f"{', '.join(unable)} {'knows' if len(unable) == 1 else 'know'} no {able.deletes}"
        return f"files written anew: {named}{'' if table.readers else ', and no readers are declared'}"
    return f"{able.deletes} while few rows of a large file are, else the file written anew"


def _depends(step: PlannedStep, other: PlannedStep, *, earlier: bool) -> bool:
    """True when `step` runs after `other`: it reads what the other writes. On a whole connection, and on a table of two, the file's order decides."""
    if other.id in step.reads or set(step.reads) & {w for w in other.writes if "." in w}:
        return True
    whole = {r for r in (*step.reads, *step.writes) if _within(r, other.writes) or any(_within(w, (r,)) for w in other.writes)}
    return earlier and bool(whole or set(step.writes) & set(other.writes))


def _within(location: str, connections: Sequence[str]) -> bool:
    """True when a location is, or lies in, one of some whole connections."""
    return any("." not in c and "/" not in c and (location == c or location.startswith(f"{c}.")) for c in connections)


def _ordered(steps: Sequence[PlannedStep], loaded: Loaded) -> tuple[PlannedStep, ...]:
    """Topological order, the file's order where it is free. Raises PipelineFileError naming a cycle."""
    waiting, done = list(steps), list[PlannedStep]()
    while waiting:
        ready = next((s for s in waiting if set(s.after) <= {d.id for d in done}), None)
        if ready is None:
            index = next(i for i, s in enumerate(loaded.pipeline.steps) if s.id == waiting[0].id)
            raise PipelineFileError([loaded.document.problem(("steps", index), f"the steps form a cycle: {' -> '.join(_cycle(waiting))}")])
        waiting.remove(ready)
        done.append(ready)
    return tuple(done)


def _cycle(waiting: Sequence[PlannedStep]) -> list[str]:
    by_id = {s.id: s for s in waiting}
    path = [waiting[0].id]
    while path.count(path[-1]) == 1:
        path.append(next(b for b in by_id[path[-1]].after if b in by_id))
    return path[path.index(path[-1]) :]
