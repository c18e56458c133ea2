"""`penstock state`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from penstock.cli.opening import ready


def state_command(path: Path, env: str | None, param: list[str], *, as_json: bool) -> None:
    """Print, per target, batches cut, applied and waiting."""
    from penstock.jobs.admin import targets
    from penstock.jobs.context import Context

    context = Context(*ready(path, env, param), run="state")
    found = targets(context)
    if as_json:
        print(json.dumps([asdict(t) | {"waiting": t.waiting} for t in found]))  # noqa: T201
        return
    from penstock.report.tables import show_rows

    show_rows(sys.stdout, ("step", "kind", "target", "cut", "applied", "waiting"), [(t.step, t.kind, t.target, t.cut, t.applied, t.waiting) for t in found])
    print(f"state store: {context.state.root}")  # noqa: T201
