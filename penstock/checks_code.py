"""The user's SQL and Python beside a pipeline file, checked without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from penstock.errors import Problem, choice, nearest
from penstock.lineage import SqlProblem, bound, columns_of, family, output_of, parse, tables_of
from penstock.parse import Loaded
from penstock.pipeline import CallStep, ExternalStep, SqlStep, TransformStep, UnloadStep
from penstock.scripts import MOST_TOGETHER, statements

_NOT_IN_CONNECT = frozenset({"rdd", "sparkContext", "_jvm", "_jsc", "_sc"})
_INTERVAL = frozenset({"data_interval_start", "data_interval_end"})


def check_code(loaded: Loaded) -> Iterator[Problem]:
    for i, step in enumerate(loaded.pipeline.steps):
        match step:
            case TransformStep() if step.transform.sql:
                yield from _sql_transform(loaded, i, step, loaded.folder / step.transform.sql)
            case TransformStep():
                yield from _python(loaded, i, loaded.folder / (step.transform.python or ""))
            case UnloadStep():
                yield from _unload(loaded, i, step, loaded.folder / step.unload.sql)
            case SqlStep():
                yield from _script(loaded, i, step, loaded.folder / step.sql.file)
            case ExternalStep():
                for name, file in step.external.views.items():
                    yield from _view(loaded, ("steps", i, "external", "views", name), loaded.folder / file)
            case CallStep() if step.call.definition and not (loaded.folder / step.call.definition).is_file():
                yield loaded.document.problem(("steps", i, "call", "definition"), f"there is no file {step.call.definition} beside the pipeline file")


def _view(loaded: Loaded, path: tuple[str | int, ...], file: Path) -> Iterator[Problem]:
    text = _text(loaded, path, file)
    if isinstance(text, Problem):
        yield text
        return
    tree = parse(text, "redshift")
    yield from [_at(file, tree)] if isinstance(tree, SqlProblem) else _parameters(loaded, text, "redshift", file)


def _text(loaded: Loaded, path: tuple[str | int, ...], file: Path) -> str | Problem:
    return file.read_text(encoding="utf-8") if file.is_file() else loaded.document.problem(path, f"there is no file {file.name} beside the pipeline file")


def _at(file: Path, problem: SqlProblem) -> Problem:
    return Problem(problem.message, "", file.name, problem.line, problem.column)


def _parameters(loaded: Loaded, sql: str, dialect: str, file: Path) -> Iterator[Problem]:
    from sqlglot import exp

    tree = parse(sql, dialect)
    known = {*loaded.pipeline.params, *_INTERVAL}
    for name in sorted({p.name for p in tree.find_all(exp.Placeholder)} - known) if not isinstance(tree, SqlProblem) else ():
        yield Problem(f"parameter :{name} is not declared under `params:`{nearest(name, known)}", "", file.name)


def expression_problems(loaded: Loaded, expression: str, columns: Iterable[str]) -> Iterator[str]:
    """What is wrong with a Spark SQL expression over a row of some columns."""
    names = {*loaded.pipeline.params, *_INTERVAL}
    found = bound(expression, dict.fromkeys(names, 0))
    if isinstance(found, SqlProblem):
        yield found.message
    known = set(columns)
    yield from (f"column {choice(name, known)}" for name in sorted(columns_of(expression) - known))


def _sql_transform(loaded: Loaded, i: int, step: TransformStep, file: Path) -> Iterator[Problem]:
    sql = _text(loaded, ("steps", i, "transform", "sql"), file)
    if isinstance(sql, Problem):
        yield sql
        return
    lake = {n: table.spark_types for n, table in loaded.pipeline.tables.items() if table.format}
    if unknown := [t for t in tables_of(sql, "spark") if t not in lake]:
        yield from (Problem(f"table {t!r} is not a lake table of the pipeline{nearest(t, lake)}; there are {', '.join(lake)}", "", file.name) for t in unknown)
        return
    output = output_of(sql, "spark", lake)
    if isinstance(output, SqlProblem):
        yield _at(file, output)
        return
    yield from _parameters(loaded, sql, "spark", file)
    yield from (Problem(m, "", file.name) for m in _misfits(output, loaded.pipeline.tables[step.transform.into].spark_types, step.transform.into))


def _misfits(output: dict[str, str], columns: dict[str, str], into: str) -> Iterator[str]:
    """Where a query's columns are not the table's; for Spark, case makes no other name."""
    given, wanted = ({name.lower(): text for name, text in side.items()} for side in (output, columns))
    if missing := [c for c in columns if c.lower() not in given]:
        yield f"{into} wants the columns {', '.join(missing)}, which the query does not give; it gives {', '.join(output)}"
    if extra := [c for c in output if c.lower() not in wanted]:
        yield f"the query gives {', '.join(extra)}, which {into} does not have{nearest(extra[0], columns)}"
    for name in set(given) & set(wanted):
        kinds = [family(given[name]), family(wanted[name])]
        if all(kinds) and kinds[0] != kinds[1]:
            yield f"column {name!r} is a {given[name].lower()} in the query but {into} declares {wanted[name]}"


def _script(loaded: Loaded, i: int, step: SqlStep, file: Path) -> Iterator[Problem]:
    text = _text(loaded, ("steps", i, "sql", "file"), file)
    if isinstance(text, Problem):
        yield text
        return
    count = len(statements(text))
    if count > MOST_TOGETHER and not step.sql.idempotent:
        said = f"{count} statements; Redshift's Data API takes {MOST_TOGETHER} in one transaction with the ledger's: divide the script, or say idempotent: true"
        yield loaded.document.problem(("steps", i, "sql", "file"), said)
    if not count:
        yield loaded.document.problem(("steps", i, "sql", "file"), f"{step.sql.file} has no statement")


def _unload(loaded: Loaded, i: int, step: UnloadStep, file: Path) -> Iterator[Problem]:
    sql = _text(loaded, ("steps", i, "unload", "sql"), file)
    if isinstance(sql, Problem):
        yield sql
        return
    prefix = f"{step.unload.from_}."
    tables = {n.removeprefix(prefix): table.spark_types for n, table in loaded.pipeline.tables.items() if n.startswith(prefix)}
    tree = parse(sql, "redshift")
    if isinstance(tree, SqlProblem):
        yield _at(file, tree)
        return
    yield from _parameters(loaded, sql, "redshift", file)
    # a table that only a procedure makes is not declared: then the columns are known to the warehouse alone
    output = output_of(sql, "redshift", tables) if all(t in tables for t in tables_of(sql, "redshift")) else {e.alias_or_name: "" for e in tree.selects}
    if isinstance(output, SqlProblem):
        yield _at(file, output)
        return
    for name in step.unload.partition_by:
        if name not in output and "*" not in output:
            yield loaded.document.problem(("steps", i, "unload", "partition_by"), f"column {name!r} is not in the query's output: {', '.join(output)}")


def _python(loaded: Loaded, i: int, file: Path) -> Iterator[Problem]:
    text = _text(loaded, ("steps", i, "transform", "python"), file)
    if isinstance(text, Problem):
        yield text
        return
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        yield Problem(f"not valid Python: {error.msg}", "", file.name, error.lineno or 0, error.offset or 0)
        return
    build = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "build"), None)
    if build is None or len(build.args.args) != 2:
        yield Problem("the file has no function build(spark, inputs) that returns a DataFrame", "", file.name, build.lineno if build else 1)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in _NOT_IN_CONNECT:
            yield Problem(f".{node.attr} does not exist in Spark Connect; use DataFrames and SQL", "", file.name, node.lineno, node.col_offset + 1)
