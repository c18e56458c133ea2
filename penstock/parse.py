"""From a pipeline file, an environment's name and variables to a `Pipeline`; every problem of the file is found at once, with its place."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from penstock.errors import ArgumentError, PipelineFileError, Problem, choice
from penstock.explain import explain
from penstock.pipeline import Environment, Pipeline
from penstock.yaml_positions import Document, read_document, strings

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")
_FILLED_IN_BLOCK = ("artifacts", "runtime", "spark")  # of an environment; its `connections` are filled where they belong
_SECRET_KEY = re.compile(r"(?i)^(password|passwd|secret_access_key|aws_secret_access_key|access_key|access_key_id|token|private_key)$")
_SECRET_TEXT = re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b")


@dataclass(frozen=True)
class Loaded:
    """A pipeline as one environment sees it. `parameters` are what `:name` in SQL stands for, the data interval included."""

    pipeline: Pipeline
    file: Path
    env: str | None
    environment: Environment
    parameters: Mapping[str, Any] = field(default_factory=dict)
    document: Document = field(default_factory=lambda: Document(""), repr=False, compare=False)

    @property
    def folder(self) -> Path:
        return self.file.parent


def load(
    path: Path,
    *,
    env: str | None = None,
    params: Mapping[str, str] | None = None,
    interval: tuple[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """Read and validate a pipeline file, or the `pipeline.yaml` of a folder.

    `${NAME}` is looked for in the process's environment, then in the environment block's variables, then its own default.
    Raises PipelineFileError with all problems of the file, ArgumentError for a wrong path, environment or parameter.
    """
    file = _file_of(path)
    document = read_document(file.read_text(encoding="utf-8"), str(path if path.is_file() else path / "pipeline.yaml"))
    if not isinstance(document.data, dict):
        raise PipelineFileError(document.problems or [Problem("the file is empty; a pipeline has a name, connections and steps", "", document.file, 1, 1)])
    name, block = _environment(document.data, env)
    problems = [*document.problems, *_secrets(document)]
    data = dict(document.data)
    data["connections"] = _merged(data.get("connections"), block.get("connections"))
    variables = {k: str(v) for k, v in (block.get("variables") or {}).items()} | dict(os.environ if environment is None else environment)
    filled = _filled({k: v for k, v in data.items() if k != "environments"}, variables, document, problems, name)
    filled |= _environments(data, name, lambda block: _filled(block, variables, document, problems, name, ("environments", str(name))))
    try:
        pipeline = Pipeline.model_validate(filled)
    except ValidationError as error:
        raise PipelineFileError(sorted({*problems, *explain(error, document)}, key=lambda p: (p.line, p.column))) from None
    if problems:
        raise PipelineFileError(problems)
    chosen = pipeline.environments[name] if name else Environment()
    return Loaded(pipeline, file, name, chosen, _parameters(pipeline, params or {}, interval), document)


def _file_of(path: Path) -> Path:
    file = path / "pipeline.yaml" if path.is_dir() else path
    if not file.is_file():
        raise ArgumentError(f"there is no pipeline file at {path}", hint="name a YAML file or a folder with a pipeline.yaml; `penstock init NAME` makes one")
    return file.absolute()


def _environment(data: Mapping[str, Any], env: str | None) -> tuple[str | None, Mapping[str, Any]]:
    """The environment's name and block: the one asked for, else `local` where the file has it."""
    blocks = data.get("environments")
    blocks = blocks if isinstance(blocks, dict) else {}
    name = env or ("local" if "local" in blocks else None)
    if name is not None and name not in blocks:
        raise ArgumentError(f"environment {choice(name, blocks)}", hint="declare it under `environments:`, or leave out --env")
    block = blocks.get(name) if name else None
    return name, block if isinstance(block, dict) else {}


def _environments(data: Mapping[str, Any], chosen: str | None, filled: Callable[[Any], Any]) -> dict[str, Any]:
    """The blocks, where the chosen one's variables are filled in; what holds a variable is left out of the others, whose values nobody knows here."""
    blocks = data.get("environments")
    if not isinstance(blocks, dict):
        return {"environments": blocks} if "environments" in data else {}

    def seen(name: str, block: Any) -> Any:
        if not isinstance(block, dict):
            return block
        own = {key: block[key] for key in _FILLED_IN_BLOCK if key in block}
        if name == chosen:
            return block | filled(own)
        return {key: value for key, value in block.items() if key not in own or not any(_VARIABLE.search(text) for _, text in strings(value))}

    return {"environments": {name: seen(name, block) for name, block in blocks.items()}}


def _merged(base: Any, over: Any) -> Any:
    """Mappings joined, the second one's values first."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {k: _merged(base.get(k), over[k]) if k in over else base[k] for k in (*base, *(k for k in over if k not in base))}
    return base if over is None else over


def _filled(data: Any, variables: Mapping[str, str], document: Document, problems: list[Problem], env: str | None, at: tuple[str | int, ...] = ()) -> Any:
    """The data with every `${NAME}` replaced; what is missing is added to the problems, never with a value."""
    looked = "the process's environment" + (f" and environments.{env}.variables" if env else " (the file was read without --env)")

    def fill(value: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(value, dict):
            return {k: fill(v, (*path, k)) for k, v in value.items()}
        if isinstance(value, list):
            return [fill(v, (*path, i)) for i, v in enumerate(value)]
        return _VARIABLE.sub(lambda m: one(m, path), value) if isinstance(value, str) else value

    def one(match: re.Match[str], path: tuple[str | int, ...]) -> str:
        name, default = match["name"], match["default"]
        if name not in variables and default is None:
            problems.append(document.problem(path, f"variable {name!r} is not set: looked in {looked}; set it, or write ${{{name}:-default}}"))
        return variables.get(name, default or "")

    return fill(data, at)


def _secrets(document: Document) -> list[Problem]:
    """Places that look like a secret; the value is never repeated."""
    advice = "a secret does not belong in the file: name where it is kept (`secret:` names one in Secrets Manager)"
    found = []
    for path, text in strings(document.data):
        if (path and isinstance(path[-1], str) and _SECRET_KEY.match(path[-1]) and not _VARIABLE.search(text)) or _SECRET_TEXT.search(text):
            found.append(document.problem(path, advice))
    return found


def _parameters(pipeline: Pipeline, given: Mapping[str, str], interval: tuple[str, str] | None) -> dict[str, Any]:
    """Declared parameters with the values given for them, typed as their defaults are. Raises ArgumentError for others."""
    found: dict[str, Any] = dict(pipeline.params)
    for name, text in given.items():
        if name not in pipeline.params:
            raise ArgumentError(f"parameter {choice(name, pipeline.params)}", hint="declare it under `params:` with its default")
        found[name] = _typed(name, text, pipeline.params[name])
    if interval:
        found |= {"data_interval_start": interval[0], "data_interval_end": interval[1]}
    return found


def _typed(name: str, text: str, default: Any) -> Any:
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise ArgumentError(f"--param {name}={text}: true or false is expected")
        return text.lower() == "true"
    try:
        return type(default)(text)
    except ValueError:
        raise ArgumentError(f"--param {name}={text}: a {type(default).__name__} is expected, as its default {default!r}") from None
