"""A pipeline file's problems: all at once, each in its place, with what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.cli.schema import pipeline_schema
from penstock.errors import ArgumentError, PipelineFileError
from penstock.parse import load
from penstock.pipeline import STEP_KINDS, Merge, Pipeline

BAD = """pipeline: flights
conections: {}
connections:
  raw: {kind: s3, bucket: "${RAW}", passwort: x}
  w: {kind: redshift, workgroup: a, cluster: b}
  x: {kind: s4}
tables:
  lake.ops.flights: {format: icebrg, columns: {flight_id: bigint!, d: dat}, keys: [flight_i]}
steps:
  - {id: a, reed: {from: raw/x/, format: debezium}}
  - {id: b, merge: {frm: a, into: lake.ops.flights}, gate: {suite: s, on_failure: quarantin}}
  - {id: c, call: {on: w, procedure: mart}}
"""
GOOD = """pipeline: small
params: {days: 3, name: x, wet: false}
connections:
  raw: {kind: s3, bucket: "${BUCKET:-fallback}"}
  lake: {kind: catalog, catalog: sqlite, warehouse: "${HERE}/w"}
  on: {kind: files, path: no}
steps:
  - {id: a, read: {from: raw/x/, format: csv, null: NA}}
environments:
  local: {aws: local, variables: {HERE: /tmp/x}, connections: {raw: {bucket: from-the-block}}}
  prod: {}
"""


def problems(tmp_path: Path, text: str, env: str | None = None) -> list[str]:
    (tmp_path / "pipeline.yaml").write_text(text)
    with pytest.raises(PipelineFileError) as raised:
        load(tmp_path, env=env, environment={})
    return [f"{p.line}:{p.column} {p.path}: {p.message}" for p in raised.value.problems]


def test_all_problems_are_found_at_once_each_in_its_place(tmp_path: Path) -> None:
    found = problems(tmp_path, BAD)
    expected = (
        ("2:1 conections", "did you mean 'connections'?"),
        ("4:19 connections.raw.bucket", "variable 'RAW' is not set: looked in the process's environment"),
        ("4:37 connections.raw.passwort", "allowed: kind, bucket, prefix, region"),
        ("5:3 connections.w", "give one of workgroup (Serverless) and cluster (provisioned)"),
        ("6:3 connections.x", "kind 's4' is not one of s3, files, catalog, redshift"),
        ("8:22 tables.lake.ops.flights.format", "'icebrg' is not one of iceberg, delta; did you mean 'iceberg'?"),
        ("8:38 tables.lake.ops.flights.columns", "type 'dat' is not one of"),
        ("10:5 steps[0]", f"exactly one of {', '.join(STEP_KINDS)}; this one has id, reed"),
        ("11:13 steps[1].merge.from", "'from' is missing"),
        ("11:21 steps[1].merge.frm", "did you mean 'from'?"),
        ("11:71 steps[1].gate.on_failure", "'quarantin' is not one of stop, quarantine; did you mean 'quarantine'?"),
        ("12:27 steps[2].call.procedure", "'mart' is not a name or form that is allowed here"),
    )
    for place, message in expected:
        assert any(f.startswith(place) and message in f for f in found), (place, found)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("pipeline: [a\nb: c", "2:2", "not valid YAML"),
        ("", "1:1", "the file is empty"),
        ("pipeline: a\npipeline: b\nconnections: {}\nsteps: []", "2:1", "'pipeline' is given twice"),
        (GOOD.replace("kind: files, path: no", "kind: redshift, workgroup: w, resume: true"), "6:", "Serverless wakes by itself; resume goes with cluster"),
        (GOOD.replace("kind: files, path: no", "kind: redshift, workgroup: w, host: h"), "6:", "host goes with client: redshift-connector"),
        (GOOD.replace("kind: files", "password: hunter2, kind: files"), "6:", "a secret does not belong in the file"),
        (GOOD.replace("name: x", "name: AKIAABCDEFGHIJKLMNOP"), "2:", "a secret does not belong in the file"),
    ],
)
def test_malformed_files(tmp_path: Path, text: str, place: str, message: str) -> None:
    found = problems(tmp_path, text, env="local" if "environments" in text else None)
    assert any(f.startswith(place) and message in f for f in found), found
    assert not any("hunter2" in f or "AKIAABCDEFGHIJKLMNOP" in f for f in found)


def test_words_stay_words_and_environments_overlay(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(GOOD)
    found = load(tmp_path, environment={}, params={"days": "5", "wet": "true"}, interval=("2026-01-01", "2026-01-02"))
    connections = {name: c.model_dump() for name, c in found.pipeline.connections.items()}
    assert (connections["raw"]["bucket"], connections["on"]["path"], connections["lake"]["warehouse"]) == ("from-the-block", "no", "/tmp/x/w")
    assert found.pipeline.steps[0].read.null == "NA"  # type: ignore[union-attr]
    assert found.parameters == {"days": 5, "name": "x", "wet": True, "data_interval_start": "2026-01-01", "data_interval_end": "2026-01-02"}
    prod = load(tmp_path, env="prod", environment={"HERE": "/srv", "BUCKET": "mine"}).pipeline.connections
    assert (prod["raw"].bucket, prod["lake"].warehouse) == ("mine", "/srv/w")  # type: ignore[union-attr]


def test_wrong_arguments_name_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(GOOD)
    with pytest.raises(ArgumentError, match="did you mean 'prod'"):
        load(tmp_path, env="prodd", environment={})
    with pytest.raises(ArgumentError, match="did you mean 'days'"):
        load(tmp_path, environment={}, params={"day": "1"})
    with pytest.raises(ArgumentError, match="a int is expected"):
        load(tmp_path, environment={}, params={"days": "many"})
    with pytest.raises(ArgumentError, match="there is no pipeline file at"):
        load(tmp_path / "nothing", environment={})


def test_the_file_is_the_models_serialised_form(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(GOOD)
    pipeline = load(tmp_path, environment={}).pipeline
    assert Pipeline.model_validate(pipeline.model_dump(by_alias=True)) == pipeline


def test_the_committed_schema_is_current() -> None:
    committed = Path(__file__).parents[2] / "docs" / "reference" / "pipeline.schema.json"
    assert committed.read_text() == pipeline_schema(), "run: penstock schema > docs/reference/pipeline.schema.json"


@pytest.mark.parametrize("said", ["struct(a, b)", "STRUCT(a,b)", ["a", "b"]])
def test_a_sequence_of_several_columns_is_a_struct_or_a_list(said: str | list[str]) -> None:
    assert Merge.model_validate({"from": "x", "into": "y", "sequence_by": said}).sequence_columns == ("a", "b")
