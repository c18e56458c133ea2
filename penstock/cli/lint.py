"""`penstock lint`: the SQL that a pipeline has for Redshift, looked at before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from penstock.cli.opening import open_pipeline
from penstock.errors import ArgumentError
from penstock.parse import Loaded
from penstock.pipeline import CallStep, SqlStep, UnloadStep
from penstock.redshift_lint import Finding, Use, lint


def texts(loaded: Loaded) -> Iterator[tuple[str, Use]]:
    """(file beside the pipeline file, what it is for) of each text."""
    for step in loaded.pipeline.steps:
        match step:
            case CallStep() if step.call.definition:
                yield step.call.definition, "" if step.call.idempotent else "load"
            case SqlStep():
                yield step.sql.file, "" if step.sql.idempotent else "load"
            case UnloadStep():
                yield step.unload.sql, "unload"


def lint_command(path: Path, env: str | None) -> int:
    """Exit code 1 where an error was found."""
    named: list[tuple[Path, Use]] = [(path, "")]
    if path.suffix != ".sql":
        loaded = open_pipeline(path, env, [])
        named = [(loaded.folder / name, use) for name, use in texts(loaded)]
    elif not path.is_file():
        raise ArgumentError(f"there is no file {path}", hint="penstock lint PIPELINE, or penstock lint FILE.sql")
    worst = 0
    for file, use in named:
        for found in lint(file.read_text(encoding="utf-8"), use):
            print(_shown(file, found))  # noqa: T201
            worst = max(worst, int(found.level == "error"))
    if not worst:
        print(f"{len(named)} files, no errors")  # noqa: T201
    return worst


def _shown(file: Path, found: Finding) -> str:
    return f"{file.name}:{found.line}:{found.column}: {found.level}: {found.message} [{found.rule}]"
