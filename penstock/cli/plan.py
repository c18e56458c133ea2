"""`penstock plan`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from penstock.cli.opening import open_pipeline
from penstock.plan import compile_plan


def plan_command(path: Path, env: str | None, param: list[str], *, as_json: bool) -> None:
    """Check offline and print the graph; nothing is contacted."""
    plan = compile_plan(open_pipeline(path, env, param))
    if as_json:
        print(json.dumps(asdict(plan)))  # noqa: T201
        return
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
