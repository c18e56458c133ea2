"""The folders are the architecture: which part may import which, and what must never load early. Exit code 1 with a line for each breach."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = {"penstock": "penstock", "connectors": "penstock.connectors", "quality": "penstock.quality", "jobs": "penstock.jobs", "infra": "penstock.infra"}
DOORS = ("penstock.cli", "penstock.airflow", "penstock.report", "penstock.testing", "penstock.jobs.bin", "dags")
TIERS = (("penstock.jobs",), ("penstock.connectors", "penstock.quality", "penstock.engines"))
HEAVY = frozenset(
    [
        "pyspark",
        "airflow",
        "great_expectations",
        "pandas",
        "awswrangler",
        "boto3",
        "botocore",
        "pyarrow",
        "duckdb",
        "deltalake",
        "pyiceberg",
        "moto",
        "psycopg",
        "pysail",
        "numpy",
    ]
)
# the doors of infra, and what infra may take from the rules
TO_INFRA, FROM_INFRA = (
    ("penstock.cli.local", "penstock.cli.doctor", "penstock.testing"),
    ("penstock.errors", "penstock.config", "penstock.schema", "penstock.runtimes.s3a", "penstock.redshift_words"),
)


def within(module: str, parts: tuple[str, ...]) -> bool:
    return any(module == p or module.startswith(f"{p}.") for p in parts)


def tier(module: str) -> int:
    """0: the rules, 1: connectors, quality and engines, 2: jobs, 3: the doors. `engines.base` is a rule: it is what engines agree on."""
    if within(module, DOORS):
        return 3
    if within(module, TIERS[0]):
        return 2
    return 1 if within(module, TIERS[1]) and module != "penstock.engines.base" else 0


def imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[str, int, bool]]:
    """(imported module, line, at the module's own import) of every import; those for type checkers alone are left out."""
    early, for_types = {id(n) for n in _early(tree)}, _typing_only(tree)
    for node in (n for n in ast.walk(tree) if id(n) not in for_types):
        if isinstance(node, ast.Import):
            yield from ((name.name, node.lineno, id(node) in early) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".") if is_package else module.split(".")[:-1]
            package = ".".join(base[: len(base) - node.level + 1]) if node.level else ""
            found = ".".join(p for p in (package, node.module) if p)
            yield from ((f"{found}.{n.name}" if found.startswith("penstock") else found, node.lineno, id(node) in early) for n in node.names)


def _early(tree: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _early(child)


def _typing_only(tree: ast.AST) -> set[int]:
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and isinstance(n.test, ast.Name) and n.test.id == "TYPE_CHECKING"]
    return {id(n) for block in blocks for statement in block.body for n in ast.walk(statement)}


def breaches(module: str, source: str, *, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """(line, what is wrong) for each forbidden import of a module."""
    for imported, line, early in imports(ast.parse(source), module, is_package):
        if imported.split(".")[0] in HEAVY and early and ((tier(module) == 0 and not within(module, ("penstock.infra",))) or module.startswith("dags")):
            yield line, f"{imported} is loaded at the import of {module}"
        if not within(imported, ("penstock",)):
            continue
        if within(module, ("penstock.infra",)):
            if not within(imported, ("penstock.infra", *FROM_INFRA)):
                yield line, f"infra stands apart but imports {imported}"
        elif within(imported, ("penstock.infra",)) and not within(module, TO_INFRA):
            yield line, f"{module} imports {imported}; only {', '.join(TO_INFRA)} may"
        elif tier(imported) > tier(module):
            yield line, f"{module} imports {imported}, which stands above it"


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    for folder, name in FOLDERS.items():
        for file in sorted((root / folder).rglob("*.py")):
            parts = [name, *file.relative_to(root / folder).with_suffix("").parts]
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file
    yield from ((f"dags.{file.stem}", file) for file in sorted((root / "dags").glob("*.py")))


def cycles(graph: dict[str, set[str]]) -> Iterator[list[str]]:
    """Each cycle of the module-level imports once."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> Iterator[list[str]]:
        if module in path:
            yield [*path[path.index(module) :], module]
        elif module not in done:
            for imported in sorted(graph.get(module, ())):
                yield from visit(imported, [*path, module])
            done.add(module)

    for module in sorted(graph):
        yield from visit(module, [])


def main(root: Path = Path()) -> int:
    found, graph = 0, dict[str, set[str]]()
    known = {name for name, _ in modules(root)}
    for module, file in modules(root):
        source = file.read_text(encoding="utf-8")
        for line, what in breaches(module, source, is_package=file.name == "__init__.py"):
            print(f"{file}:{line}: {what}")
            found += 1
        early = {i for i, _, e in imports(ast.parse(source), module, file.name == "__init__.py") if e}
        graph[module] = {
            target
            for i in early
            for target in (i, i.rpartition(".")[0])
            if target in known and target != module and not (target == i.rpartition(".")[0] and i in known)
        }
    for cycle in cycles(graph):
        print(f"import cycle: {' -> '.join(cycle)}")
        found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
