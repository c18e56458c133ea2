"""`penstock deploy`: a version of the pipeline, and of the Penstock that runs it, to where its environment's runtime finds them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from penstock.cli.opening import ready
from penstock.deployment import PIPELINE, Current, DeployedFile, Deployments, Manifest
from penstock.errors import ArgumentError, PipelineFileError
from penstock.jobs.artifacts import artifacts_store, deployments_of
from penstock.parse import Loaded, load


def deploy_command(path: Path, env: str | None, dist: Path) -> None:
    """Upload what is not there yet, and make it current."""
    loaded, deployments = _opened(path, env)
    _without_variables_of_this_process(path, env)
    seen = deployments.current()
    sources = dict(_sources(loaded, dist))
    manifest = Manifest(
        loaded.pipeline.pipeline,
        str(loaded.env),
        version("penstock"),
        tuple(DeployedFile.of(name, source.read_bytes()) for name, source in sorted(sources.items())),
        _now(),
    )
    put = deployments.upload(manifest, lambda file: sources[file.path].read_bytes())
    _make_current(deployments, manifest, seen)
    size = sum(file.size for file in put)
    print(f"{len(put)} of {len(manifest.files)} files uploaded, {size:,} bytes; the others were there")  # noqa: T201


def deploy_to_command(path: Path, env: str | None, to: str) -> None:
    """Make a version that is there current again."""
    _, deployments = _opened(path, env)
    seen = deployments.current()
    manifest = deployments.manifest(to)
    deployments.check(manifest)
    _make_current(deployments, manifest, seen)


def list_command(path: Path, env: str | None, *, as_json: bool) -> None:
    """The versions that are there, the newest last."""
    from penstock.report.tables import show_rows

    _, deployments = _opened(path, env)
    seen = deployments.current()
    current = seen[0].version if seen else None
    found = sorted(deployments.all(), key=lambda m: m.deployed_at)
    if as_json:
        for manifest in found:
            print(json.dumps({"version": manifest.version, "current": manifest.version == current, **asdict(manifest)}))  # noqa: T201
        return
    rows = [
        (m.version, "current" if m.version == current else "", m.deployed_at, m.penstock, len(m.files), f"{sum(f.size for f in m.files) / 1e6:,.1f}")
        for m in found
    ]
    show_rows(sys.stdout, ("version", "", "deployed", "penstock", "files", "MB"), rows)


def _without_variables_of_this_process(path: Path, env: str | None) -> None:
    """Raises ArgumentError when the file needs one: where it runs there is none."""
    try:
        load(path, env=env, environment={})
    except PipelineFileError as error:
        raise ArgumentError(
            f"where a deployed pipeline runs, no variable of this process is set. {error.message}", hint="give the environment's own value, under `variables:`"
        ) from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _make_current(deployments: Deployments, manifest: Manifest, seen: tuple[Current, str] | None) -> None:
    made = deployments.point(manifest.version, since=_now(), seen=seen)
    before = f", before it {made.former}; `penstock deploy --to {made.former}` goes back" if made.former and made.former != made.version else ""
    print(f"{manifest.pipeline} in {manifest.environment}: version {made.version} is current{before}")  # noqa: T201


def _opened(path: Path, env: str | None) -> tuple[Loaded, Deployments]:
    loaded, _ = ready(path, env)
    artifacts_store(loaded).check()
    return loaded, deployments_of(loaded)


def _sources(loaded: Loaded, dist: Path) -> Iterator[tuple[str, Path]]:
    """What a version consists of: its path there, and the file here."""
    from penstock.jobs.bin import launch

    yield "launch.py", Path(launch.__file__)
    yield f"{PIPELINE}pipeline.yaml", loaded.file
    yield from ((f"{PIPELINE}{name}", loaded.folder / name) for name in beside(loaded))
    made = version("penstock")
    for name in (f"penstock-{made}-py3-none-any.whl", f"penstock-{made}.zip"):
        if not (dist / name).is_file():
            raise ArgumentError(f"{dist / name} is not there", hint="make it: `make dist` in a checkout of Penstock; or name its folder with --dist")
        yield name, dist / name
    there = loaded.environment.runtime or loaded.environment.spark
    if there and not (dist / there.archive).is_file():
        made_by = f"make dist CLUSTER={there.archive.removeprefix('cluster-')}"
        raise ArgumentError(f"{dist / there.archive} is not there, which {there.place} needs", hint=f"make it: `{made_by}` in a checkout of Penstock")
    yield from ((found.name, found) for found in dist.glob(there.archive if there else "cluster-*.zip"))


def beside(loaded: Loaded) -> tuple[str, ...]:
    """What a pipeline's steps name, and the Python files beside it, relative to its folder. Raises ArgumentError for one that lies elsewhere."""
    named = {found.name for found in loaded.folder.glob("*.py")}
    for step in loaded.pipeline.steps:
        parts = [getattr(step, kind, None) for kind in ("transform", "call", "sql", "unload", "external")]
        named |= {text for part in parts for field in ("sql", "python", "definition", "file") if (text := getattr(part, field, None))}
        named |= {text for part in parts for text in getattr(part, "views", {}).values()}
        named |= {f"{gate.suite}.json"} if (gate := getattr(step, "gate", None)) else set()
    for name in named:
        if not (loaded.folder / name).resolve().is_relative_to(loaded.folder.resolve()):
            raise ArgumentError(f"{name} lies outside the pipeline's folder, and would not be deployed", hint=f"move it to {loaded.folder}")
    return tuple(sorted(str(Path(name)) for name in named))
