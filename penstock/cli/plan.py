"""`penstock plan`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from penstock.cli.opening import open_pipeline, ready
from penstock.plan import compile_plan


def plan_command(path: Path, env: str | None, param: list[str], *, as_json: bool) -> int:
    """Check offline and print the graph; nothing is contacted."""
    plan = compile_plan(open_pipeline(path, env, param))
    if as_json:
        print(json.dumps(asdict(plan)))  # noqa: T201
        return 0
    from penstock.report.tables import show_rows

    print(f"pipeline {plan.pipeline}" + (f", environment {plan.environment}" if plan.environment else "") + f": {len(plan.steps)} steps, no problem found")  # noqa: T201
    rows = [(s.id, s.kind, ", ".join(s.reads), ", ".join(s.writes), s.write, s.gate, ", ".join(s.after)) for s in plan.steps]
    show_rows(sys.stdout, ("step", "kind", "reads", "writes", "write", "gate", "after"), rows)
    if plan.runs_on:
        print(f"runs on {plan.runs_on}")  # noqa: T201
    if elsewhere := [s.id for s in plan.steps if s.engine == "spark"]:
        print(f"on Spark{f', {plan.spark_in}' if plan.spark_in else ''}: {', '.join(elsewhere)}")  # noqa: T201
    for step in (s for s in plan.steps if s.deletes):
        print(f"{step.id}: deleted rows of {', '.join(step.writes)}: {step.deletes}")  # noqa: T201
    return 0


def compare_command(path: Path, env: str | None, param: list[str], *, as_json: bool) -> int:
    """Print what a run changes of the tables that are there; returns 1 where one stops it. No table is touched."""
    from penstock.jobs.compare import compare
    from penstock.jobs.context import Context

    found = list(compare(Context(*ready(path, env, param), run="plan")))
    if as_json:
        print(json.dumps([asdict(c) for c in found]))  # noqa: T201
    else:
        for compared in found:
            print(f"{compared.table}: {'' if compared.changes or compared.refused else 'as declared'}{compared.refused}".rstrip(": "))  # noqa: T201
            for change in compared.changes:
                print(f"  {change}")  # noqa: T201
    return int(any(c.refused for c in found))
