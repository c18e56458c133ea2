"""YAML as data with the position of every value, read as YAML 1.2 reads it: `on`, `yes` and `no` are words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from penstock.errors import Problem

Path = tuple[str | int, ...]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's safe loader, by libyaml where it is there, with YAML 1.2's scalars."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("tag:yaml.org,2002:int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("tag:yaml.org,2002:float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", "~nN\0"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first) if _tag[-4:] != "null" else ["~", "n", "N", ""])


@dataclass
class Document:
    """A file's data, where each value stands (line and column from 1), and what is wrong with its form."""

    file: str
    data: Any = None
    positions: dict[Path, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, path: Path, message: str) -> Problem:
        """A problem at a path, or where its nearest parent stands."""
        known = next((path[:i] for i in range(len(path), -1, -1) if path[:i] in self.positions), ())
        line, column = self.positions.get(known, (1, 1))
        return Problem(message, dotted(path), self.file, line, column)


def dotted(path: Path) -> str:
    """`steps[1].merge.from`."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")


def read_document(text: str, file: str) -> Document:
    """Parse; a malformed document has one problem and no data."""
    document = Document(file)
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            document.data = _value(loader, node, (), document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        document.problems.append(Problem(f"not valid YAML: {error.problem or error.context}", "", file, line, column))
        document.data = None
    finally:
        loader.dispose()
    return document


def _value(loader: _Loader, node: yaml.Node, path: Path, document: Document) -> Any:
    document.positions[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.MappingNode):
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            name = str(key_node.value)  # a key is a word, `null` and `on` too
            if name in found:
                mark = key_node.start_mark
                document.problems.append(Problem(f"{name!r} is given twice", dotted((*path, name)), document.file, mark.line + 1, mark.column + 1))
            found[name] = _value(loader, value_node, (*path, name), document)
            document.positions[(*path, name)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*path, i), document) for i, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


def strings(data: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every string value with its path."""
    if isinstance(data, str):
        yield path, data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from strings(value, (*path, key))
    elif isinstance(data, list):
        for i, value in enumerate(data):
            yield from strings(value, (*path, i))
