"""The local warehouse by the clients that people have: psycopg, redshift_connector, awswrangler by wire and by the Data API, boto3."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import awswrangler as wr
import pandas as pd
import psycopg
import pytest
import redshift_connector

from penstock.config import AwsSettings
from penstock.connectors.s3.access import client
from penstock.infra.local.control import LocalAws

VALUES = (
    "SELECT 1 AS i, 2.50::DECIMAL(5,2) AS d, 'x'::VARCHAR(5) AS t, DATE '2024-02-29' AS day, '2024-02-29 01:02:03'::TIMESTAMP AS at, TRUE AS b, 0.5::FLOAT AS f"
)
ROW = (1, Decimal("2.50"), "x", date(2024, 2, 29), datetime(2024, 2, 29, 1, 2, 3), True, 0.5)


@pytest.fixture
def connection(local_aws: LocalAws) -> Iterator[Any]:
    with redshift_connector.connect(host="127.0.0.1", port=local_aws.redshift_port, database="dev", user="awsuser", password="any", ssl=False) as found:
        yield found


@pytest.fixture
def aws(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> LocalAws:
    for name, value in local_aws.environment().items():
        monkeypatch.setenv(name, value)
    return local_aws


def data_api(aws: LocalAws) -> Any:
    return client("redshift-data", AwsSettings.from_environment(aws.environment()))


def ended(api: Any, identifier: str) -> Any:
    while (found := api.describe_statement(Id=identifier))["Status"] not in ("FINISHED", "FAILED", "ABORTED"):
        time.sleep(0.01)
    return found


def test_redshift_connector(connection: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(VALUES)
    assert tuple(cursor.fetchone()) == ROW
    cursor.execute("CREATE TEMP TABLE t (a INTEGER ENCODE az64, b VARCHAR(5)) DISTKEY (a)")
    cursor.executemany("INSERT INTO t VALUES (%s, %s)", [(1, "it's"), (2, None)])
    cursor.execute("SELECT a, NVL(b, '-') FROM t WHERE a < %s ORDER BY a", (9,))
    assert [tuple(r) for r in cursor.fetchall()] == [(1, "it's"), (2, "-")]
    cursor.execute("SELECT TOP 1 a FROM t ORDER BY a DESC")
    assert cursor.fetch_dataframe()["a"].tolist() == [2]
    connection.rollback()
    with pytest.raises(redshift_connector.Error, match="does not exist"):
        cursor.execute("SELECT * FROM t")
    connection.rollback()
    cursor.execute("SELECT GETDATE() > '2024-01-01'")
    assert cursor.fetchone()[0]


def test_a_prepared_statement_that_is_refused_says_why(connection: Any) -> None:
    cursor = connection.cursor()
    with pytest.raises(redshift_connector.Error, match="Redshift has no arrays"):
        cursor.execute("SELECT ARRAY[%s, %s]", ("a", "b"))
    connection.rollback()
    cursor.execute("SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname = ANY (ARRAY[%s, %s])", ("public", "nobody's"))
    assert [tuple(r) for r in cursor.fetchall()] == [("public",)], "the leader node has them"


def test_redshift_connectors_metadata(connection: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE public.described (a INTEGER, b DECIMAL(8,2))")
    assert any("described" in row for row in cursor.get_tables(schema_pattern="public", table_name_pattern="described"))
    assert [row[3] for row in cursor.get_columns(schema_pattern="public", tablename_pattern="described")] == ["a", "b"]
    connection.rollback()


def test_psycopg_in_both_protocols(local_aws: LocalAws) -> None:
    with psycopg.connect(local_aws.redshift_dsn) as found:
        assert found.execute(VALUES).fetchone() == ROW
        assert found.execute("SELECT NVL(%s, 'none'), DATEADD(day, %s, DATE '2024-01-01')", (None, 3)).fetchone() == ("none", datetime(2024, 1, 4))
        with found.pipeline():
            first, second = found.execute("SELECT LEN(%s)", ("abc",)), found.execute("SELECT SYSDATE IS NULL")
            assert (first.fetchone(), second.fetchone()) == ((3,), (False,))
        with psycopg.ClientCursor(found) as plain:
            assert plain.execute("SELECT %s", ("back\\slash 'quoted'",)).fetchone() == ("back\\slash 'quoted'",)
        with found.cursor("named") as named:
            assert len(named.execute("SELECT n FROM generate_series(1, 5000) g(n)").fetchall()) == 5000


def test_a_statement_is_cancelled(local_aws: LocalAws) -> None:
    import threading

    with psycopg.connect(local_aws.redshift_dsn) as found:
        threading.Timer(0.3, found.cancel).start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            found.execute("SELECT pg_sleep(30)")


def test_awswrangler_by_wire(aws: LocalAws, connection: Any, local_bucket: Callable[[str], str]) -> None:
    frame = pd.DataFrame({"id": [1, 2], "name": ["a", None]})
    wr.redshift.to_sql(
        frame, connection, table="wr_rows", schema="public", mode="overwrite", primary_keys=["id"], diststyle="KEY", distkey="id", sortkey=["id"]
    )
    assert wr.redshift.read_sql_query("SELECT id, NVL(name, '?') AS name FROM public.wr_rows ORDER BY id", connection)["name"].tolist() == ["a", "?"]
    bucket, role = local_bucket("wrangled"), "arn:aws:iam::123456789012:role/r"
    wr.redshift.copy(frame, f"s3://{bucket}/stage/", connection, table="wr_copied", schema="public", iam_role=role, mode="overwrite")
    back = wr.redshift.unload("SELECT * FROM public.wr_copied ORDER BY id", f"s3://{bucket}/out/", connection, iam_role=role)
    assert back["id"].tolist() == [1, 2]


def test_awswrangler_by_the_data_api(aws: LocalAws) -> None:
    api = wr.data_api.redshift.connect(workgroup_name="local", database="dev", secret_arn="arn:aws:secretsmanager:us-east-1:123456789012:secret:s")
    found = wr.data_api.redshift.read_sql_query("SELECT LISTAGG(n, ',') WITHIN GROUP (ORDER BY n) AS l FROM generate_series(1, 3) g(n)", api)
    assert found["l"].tolist() == ["1,2,3"]


def test_data_api_sessions_keep_temporary_tables(aws: LocalAws) -> None:
    api = data_api(aws)
    first = api.execute_statement(Sql="CREATE TEMP TABLE kept AS SELECT 7 AS n", Database="dev", WorkgroupName="local", SessionKeepAliveSeconds=60)
    ended(api, first["Id"])
    second = api.execute_statement(Sql="SELECT n FROM kept", SessionId=first["SessionId"])
    assert ended(api, second["Id"])["Status"] == "FINISHED"
    assert api.get_statement_result(Id=second["Id"])["Records"] == [[{"longValue": 7}]]
    elsewhere = api.execute_statement(Sql="SELECT n FROM kept", Database="dev", WorkgroupName="local")
    assert "does not exist" in ended(api, elsewhere["Id"])["Error"]
    with pytest.raises(api.exceptions.ValidationException, match="Session is not available"):
        api.execute_statement(Sql="SELECT 1", SessionId="00000000-0000-0000-0000-000000000000")


def test_data_api_parameters_and_descriptions(aws: LocalAws) -> None:
    api = data_api(aws)
    asked = api.execute_statement(
        Sql="SELECT :a AS a, ':a' AS text /* :a */, '1'::INT AS n", Database="dev", ClusterIdentifier="cluster", DbUser="u", StatementName="named",
        Parameters=[{"name": "a", "value": "it's \\ here"}],
    )  # fmt: skip
    ended(api, asked["Id"])
    assert api.get_statement_result(Id=asked["Id"])["Records"] == [[{"stringValue": "it's \\ here"}, {"stringValue": ":a"}, {"longValue": 1}]]
    made = api.batch_execute_statement(Sqls=["CREATE TABLE public.listed (a INTEGER, b DECIMAL(6,2))", "SELECT 1"], Database="dev", WorkgroupName="local")
    assert [p["Status"] for p in ended(api, made["Id"])["SubStatements"]] == ["FINISHED", "FINISHED"]
    assert {"schema": "public", "name": "listed", "type": "TABLE"} in api.list_tables(Database="dev", WorkgroupName="local", SchemaPattern="public")["Tables"]
    columns = api.describe_table(Database="dev", WorkgroupName="local", Schema="public", Table="listed")["ColumnList"]
    assert [(c["name"], c["typeName"], c["scale"]) for c in columns] == [("a", "integer", 0), ("b", "numeric", 2)]
    assert "dev" in api.list_databases(Database="dev", WorkgroupName="local")["Databases"]
    ended(api, api.execute_statement(Sql="DROP TABLE public.listed", Database="dev", WorkgroupName="local")["Id"])


def test_truncate_commits_within_a_batch(aws: LocalAws) -> None:
    api = data_api(aws)
    ended(api, api.execute_statement(Sql="CREATE TABLE public.cut AS SELECT 1 AS a", Database="dev", WorkgroupName="local")["Id"])
    failed = api.batch_execute_statement(Sqls=["TRUNCATE public.cut", "SELECT 1/0"], Database="dev", WorkgroupName="local")
    assert ended(api, failed["Id"])["Status"] == "FAILED"
    asked = api.execute_statement(Sql="SELECT COUNT(*) FROM public.cut", Database="dev", WorkgroupName="local")
    ended(api, asked["Id"])
    assert api.get_statement_result(Id=asked["Id"])["Records"] == [[{"longValue": 0}]]
    ended(api, api.execute_statement(Sql="DROP TABLE public.cut", Database="dev", WorkgroupName="local")["Id"])
