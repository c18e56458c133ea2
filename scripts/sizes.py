"""Modules of at most 500 lines, functions of at most 60, and no address of a package registry in a committed file. Exit code 1 with a line for each breach."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MODULE_LINES, FUNCTION_LINES = 500, 60
_REGISTRY = re.compile("|".join(("pypi" + r"\.org", "python" + r"hosted\.org", "repo1?" + r"\.maven", "registry" + r"\.npmjs", "deb" + r"\.debian\.org")))


def breaches(file: Path, text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if _REGISTRY.search(line):
            yield number, "the address of a package registry"
    if file.suffix != ".py":
        return
    if (lines := text.count("\n")) > MODULE_LINES:
        yield 1, f"{lines} lines; a module has at most {MODULE_LINES}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.end_lineno and (length := node.end_lineno - node.lineno + 1) > FUNCTION_LINES:
            yield node.lineno, f"{node.name} has {length} lines; a function has at most {FUNCTION_LINES}"


def main() -> int:
    tracked = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True, check=True).stdout.split("\n")
    found = 0
    for file in (Path(name) for name in tracked if name and Path(name).is_file()):
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for line, what in breaches(file, text):
            print(f"{file}:{line}: {what}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
