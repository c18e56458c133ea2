"""`penstock init`: a small pipeline over a CSV file that runs as it is."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from penstock.errors import ArgumentError


def init_command(name: str) -> None:
    """Make the folder NAME with a pipeline, a CSV file, a transform and a gate; raises ArgumentError when it exists."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ArgumentError(f"{name!r} is not a pipeline's name: letters, digits and underscores, beginning with a letter")
    folder = Path(name)
    if folder.exists():
        raise ArgumentError(f"{folder} exists already", hint="choose another name, or remove it")
    template = files("penstock") / "template"
    for source in ("pipeline.yaml", "orders.json", "by_country.sql", "landing/orders/2026-01-01.csv"):
        target = folder / source
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((template / source).read_text().replace("PIPELINE_NAME", name).replace("lake.shop", f"lake.{name}"))
    print(f"made {folder}/: pipeline.yaml, a CSV file in landing/orders/, a transform and a gate. Next:")  # noqa: T201
    for line in (f"penstock run {name}", f'penstock query -p {name} "SELECT * FROM lake.{name}.by_country"', f"penstock plan {name}"):
        print(f"  {line}")  # noqa: T201
