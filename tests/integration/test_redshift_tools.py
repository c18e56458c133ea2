"""The local warehouse by tools that have an environment of their own, `.venv-tools`: dbt, and SQLAlchemy's dialect of Redshift."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock.infra.local.control import LocalAws

TOOLS = Path(__file__).parents[2] / ".venv-tools" / "bin"
pytestmark = pytest.mark.skipif(not (TOOLS.parent / ".installed").exists(), reason=f"{TOOLS.parent.name} is not there; `make test` makes it")

DBT: Mapping[str, str] = {
    "dbt_project.yml": "{name: shop, version: '1.0', profile: shop, model-paths: [models], seed-paths: [seeds], snapshot-paths: [snapshots]}",
    "seeds/orders.csv": "id,state,amount,at\n1,new,1.50,2026-01-01 00:00:00\n2,paid,2.50,2026-01-02 00:00:00\n3,paid,,2026-01-02 00:00:00\n",
    "models/paid.sql": "{{ config(materialized='table', dist='id', sort='id') }} select id, amount, at from {{ ref('orders') }} where state = 'paid'",
    "models/by_state.sql": """{{ config(materialized='view') }}
        select state, listagg(id, ',') within group (order by id) as ids from {{ ref('orders') }} group by 1""",
    "models/late.sql": "{{ config(materialized='view', bind=False) }} select state, count(*) as n from {{ ref('orders') }} group by 1",
    "models/merged.sql": """{{ config(materialized='incremental', unique_key='id', incremental_strategy='merge') }}
        select id, state, {% if is_incremental() %} 1 {% else %} 0 {% endif %} as run from {{ ref('orders') }}
        {% if is_incremental() %} where id > (select max(id) - 1 from {{ this }}) {% endif %}""",
    "models/replaced.sql": "{{ config(materialized='incremental', unique_key='id', incremental_strategy='delete+insert') }} select id from {{ ref('orders') }}",
    "models/shown.sql": "{{ config(materialized='materialized_view') }} select state, count(*) as n from {{ ref('orders') }} group by 1",
    "models/tests.yml": """models:
      - {name: paid, columns: [{name: id, data_tests: [unique, not_null]}]}
      - {name: by_state, columns: [{name: state, data_tests: [{accepted_values: {arguments: {values: [new, paid]}}}]}]}""",
    "snapshots/kept.sql": """{% snapshot kept %} {{ config(target_schema='SCHEMA', unique_key='id', strategy='check', check_cols='all') }}
        select * from {{ ref('orders') }} {% endsnapshot %}""",
    "profiles.yml": """shop: {target: local, outputs: {local: {type: redshift, method: database, host: 127.0.0.1, port: PORT, user: awsuser, password: any,
        dbname: dev, schema: SCHEMA, threads: 2, sslmode: disable}}}""",
}

SQLALCHEMY = """
import json, sys
import sqlalchemy as sa
where = sa.engine.URL.create("redshift+DRIVER", username="awsuser", password="any", host="127.0.0.1", port=PORT, database="dev")
engine, schema = sa.create_engine(where, connect_args=ARGUMENTS), "SCHEMA"
known = sa.MetaData(schema=schema)
table = sa.Table("orders", known, sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False), sa.Column("name", sa.String(20)),
    sa.Column("amount", sa.Numeric(12, 2)), redshift_diststyle="KEY", redshift_distkey="id", redshift_sortkey="id")
with engine.begin() as connection:
    connection.execute(sa.text(f"create schema {schema}"))
    known.create_all(connection)
    connection.execute(table.insert(), [{"id": 1, "name": "it's", "amount": 1.5}, {"id": 2, "name": None, "amount": None}])
    rows = [list(map(str, r)) for r in connection.execute(sa.select(table.c.id, sa.func.nvl(table.c.name, "-")).where(table.c.id < 9).order_by(table.c.id))]
inspector = sa.inspect(engine)
found = sa.Table("orders", sa.MetaData(), schema=schema, autoload_with=engine)
print(json.dumps({"rows": rows, "tables": inspector.get_table_names(schema), "columns": {c.name: str(c.type) for c in found.columns},
    "keys": [c.name for c in found.primary_key], "options": {k: v for k, v in inspector.get_table_options("orders", schema=schema).items() if v}}))
"""


def ran(*command: str, folder: Path) -> str:
    environment = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def schema_of(bucket: str) -> str:
    return bucket.replace("-", "_")


def test_dbt_builds_again_and_again_and_describes(tmp_path: Path, local_aws: LocalAws, local_bucket: Callable[[str], str]) -> None:
    schema = schema_of(local_bucket("dbt"))
    for name, text in DBT.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("SCHEMA", schema).replace("PORT", str(local_aws.redshift_port)))
    dbt = (str(TOOLS / "dbt"), "--quiet")
    for runs in ([], [[3, "paid", 1]]):
        ran(*dbt, "build", "--profiles-dir", ".", folder=tmp_path)
        with psycopg.connect(host="127.0.0.1", port=local_aws.redshift_port, dbname="dev", user="awsuser", password="any") as connection:

            def rows(text: str) -> list[list[Any]]:
                return [list(r) for r in connection.execute(text.replace("SCHEMA", schema)).fetchall()]

            assert rows("SELECT state, ids FROM SCHEMA.by_state ORDER BY 1") == [["new", "1"], ["paid", "2,3"]]
            assert rows("SELECT * FROM SCHEMA.late ORDER BY 1") == rows("SELECT * FROM SCHEMA.shown ORDER BY 1") == [["new", 1], ["paid", 2]]
            assert rows("SELECT * FROM SCHEMA.merged WHERE run = 1") == runs
            assert rows("SELECT COUNT(*) FROM SCHEMA.replaced") == rows("SELECT COUNT(*) FROM SCHEMA.kept") == [[3]]
    ran(*dbt, "docs", "generate", "--profiles-dir", ".", folder=tmp_path)
    nodes = json.loads((tmp_path / "target" / "catalog.json").read_text())["nodes"]
    assert {c: v["type"] for c, v in nodes["model.shop.paid"]["columns"].items()} == {
        "id": "integer", "amount": "double precision", "at": "timestamp without time zone"
    }  # fmt: skip


@pytest.mark.parametrize(("driver", "arguments"), [("redshift_connector", '{"ssl": False}'), ("psycopg2", '{"sslmode": "disable"}')])
def test_sqlalchemy_defines_writes_reads_and_reflects(
    tmp_path: Path, local_aws: LocalAws, local_bucket: Callable[[str], str], driver: str, arguments: str
) -> None:
    schema = schema_of(local_bucket("alchemy"))
    text = SQLALCHEMY.replace("DRIVER", driver).replace("ARGUMENTS", arguments).replace("PORT", str(local_aws.redshift_port)).replace("SCHEMA", schema)
    assert json.loads(ran(str(TOOLS / "python"), "-c", text, folder=tmp_path)) == {
        "rows": [["1", "it's"], ["2", "-"]], "tables": ["orders"], "columns": {"id": "BIGINT", "name": "VARCHAR(20)", "amount": "NUMERIC(12, 2)"},
        "keys": ["id"], "options": {"redshift_diststyle": "KEY", "redshift_distkey": "id", "redshift_sortkey": ["id"]},
    }  # fmt: skip
