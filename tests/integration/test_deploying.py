"""`penstock deploy`: versions that never change, of which one is current."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from pipelines import Done, Project

from penstock.cli.deployed import local_folder
from penstock.config import AwsSettings
from penstock.connectors.s3.access import client
from penstock.connectors.stores import store_at
from penstock.deployment import DeployedFile, Deployments, Manifest
from penstock.errors import CommitConflictError, DeploymentError
from penstock.infra.local.control import LocalAws
from penstock.jobs.bin import launch

TEXT = """pipeline: shop
state: store/state/
connections:
  store: {kind: s3, bucket: BUCKET}
  lake: {kind: catalog, catalog: glue, warehouse: "s3://BUCKET/lake"}
tables:
  lake.NAMESPACE.orders: {format: iceberg, columns: {id: bigint!, amount: double}}
  lake.NAMESPACE.totals: {format: iceberg, columns: {amount: double}}
steps:
  - {id: files, read: {from: store/orders/, format: csv}}
  - {id: orders, copy: {from: files, into: lake.NAMESPACE.orders, write: append}, gate: {suite: orders}}
  - {id: totals, transform: {sql: sql/totals.sql, into: lake.NAMESPACE.totals}}
environments:
  prod: {aws: local, artifacts: "${AT:-store/releases/}"}
  bare: {aws: local}
  glue: {aws: local, engine: spark, artifacts: store/releases/, runtime: {kind: glue, job: shop}}
"""
SUITE = {"name": "orders", "expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "id"}}]}


@pytest.fixture
def bucket(local_bucket: Callable[[str], str]) -> str:
    return local_bucket("deploy")


@pytest.fixture
def project(tmp_path: Path, bucket: str) -> Project:
    made = Project(tmp_path)
    namespace = bucket.replace("-", "_")
    made.write("pipeline.yaml", TEXT.replace("BUCKET", bucket).replace("NAMESPACE", namespace))
    made.write("orders.json", json.dumps(SUITE))
    made.write("sql/totals.sql", f"SELECT sum(amount) AS amount FROM lake.{namespace}.orders")
    made.write("lib.py", "RATE = 2\n")
    made.write("landing/secret.csv", "not,deployed\n")
    for name in (f"penstock-{version('penstock')}-py3-none-any.whl", f"penstock-{version('penstock')}.zip", "cluster-py311.zip"):
        made.write(f"dist/{name}", f"the bytes of {name}")
    return made


def deploy(project: Project, *arguments: str) -> Done:
    return project.penstock("deploy", "--env", "prod", *arguments)


def versions(project: Project) -> list[dict[str, object]]:
    return deploy(project, "--list", "--json").json()


def current(project: Project) -> str:
    return next(str(v["version"]) for v in versions(project) if v["current"])


def deployments(local_aws: LocalAws, bucket: str) -> Deployments:
    return Deployments(store_at(f"s3://{bucket}/releases", AwsSettings.from_environment(local_aws.environment())), "shop", "prod")


def test_a_version_holds_what_runs_and_follows_from_it_alone(project: Project) -> None:
    first = deploy(project)
    assert (first.code, "8 of 8 files uploaded" in first.out) == (0, True), first
    (only,) = versions(project)
    assert only["penstock"] == version("penstock")
    files = {str(f["path"]): f for f in only["files"]}  # type: ignore[attr-defined]
    made = version("penstock")
    assert set(files) == {
        "launch.py", f"penstock-{made}-py3-none-any.whl", f"penstock-{made}.zip", "cluster-py311.zip",
        "pipeline/pipeline.yaml", "pipeline/orders.json", "pipeline/sql/totals.sql", "pipeline/lib.py",
    }  # fmt: skip
    assert files["pipeline/lib.py"] == {"path": "pipeline/lib.py", "sha256": DeployedFile.of("", b"RATE = 2\n").sha256, "size": 9}
    again = deploy(project)
    assert (again.code, "0 of 8 files uploaded, 0 bytes" in again.out) == (0, True), again
    assert [v["version"] for v in versions(project)] == [only["version"]]


def test_going_back_is_pointing_at_a_former_version(project: Project) -> None:
    deploy(project)
    first = current(project)
    project.write("lib.py", "RATE = 3\n")
    changed = deploy(project)
    second = current(project)
    assert first != second
    assert "1 of 8 files uploaded, 9 bytes" in changed.out
    assert f"before it {first}; `penstock deploy --to {first}` goes back" in changed.out
    assert deploy(project, "--to", first).code == 0
    assert current(project) == first
    unknown = deploy(project, "--to", f"{first[:-1]}x")
    assert (unknown.code, f"did you mean '{first}'?" in unknown.err) == (1, True), unknown.err
    listed = deploy(project, "--list").out
    assert [line.split()[1] for line in listed.splitlines() if first in line] == ["current"]


@pytest.mark.parametrize("lost", ["files/", "manifest", "current"])
def test_a_lost_answer_is_not_another_deployment(project: Project, faults: Callable[..., None], lost: str) -> None:
    deploy(project)
    first = current(project)
    project.write("lib.py", "RATE = 3\n")
    faults(service="s3", operation=f"^PUT .*{lost}", status=500, code="InternalError", times=1, after=True)
    done = deploy(project)
    assert (done.code, f"before it {first};" in done.out) == (0, True), done
    assert current(project) != first
    assert f"before it {first};" in deploy(project).out, "the same once more is no other version"


def test_a_version_that_lost_a_file_is_not_pointed_at(project: Project, bucket: str, local_aws: LocalAws) -> None:
    deploy(project)
    first = current(project)
    project.write("lib.py", "RATE = 3\n")
    deploy(project)
    gone = DeployedFile.of("pipeline/lib.py", b"RATE = 2\n").key
    client("s3", AwsSettings.from_environment(local_aws.environment())).delete_object(Bucket=bucket, Key=f"releases/{gone}")
    done = deploy(project, "--to", first)
    assert (done.code, f"{gone}, pipeline/lib.py of version {first}, is gone" in done.err) == (1, True), done.err
    assert current(project) != first


@pytest.mark.parametrize("other", [b"RATE = 4\n", b"longer than it was"])
def test_other_bytes_under_a_files_hash_stop_it(project: Project, bucket: str, local_aws: LocalAws, other: bytes) -> None:
    key = DeployedFile.of("pipeline/lib.py", b"RATE = 2\n").key
    client("s3", AwsSettings.from_environment(local_aws.environment())).put_object(Bucket=bucket, Key=f"releases/{key}", Body=other)
    done = deploy(project)
    assert (done.code, f"{key} does not hold what its name says" in done.err) == (1, True), done.err
    assert versions(project) == []


def test_a_changed_manifest_is_found_out(project: Project, bucket: str, local_aws: LocalAws) -> None:
    deploy(project)
    s3, key = client("s3", AwsSettings.from_environment(local_aws.environment())), f"releases/shop/prod/versions/{current(project)}/manifest.json"
    text = s3.get_object(Bucket=bucket, Key=key)["Body"].read().replace(DeployedFile.of("", b"RATE = 2\n").sha256.encode(), b"0" * 64)
    s3.put_object(Bucket=bucket, Key=key, Body=text)
    done = deploy(project, "--list")
    assert (done.code, "was changed after it was written" in done.err) == (1, True), done.err


def test_of_two_deployments_at_once_one_is_current_and_the_other_told_so(project: Project, bucket: str, local_aws: LocalAws) -> None:
    place = deployments(local_aws, bucket)
    first, second, third = manifests = [
        Manifest("shop", "prod", "0", (DeployedFile.of("a", data),), "2026-01-01T00:00:00+00:00") for data in (b"1", b"2", b"3")
    ]
    for manifest, data in zip(manifests, (b"1", b"2", b"3"), strict=True):
        place.upload(manifest, lambda _, data=data: data)  # type: ignore[misc]
    place.point(first.version, since="now", seen=None)
    with pytest.raises(CommitConflictError, match=f"{first.version} is current since now"):
        place.point(second.version, since="now", seen=None)
    seen = place.current()
    assert place.point(second.version, since="now", seen=seen).former == first.version
    with pytest.raises(CommitConflictError, match=f"{second.version} is current since now"):
        place.point(third.version, since="now", seen=seen)
    assert current(project) == second.version
    with pytest.raises(DeploymentError, match="has no b; it has a"):
        first.file("b")


def test_a_deployed_version_runs_by_its_manifest(project: Project, bucket: str, local_aws: LocalAws, tmp_path: Path) -> None:
    client("s3", AwsSettings.from_environment(local_aws.environment())).put_object(Bucket=bucket, Key="orders/1.csv", Body=b"id,amount\n1,2.5\n2,4\n")
    deploy(project)
    manifest = f"s3://{bucket}/releases/shop/prod/versions/{current(project)}/manifest.json"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    project.write("pipeline.yaml", "broken since")

    def launched(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, launch.__file__, *arguments]
        return subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=False, env={**os.environ, **local_aws.environment()})

    done = launched(manifest, "--env", "prod")
    assert (done.returncode, "orders   done" in done.stdout.replace("\n ", "\n")) == (0, True), (done.stdout, done.stderr)
    assert list(elsewhere.iterdir()) == []
    done = launched("--JOB_NAME", "x", launch.GLUE_PARAMETER, json.dumps([manifest, "--env", "prod"]), "--TempDir", "s3://x")
    assert (done.returncode, "nothing to do" in done.stdout) == (0, True), (done.stdout, done.stderr)


def test_what_is_fetched_is_what_was_deployed(project: Project, bucket: str, local_aws: LocalAws) -> None:
    deploy(project)
    uri = f"s3://{bucket}/releases/shop/prod/versions/{current(project)}/manifest.json"
    with local_folder(uri) as folder:
        assert (folder / "sql" / "totals.sql").read_text() == project.text("sql/totals.sql")
        assert {f.name for f in folder.iterdir()} == {"pipeline.yaml", "orders.json", "sql", "lib.py"}
    assert not folder.exists()
    key = DeployedFile.of("pipeline/lib.py", b"RATE = 2\n").key
    client("s3", AwsSettings.from_environment(local_aws.environment())).put_object(Bucket=bucket, Key=f"releases/{key}", Body=b"RATE = 9\n")
    with pytest.raises(DeploymentError, match=r"is not what version \w+ has as pipeline/lib\.py"), local_folder(uri):
        pytest.fail("taken as it was")
    with pytest.raises(DeploymentError, match="is not there"), local_folder(uri.replace("/versions/", "/version/")):
        pytest.fail("made up")


BAD = {
    "no artifacts": (["--env", "bare"], {}, "environment 'bare' has no artifacts", 2),
    "no environment": ([], {}, "no environment was named", 2),
    "no such bucket": (["--env", "prod"], {"AT": "s3://nobody-made-this-one/x/"}, "refused ListObjectsV2: NoSuchBucket", 1),
    "no place for files": (["--env", "prod"], {"AT": "lake.a.b"}, "is not s3://bucket/prefix/, nor connection/path/", 2),
    "a list": (["--env", "prod"], {"AT": "s3://a/b,s3://c/d"}, "environments.prod.artifacts", 2),
    "nothing built": (["--env", "prod", "--dist", "nowhere"], {}, "`make dist` in a checkout of Penstock", 2),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_is_named(project: Project, case: str) -> None:
    arguments, environment, message, code = BAD[case]
    project.environment |= environment
    done = project.penstock("deploy", *arguments)
    assert (done.code, message in done.err) == (code, True), done.err


def test_a_runtime_gets_its_own_archive(project: Project) -> None:
    without = project.penstock("deploy", "--env", "glue")
    assert (without.code, "Glue 6.0, job shop, Python 3.13 needs" in without.err) == (2, True), without.err
    assert "`make dist CLUSTER=py313.gluewheels.zip`" in without.err
    project.write("dist/cluster-py313.gluewheels.zip", "wheels")
    assert project.penstock("deploy", "--env", "glue").code == 0
    (made,) = project.penstock("deploy", "--env", "glue", "--list", "--json").json()
    assert [f["path"] for f in made["files"] if "cluster" in f["path"]] == ["cluster-py313.gluewheels.zip"]


def test_a_variable_of_this_process_is_refused(project: Project) -> None:
    project.write("pipeline.yaml", project.text("pipeline.yaml").replace("from: store/orders/", 'from: "store/${FOLDER}/"'))
    project.environment["FOLDER"] = "orders"
    done = deploy(project)
    assert (done.code, "variable 'FOLDER' is not set" in done.err and "under `variables:`" in done.err) == (2, True), done.err


def test_a_file_outside_the_folder_is_refused(project: Project) -> None:
    (project.folder.parent / "out.sql").write_text(project.text("sql/totals.sql"))
    project.write("pipeline.yaml", project.text("pipeline.yaml").replace("sql/totals.sql", "../out.sql"))
    done = deploy(project)
    assert (done.code, "../out.sql lies outside the pipeline's folder" in done.err) == (2, True), done.err


@pytest.mark.parametrize(
    ("operation", "what"), [("^PUT", "s3:PutObject on arn:aws:s3:::BUCKET/releases/*"), ("^GET /BUCKET.*list-type", "s3:ListBucket on arn:aws:s3:::BUCKET")]
)
def test_a_refused_permission_is_named(project: Project, bucket: str, faults: Callable[..., None], operation: str, what: str) -> None:
    faults(service="s3", operation=operation.replace("BUCKET", bucket), times=10_000, status=403, code="AccessDenied")
    done = deploy(project)
    assert (done.code, f"the caller needs {what.replace('BUCKET', bucket)}\n" in done.err) == (1, True), done.err
