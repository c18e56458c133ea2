"""`penstock query`."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Literal

from penstock.cli.opening import ready
from penstock.errors import ArgumentError


def find_pipeline(given: Path | None) -> Path:
    """The pipeline asked for, else this folder's, else the only one in dags/pipelines; raises ArgumentError when that says nothing."""
    if given:
        return given
    found = [p for p in (Path("pipeline.yaml"),) if p.exists()] or sorted(Path("dags/pipelines").glob("*/pipeline.yaml"))
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(p.parent) for p in found)
    raise ArgumentError("which pipeline's tables?" + (f" There are {names}" if found else " There is no pipeline.yaml here"), hint="name it with --pipeline")


def query_command(sql: str, given: Path | None, env: str | None, connection: str | None, *, as_of: str | None, form: Literal["table", "json", "csv"]) -> None:
    """Ask, and print the rows."""
    from penstock.documents import cells, json_rows
    from penstock.jobs.context import Context
    from penstock.jobs.query import ask

    rows = ask(Context(*ready(find_pipeline(given), env), run="query"), sql, connection, as_of)
    if form == "json":
        for row in json_rows(rows):
            print(row)  # noqa: T201
    elif form == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(rows.column_names)
        writer.writerows(cells(rows))
    else:
        from penstock.report.tables import show_rows

        show_rows(sys.stdout, rows.column_names, cells(rows))
