"""The local AWS: it comes and goes with its state, loses it whole or not at all, and refuses by name."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from penstock.config import AwsSettings
from penstock.connections import RedshiftConnection
from penstock.connectors.redshift.client import DataApi
from penstock.connectors.s3.access import client
from penstock.errors import WarehouseError
from penstock.infra.local.control import LocalAws, down, status, up
from penstock.infra.local.errors import LocalAwsError

REDSHIFT = RedshiftConnection(kind="redshift", workgroup="local", database="dev")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "aws"
    down(tmp_path / "aws")


def of(found: LocalAws, service: str) -> Any:
    return client(service, AwsSettings.from_environment(found.environment()))


def api(found: LocalAws) -> DataApi:
    return DataApi(REDSHIFT, AwsSettings.from_environment(found.environment()))


def fill(found: LocalAws) -> None:
    of(found, "s3").create_bucket(Bucket="kept")
    of(found, "s3").put_object(Bucket="kept", Key="a/b", Body=b"content")
    of(found, "glue").create_database(DatabaseInput={"Name": "db"})
    of(found, "glue").create_table(
        DatabaseName="db", TableInput={"Name": "t", "Parameters": {"k": "v"}, "StorageDescriptor": {"Columns": [], "Location": "s3://kept/t"}}
    )
    of(found, "glue").create_partition(
        DatabaseName="db", TableName="t", PartitionInput={"Values": ["1"], "StorageDescriptor": {"Columns": [], "Location": "s3://kept/t/p=1"}}
    )
    of(found, "secretsmanager").create_secret(Name="s", SecretString="hidden")
    api(found).run(["CREATE TABLE public.kept (n INTEGER)", "INSERT INTO public.kept VALUES (7)"])
    (found.home / "state" / "batch").write_text("1")


def test_state_survives_down_and_up_together(home: Path) -> None:
    first = up(home)
    assert up(home) == first, "a second up is the first one's"
    fill(first)
    etag = of(first, "s3").head_object(Bucket="kept", Key="a/b")["ETag"]
    assert down(home)
    assert status(home) is None
    assert not down(home)
    again = up(home)
    assert again.said == ""
    assert of(again, "s3").get_object(Bucket="kept", Key="a/b")["Body"].read() == b"content"
    assert of(again, "s3").head_object(Bucket="kept", Key="a/b")["ETag"] == etag
    assert of(again, "glue").get_table(DatabaseName="db", Name="t")["Table"]["Parameters"] == {"k": "v"}
    (partition,) = of(again, "glue").get_partitions(DatabaseName="db", TableName="t")["Partitions"]
    assert (partition["Values"], partition["StorageDescriptor"]["Location"]) == (["1"], "s3://kept/t/p=1")
    assert of(again, "secretsmanager").get_secret_value(SecretId="s")["SecretString"] == "hidden"
    assert api(again).query("SELECT n FROM public.kept")["n"].to_pylist() == [7]
    assert (home / "state" / "batch").read_text() == "1"


def test_after_a_kill_all_state_is_gone_and_that_is_said(home: Path) -> None:
    first = up(home)
    fill(first)
    os.kill(first.pid, signal.SIGKILL)
    until = time.monotonic() + 20
    while status(home) is not None and time.monotonic() < until:
        time.sleep(0.05)
    again = up(home)
    assert "not ended cleanly" in again.said
    assert "\n" not in again.said
    assert of(again, "s3").list_buckets()["Buckets"] == []
    assert not (home / "state" / "batch").exists()
    with pytest.raises(WarehouseError, match="does not exist"):
        api(again).query("SELECT n FROM public.kept")


def test_a_taken_port_is_one_clear_error(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(LocalAwsError, match="is taken") as raised:
            up(home, taken.getsockname()[1])
    assert "--port" in raised.value.hint


def test_without_postgres_it_says_how_to_get_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_POSTGRES_BIN", str(home / "nowhere"))
    with pytest.raises(LocalAwsError, match="there is no PostgreSQL 15 or 16"):
        up(home)


def test_it_listens_on_the_loopback_alone(local_aws: LocalAws) -> None:
    assert local_aws.endpoint_url.startswith("http://127.0.0.1:")


def test_glue_refuses_a_stale_version(local_aws: LocalAws) -> None:
    glue = of(local_aws, "glue")
    glue.create_database(DatabaseInput={"Name": "versions"})
    table = {"Name": "t", "StorageDescriptor": {"Columns": [], "Location": "s3://x/t"}}
    glue.create_table(DatabaseName="versions", TableInput=table)
    version = glue.get_table(DatabaseName="versions", Name="t")["Table"]["VersionId"]
    glue.update_table(DatabaseName="versions", TableInput=table, VersionId=version)
    with pytest.raises(ClientError, match="ConcurrentModification"):
        glue.update_table(DatabaseName="versions", TableInput=table, VersionId=version)


def test_a_call_that_is_not_there_is_refused_by_name(local_aws: LocalAws) -> None:
    with pytest.raises(ClientError, match="not emulated locally"):
        of(local_aws, "glue").list_data_quality_results()


def test_faults_can_be_asked_for(local_aws: LocalAws) -> None:
    asked = [{"service": "s3", "operation": "PUT /", "status": 400, "code": "Sorry", "times": 1}]
    urllib.request.urlopen(f"{local_aws.endpoint_url}/_penstock/faults", data=json.dumps(asked).encode())
    with pytest.raises(ClientError, match="Sorry"):
        of(local_aws, "s3").create_bucket(Bucket="fails-once")
    of(local_aws, "s3").create_bucket(Bucket="fails-once")


def put_parquet(found: LocalAws, bucket: str, key: str, rows: pa.Table) -> int:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    data = sink.getvalue().to_pybytes()
    of(found, "s3").put_object(Bucket=bucket, Key=key, Body=data)
    return len(data)


def test_copy_takes_csv_and_parquet_within_the_transaction(local_aws: LocalAws, local_bucket: Callable[[str], str]) -> None:
    redshift, bucket = api(local_aws), local_bucket("copy")
    redshift.run(["CREATE TABLE IF NOT EXISTS public.c (n INTEGER ENCODE az64, name VARCHAR(4), at TIMESTAMP) DISTSTYLE EVEN SORTKEY (n)"])
    of(local_aws, "s3").put_object(Bucket=bucket, Key="in/1.csv", Body=b"n,name,at\n1,ab,2013-01-01 10:00:00\n2,,\n")
    redshift.run([f"COPY public.c FROM 's3://{bucket}/in/' IAM_ROLE default CSV IGNOREHEADER 1"])
    size = put_parquet(local_aws, bucket, "p/1.parquet", pa.table({"a": pa.array([3], pa.int32()), "b": ["x"], "c": pa.array([None], pa.timestamp("us"))}))
    manifest = {"entries": [{"url": f"s3://{bucket}/p/1.parquet", "mandatory": True, "meta": {"content_length": size}}]}
    of(local_aws, "s3").put_object(Bucket=bucket, Key="m", Body=json.dumps(manifest).encode())
    copy = f"COPY public.c (n, name, at) FROM 's3://{bucket}/m' IAM_ROLE 'arn:aws:iam::123456789012:role/r' FORMAT AS PARQUET MANIFEST"
    with pytest.raises(WarehouseError):
        redshift.run([copy, "SELECT 1/0"])
    redshift.run([copy])
    assert redshift.query("SELECT n, name FROM public.c ORDER BY n").to_pylist() == [{"n": 1, "name": "ab"}, {"n": 2, "name": ""}, {"n": 3, "name": "x"}]
    redshift.run(["DROP TABLE public.c"])


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"1,abcde\n", "CSV", "String length exceeds DDL length"),
        ("1,äää\n".encode(), "CSV", "String length exceeds DDL length"),
        (b"x,ab\n", "CSV", "failed"),
        (b"1,ab\n", "CSV MAXERROR", "MAXERROR needs a value"),
        (b"1,ab\n", "CSV SHAPEFILE", "not supported locally: COPY with SHAPEFILE"),
        (b"1,ab\n", "FORMAT AS AVRO 'auto'", "Avro"),
    ],
)
def test_copy_fails_as_redshift_does(local_aws: LocalAws, local_bucket: Callable[[str], str], content: bytes, options: str, message: str) -> None:
    redshift, bucket = api(local_aws), local_bucket("bad")
    of(local_aws, "s3").put_object(Bucket=bucket, Key="in/1.csv", Body=content)
    table = f"public.bad_{abs(hash((content, options)))}"
    redshift.run([f"CREATE TABLE {table} (n INTEGER, name VARCHAR(4))"])
    with pytest.raises(WarehouseError, match=message):
        redshift.run([f"COPY {table} FROM 's3://{bucket}/in/' IAM_ROLE default {options}"])
    with pytest.raises(WarehouseError, match="IAM_ROLE"):
        redshift.run([f"COPY {table} FROM 's3://{bucket}/in/' CSV"])
    with pytest.raises(WarehouseError, match="does not exist"):
        redshift.run([f"COPY {table} FROM 's3://{bucket}/none/' IAM_ROLE default CSV"])
    assert redshift.query(f"SELECT COUNT(*) AS n FROM {table}")["n"].to_pylist() == [0]


def test_unload_writes_partitions_and_keeps_types(local_aws: LocalAws, local_bucket: Callable[[str], str]) -> None:
    redshift, bucket = api(local_aws), local_bucket("out")
    query = "SELECT 1 AS m, ''it''''s'' AS t, CAST(1.50 AS DECIMAL(38,10)) AS d, DATE ''1899-12-31'' AS day UNION ALL SELECT 2, NULL, NULL, NULL"
    unload = f"UNLOAD ('{query}') TO 's3://{bucket}/u/' IAM_ROLE default FORMAT AS PARQUET PARTITION BY (m) MANIFEST VERBOSE"
    redshift.run([unload])
    with pytest.raises(WarehouseError, match="not empty"):
        redshift.run([unload])
    redshift.run([f"{unload} CLEANPATH"])
    keys = [o["Key"] for o in of(local_aws, "s3").list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["u/m=1/0000_part_00.parquet", "u/m=2/0000_part_00.parquet", "u/manifest"]
    found = pq.read_table(pa.BufferReader(of(local_aws, "s3").get_object(Bucket=bucket, Key=keys[0])["Body"].read()))
    assert (found.schema.field("d").type, found.to_pylist()[0]["t"], str(found.to_pylist()[0]["day"])) == (pa.decimal128(38, 10), "it's", "1899-12-31")
    manifest = json.loads(of(local_aws, "s3").get_object(Bucket=bucket, Key="u/manifest")["Body"].read())
    assert manifest["meta"]["record_count"] == 2


def test_the_data_api_runs_batches_as_one_transaction_and_tokens_once(local_aws: LocalAws) -> None:
    redshift = api(local_aws)
    redshift.run(["CREATE TABLE public.tokens (n INTEGER)"])
    first = redshift.run(["INSERT INTO public.tokens VALUES (1)"], token="once")
    assert redshift.run(["INSERT INTO public.tokens VALUES (1)"], token="once").id == first.id
    with pytest.raises(WarehouseError, match="division by zero"):
        redshift.run(["INSERT INTO public.tokens VALUES (2)", "SELECT 1/0"])
    assert redshift.query("SELECT n FROM public.tokens")["n"].to_pylist() == [1]
    many = redshift.query("SELECT n, CAST(n AS VARCHAR) AS t FROM generate_series(1, 2500) g(n)")
    assert (many.num_rows, many["t"].to_pylist()[-1]) == (2500, "2500")


STATEMENTS = {
    "SELECT NVL(NULL, 'x') AS v": "x",
    "SELECT DECODE(2, 1, 'one', 2, 'two', 'other') AS v": "two",
    "SELECT NVL2(NULL, 'a', 'b') AS v": "b",
    "SELECT DATEDIFF(month, '2024-01-31'::timestamp, '2024-02-01'::timestamp) AS v": 1,
    "SELECT DATEDIFF(hour, '2024-01-01 00:59'::timestamp, '2024-01-01 01:01'::timestamp) AS v": 1,
    "SELECT CAST(DATEADD(day, 1, '2024-02-28'::timestamp) AS DATE) AS v": "2024-02-29",
    "SELECT LISTAGG(x, '-') WITHIN GROUP (ORDER BY x DESC) AS v FROM (SELECT 'a' AS x UNION ALL SELECT 'b') t": "b-a",
    "SELECT LEN('abc') + CHARINDEX('b', 'abc') AS v": 5,
    "SELECT 'GETDATE() -- SYSDATE' AS v /* DATEADD(day, */": "GETDATE() -- SYSDATE",
    "SELECT COUNT(*) AS v FROM (SELECT 1 AS a MINUS SELECT 1) q": 0,
}


@pytest.mark.parametrize("sql", STATEMENTS, ids=lambda s: s[7:30])
def test_redshifts_own_words(local_aws: LocalAws, sql: str) -> None:
    (found,) = api(local_aws).query(sql)["v"].to_pylist()
    assert str(found) == str(STATEMENTS[sql])


@pytest.mark.parametrize(
    ("sql", "what"),
    [("CREATE EXTERNAL SCHEMA s FROM POSTGRES DATABASE 'd' URI 'x' IAM_ROLE default SECRET_ARN 'a'", "external schemas from postgres"),
     ("CREATE TABLE g (p GEOMETRY)", "the type GEOMETRY"), ("CREATE MODEL m FROM t TARGET a FUNCTION f IAM_ROLE default", "Redshift ML")],
)  # fmt: skip
def test_what_it_cannot_do_is_refused_by_name(local_aws: LocalAws, sql: str, what: str) -> None:
    with pytest.raises(WarehouseError, match=f"not supported locally: {what}"):
        api(local_aws).run([sql])


def run_cli(folder: Path, *arguments: str, text: str = "") -> tuple[int, str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("PENSTOCK_LOCAL_HOME", "AWS_ENDPOINT_URL")}
    command = [sys.executable, "-c", "from penstock.cli import main; main()", "local", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, input=text, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def test_each_folder_has_a_stack_of_its_own_with_shell_faults_and_reset(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    (one / "below").mkdir(parents=True)
    two.mkdir()
    try:
        assert run_cli(one, "shell", "-c", "CREATE TABLE kept AS SELECT 7 AS n; SELECT NVL(n, 0) AS n FROM kept")[0] == 0
        code, said = run_cli(one / "below", "shell", text="SELECT n FROM kept;\nSELECT 1/0;\n")
        assert (code, "│ 7 │" in said, "division by zero" in said) == (1, True, True), said
        assert "does not exist" in run_cli(two, "shell", "-c", "SELECT n FROM kept")[1]
        found = status(one / ".penstock" / "local")
        assert found
        assert run_cli(one, "fault", "s3", "400", "--operation", "PUT /", "--code", "Sorry")[1] == "1 faults are asked for\n"
        with pytest.raises(ClientError, match="Sorry"):
            of(found, "s3").create_bucket(Bucket="fails-once")
        assert run_cli(one, "fault", "clear")[1] == "no faults are asked for\n"
        assert "is gone" in run_cli(one, "reset")[1]
        assert "does not exist" in run_cli(one, "shell", "-c", "SELECT n FROM kept")[1]
    finally:
        for folder in (one, two):
            down(folder / ".penstock" / "local")
