"""What a pipeline may not have that runs on another machine, which is gone afterwards: things that lie on this one."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.connections import CatalogConnection, FilesConnection, S3Connection
from penstock.parse import Loaded

Found = tuple[tuple[str | int, ...], str]


def runtime_problems(loaded: Loaded) -> Iterator[Found]:
    """Nothing for an environment without a `runtime`, and without a session of `spark`."""
    runtime, session, pipeline = loaded.environment.runtime, loaded.environment.spark, loaded.pipeline
    there = runtime or session
    if there is None:
        return
    at = ("environments", str(loaded.env), "runtime" if runtime else "spark")
    if runtime and session:
        yield at, "a deployed pipeline has the Spark of its own job run: leave `spark` out beside `runtime`"
    if loaded.environment.artifacts is None:
        yield at, "what runs there has to lie somewhere: give the environment `artifacts: s3://bucket/prefix/`, where `penstock deploy` puts it"
    if session and "spark" not in {loaded.environment.engine, *(step.engine for step in pipeline.steps)}:
        yield at, "no step is on Spark: give the environment `engine: spark`, or one of the steps"
    state = pipeline.connections.get((pipeline.state or "").partition("/")[0])
    if runtime and not isinstance(state, S3Connection):
        yield at, f"the state of a run on {runtime.kind} would be gone with its machine: give the pipeline `state:`, a folder of an s3 connection"
    for name, connection in pipeline.connections.items():
        if isinstance(connection, FilesConnection) or (isinstance(connection, CatalogConnection) and connection.catalog == "sqlite"):
            what = "a folder" if isinstance(connection, FilesConnection) else "a catalog in a file"
            wanted = f"environment {loaded.env} needs its own, on S3 or in Glue"
            yield ("connections", name), f"{what} of this machine cannot be reached from {there.kind}; {wanted}"
