"""COPY into the local warehouse and UNLOAD out of it, by the wire protocol: formats, options, errors, transactions, procedures."""

from __future__ import annotations

import bz2
import gzip
import io
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from penstock.config import AwsSettings
from penstock.connectors.s3.access import client
from penstock.infra.local.control import LocalAws

ROLE = "IAM_ROLE 'arn:aws:iam::123456789012:role/r'"


class Store:
    """A bucket of the test's own."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self.s3, self.bucket = s3, bucket

    def put(self, key: str, body: bytes) -> str:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def get(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def keys(self, prefix: str) -> list[str]:
        return [o["Key"] for o in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", ())]

    def manifest(self, key: str, *urls: str, lengths: bool = False) -> str:
        meta = {u: {"meta": {"content_length": len(self.get(u.split("/", 3)[3]))}} if lengths else {} for u in urls}
        return self.put(key, json.dumps({"entries": [{"url": u, "mandatory": True, **meta[u]} for u in urls]}).encode())


@pytest.fixture
def store(local_aws: LocalAws, local_bucket: Callable[[str], str]) -> Store:
    return Store(client("s3", AwsSettings.from_environment(local_aws.environment())), local_bucket("copying"))


@pytest.fixture
def sql(local_aws: LocalAws) -> Iterator[Callable[[str], list[Any]]]:
    with psycopg.connect(local_aws.redshift_dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS copying")
        connection.execute("SET search_path TO copying")

        def run(text: str) -> list[Any]:
            cursor = connection.execute(text)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

        yield run
        connection.execute("ROLLBACK")
        connection.execute("DROP SCHEMA copying CASCADE")


def parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def orc_file(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    orc.write_table(table, sink)
    return sink.getvalue()


def avro(rows: list[tuple[int, str]]) -> bytes:
    """An Avro container of (a: long, b: string), written by its specification."""

    def number(n: int) -> bytes:
        n, out = (n << 1) ^ (n >> 63), bytearray()
        while n & ~0x7F:
            out.append(n & 0x7F | 0x80)
            n >>= 7
        return bytes([*out, n])

    def text(b: bytes) -> bytes:
        return number(len(b)) + b

    schema = json.dumps({"type": "record", "name": "r", "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": "string"}]}).encode()
    header = b"Obj\x01" + number(2) + text(b"avro.schema") + text(schema) + text(b"avro.codec") + text(b"null") + number(0) + b"0123456789abcdef"
    block = b"".join(number(a) + text(b.encode()) for a, b in rows)
    return header + number(len(rows)) + number(len(block)) + block + b"0123456789abcdef"


ROWS = [(1, "x"), (2, "ü|,")]
TABLE = pa.table({"a": pa.array([1, 2], pa.int32()), "b": ["x", "ü|,"]})
FORMATS: list[tuple[str, bytes, str]] = [
    ("csv", b"1,x\n2,\"\xc3\xbc|,\"\n", "CSV"),
    ("csv with a header, gzip", gzip.compress(b"a,b\n1,x\n2,\"\xc3\xbc|,\"\n"), "CSV GZIP IGNOREHEADER 1"),
    ("csv, bzip2, another quote", bz2.compress(b"1;x\n2;'\xc3\xbc|,'\n"), "CSV QUOTE '''' DELIMITER ';' BZIP2"),
    ("csv, zstd", bytes(pa.compress(b"1,x\n2,\"\xc3\xbc|,\"\n", codec="zstd", asbytes=True)), "FORMAT AS CSV ZSTD"),
    ("text with escapes", b"1|x\n2|\xc3\xbc\\|,\n", "ESCAPE"),
    ("text with tabs", b"1\tx\n2\t\xc3\xbc|,\n", "DELIMITER '\\t'"),
    ("text with quotes to be removed", b"1|x\n2|\"\xc3\xbc|,\"\n", "REMOVEQUOTES"),
    ("fixed width", b"1x   \n2\xc3\xbc|, \n", "FIXEDWIDTH 'a:1,b:4'"),
    ("json", b'{"a": 1, "b": "x"} {"b": "\xc3\xbc|,", "a": 2, "c": 3}', "FORMAT AS JSON 'auto'"),
    ("json whatever its case", b'{"A": 1, "b": "x"}\n{"B": "\xc3\xbc|,", "a": 2}', "JSON 'auto ignorecase'"),
    ("parquet", parquet(TABLE), "FORMAT AS PARQUET"),
    ("orc", orc_file(TABLE), "FORMAT ORC"),
    ("avro", avro(ROWS), "FORMAT AS AVRO 'auto'"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "options"), [f[1:] for f in FORMATS], ids=[f[0] for f in FORMATS])
def test_formats(sql: Callable[[str], list[Any]], store: Store, body: bytes, options: str) -> None:
    sql("CREATE TABLE t (a INTEGER, b VARCHAR(10))")
    sql(f"COPY t FROM '{store.put('in/1', body)}' {ROLE} {options}")
    assert sql("SELECT a, b FROM t ORDER BY a") == ROWS
    assert sql("SELECT pg_last_copy_count(), pg_last_copy_id() > 0") == [(2, True)]
    assert sql("SELECT table_name, status, loaded_rows, source_file_count FROM sys_load_history WHERE query_id = pg_last_copy_id()") == [
        ("t", "completed", 2, 1)
    ]


def test_jsonpaths(sql: Callable[[str], list[Any]], store: Store) -> None:
    paths = store.put("paths.json", json.dumps({"jsonpaths": ["$.id", "$['in']['deep'][1]"]}).encode())
    sql("CREATE TABLE t (a INTEGER, b VARCHAR(10))")
    sql(f"COPY t FROM '{store.put('x.json', json.dumps({'id': 7, 'in': {'deep': ['p', 'q']}}).encode())}' {ROLE} JSON '{paths}'")
    assert sql("SELECT a, b FROM t") == [(7, "q")]
    with pytest.raises(psycopg.Error, match=r"JSONPaths file .* does not exist"):
        sql(f"COPY t FROM 's3://{store.bucket}/x.json' {ROLE} JSON 's3://{store.bucket}/gone.json'")


FIELDS: list[tuple[str, str, str, Any]] = [
    ("VARCHAR(5)", "''", "CSV", ""), ("VARCHAR(5)", "''", "CSV EMPTYASNULL", None), ("VARCHAR(5)", "'  '", "CSV BLANKSASNULL", None),
    ("INTEGER", "", "CSV", None), ("VARCHAR(5)", "NA", "CSV NULL AS 'NA'", None), ("VARCHAR(5)", "\\N", "CSV", None),
    ("VARCHAR(3)", "abcdef", "CSV TRUNCATECOLUMNS", "abc"), ("VARCHAR(3)", "aüü", "CSV TRUNCATECOLUMNS", "aü"), ("VARCHAR(5)", "a  ", "CSV TRIMBLANKS", "a"),
    ("DECIMAL(4,1)", "1.29", "CSV", Decimal("1.2")), ("DECIMAL(4,1)", "1.29", "CSV ROUNDEC", Decimal("1.3")), ("BOOLEAN", "yes", "CSV", True),
    ("BOOLEAN", "0", "CSV", False), ("BIGINT", " 42 ", "CSV", 42), ("DATE", "2024-02-29", "CSV", "2024-02-29"),
    ("DATE", "29.02.2024", "CSV DATEFORMAT 'DD.MM.YYYY'", "2024-02-29"), ("DATE", "02/29/2024", "CSV DATEFORMAT 'auto'", "2024-02-29"),
    ("DATE", "rubbish", "CSV ACCEPTANYDATE DATEFORMAT 'auto'", None), ("TIMESTAMP", "2024-02-29 13:14:15", "CSV", "2024-02-29 13:14:15"),
    ("TIMESTAMP", "29Feb2024 13.14", "CSV TIMEFORMAT 'DDMONYYYY HH24.MI'", "2024-02-29 13:14:00"),
    ("TIMESTAMP", "1700000000", "CSV TIMEFORMAT 'epochsecs'", "2023-11-14 22:13:20"),
    ("TIMESTAMP", "1700000000123", "CSV TIMEFORMAT 'epochmillisecs'", "2023-11-14 22:13:20.123000"),
    ("TIMESTAMP", "2024-02-29T13:14:15.5", "CSV TIMEFORMAT 'auto'", "2024-02-29 13:14:15.500000"), ("DOUBLE PRECISION", "1e3", "CSV", 1000.0),
    ("SUPER", '"{""a"":1}"', "CSV", {"a": 1}), ("CHAR(3)", "ab", "CSV", "ab "),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "field", "options", "expected"), FIELDS, ids=[f"{k} {f} {o}" for k, f, o, _ in FIELDS])
def test_fields(sql: Callable[[str], list[Any]], store: Store, kind: str, field: str, options: str, expected: Any) -> None:
    sql(f"CREATE TABLE t (n INTEGER, v {kind})")
    url = store.put("f.csv", b"1," + field.replace("'", '"').encode() + b"\n")
    sql(f"COPY t FROM '{url}' {ROLE} {options}")
    ((found,),) = sql("SELECT v FROM t")
    assert (str(found) if hasattr(found, "isoformat") else found) == expected


BAD: list[tuple[str, bytes, str, int, str]] = [
    ("a letter in a number", b"1,x\n2a,y\n", "CSV", 1207, "Invalid digit, Value 'a', Pos 1, Type: Integer"),
    ("too great a number", b"99999999999,x\n", "CSV", 1207, "Overflow, Value '99999999999', Type: Integer"),
    ("too long a text", "1,äääääääääää\n".encode(), "CSV", 1204, "String length exceeds DDL length"),
    ("a field too much", b"1,x,z\n", "CSV", 1202, "Extra column(s) found"),
    ("a field too few", b"1\n", "CSV", 1214, "Delimiter not found"),
    ("nothing where something has to be", b",x\n", "CSV", 1213, "Missing data for not-null field"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "options", "code", "reason"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_rows_are_told_and_leave_nothing(sql: Callable[[str], list[Any]], store: Store, body: bytes, options: str, code: int, reason: str) -> None:
    sql("CREATE TABLE t (a INTEGER NOT NULL, b VARCHAR(10))")
    url = store.put("bad.csv", body)
    with pytest.raises(psycopg.Error, match=r"Load into table 't' failed.  Check 'stl_load_errors' system table for details"):
        sql(f"COPY t FROM '{url}' {ROLE} {options}")
    assert sql("SELECT COUNT(*) FROM t") == [(0,)]
    assert sql(f"SELECT err_code, err_reason FROM stl_load_errors WHERE filename = '{url}'") == [(code, reason)]


def test_one_bad_row_in_a_million_is_named(sql: Callable[[str], list[Any]], store: Store) -> None:
    body = b"".join(b"%d,x\n" % i if i != 777_777 else b"%d,yyyyyyyyyyyyy\n" % i for i in range(1_000_000))
    url = store.put("million.csv", body)
    sql("CREATE TABLE t (a INTEGER, b VARCHAR(10))")
    with pytest.raises(psycopg.Error, match="line 777778"):
        sql(f"COPY t FROM '{url}' {ROLE} CSV")
    assert sql(f"SELECT line_number, colname, raw_line FROM stl_load_errors WHERE filename = '{url}'") == [(777778, "b", "777777,yyyyyyyyyyyyy")]
    sql(f"COPY t FROM '{url}' {ROLE} CSV MAXERROR 2")
    assert sql("SELECT COUNT(*) FROM t") == [(999_999,)]


def test_as_many_errors_as_maxerror_fail(sql: Callable[[str], list[Any]], store: Store) -> None:
    sql("CREATE TABLE t (a INTEGER, b VARCHAR(10))")
    url = store.put("two.csv", b"x,1\n2,ok\ny,2\n")
    with pytest.raises(psycopg.Error, match="stl_load_errors"):
        sql(f"COPY t FROM '{url}' {ROLE} CSV MAXERROR 2")
    sql(f"COPY t FROM '{url}' {ROLE} CSV MAXERROR 3")
    assert sql("SELECT a, b FROM t") == [(2, "ok")]


def test_manifests(sql: Callable[[str], list[Any]], store: Store) -> None:
    sql("CREATE TABLE t (a INTEGER, b VARCHAR(10))")
    one, two = (store.put(f"m/{n}.parquet", parquet(TABLE)) for n in "12")
    sql(f"COPY t FROM '{store.manifest('both', one, two, lengths=True)}' {ROLE} PARQUET MANIFEST")
    assert sql("SELECT COUNT(*) FROM t") == [(4,)]
    with pytest.raises(psycopg.Error, match="content_length"):
        sql(f"COPY t FROM '{store.manifest('short', one)}' {ROLE} PARQUET MANIFEST")
    listed = store.manifest("gone", one, lengths=True)
    store.s3.delete_object(Bucket=store.bucket, Key="m/1.parquet")
    with pytest.raises(psycopg.Error, match="is gone"):
        sql(f"COPY t FROM '{listed}' {ROLE} PARQUET MANIFEST")
    store.put("m/1.parquet", parquet(TABLE)[:-8])
    with pytest.raises(psycopg.Error, match="where the manifest says"):
        sql(f"COPY t FROM '{listed}' {ROLE} PARQUET MANIFEST")
    assert sql("SELECT COUNT(*) FROM t") == [(4,)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (parquet(TABLE)[:100], "No magic bytes|Invalid"),
        (parquet(TABLE.append_column("c", pa.array([1, 2]))), "Unmatched number of columns"),
        (parquet(TABLE.select(["b", "a"])), "incompatible parquet schema for column 'a'"),
        (parquet(pa.table({"a": [1], "b": ["x" * 11]})), "String length exceeds DDL length"),
    ],
    ids=["truncated", "more columns", "other types", "too long"],
)  # fmt: skip
def test_bad_parquet(sql: Callable[[str], list[Any]], store: Store, body: bytes, message: str) -> None:
    sql("CREATE TABLE t (a BIGINT, b VARCHAR(10))")
    with pytest.raises(psycopg.Error, match=message):
        sql(f"COPY t FROM '{store.put('p.parquet', body)}' {ROLE} PARQUET")
    with pytest.raises(psycopg.Error, match="not supported for COPY from columnar formats"):
        sql(f"COPY t FROM 's3://{store.bucket}/p.parquet' {ROLE} PARQUET MAXERROR 5")


def test_a_copy_belongs_to_its_transaction(sql: Callable[[str], list[Any]], store: Store) -> None:
    url = store.put("t.csv", b"1,x\n")
    sql("CREATE TABLE t (a INTEGER, b VARCHAR(10))")
    sql("BEGIN")
    sql(f"COPY t FROM '{url}' {ROLE} CSV")
    assert sql("SELECT COUNT(*) FROM t") == [(1,)]
    sql("ROLLBACK")
    assert sql("SELECT COUNT(*) FROM t") == [(0,)]
    assert sql(f"SELECT status FROM sys_load_history WHERE data_source = '{url}'") == [("completed",)]


def test_copy_and_unload_in_a_procedure(sql: Callable[[str], list[Any]], store: Store) -> None:
    url = store.put("t.csv", b"1,x\n2,y\n")
    sql("CREATE TABLE t (a INTEGER, b VARCHAR(10))")
    sql(f"""CREATE PROCEDURE load(url VARCHAR(200), n INOUT BIGINT) AS $$
      BEGIN
        EXECUTE 'COPY t FROM ' || quote_literal(url) || ' {ROLE.replace("'", "''")} CSV';
        COPY t FROM '{url}' {ROLE} CSV;
        UNLOAD ('SELECT a, NVL(b, ''?'') AS b FROM t') TO 's3://{store.bucket}/out/' {ROLE} CSV ALLOWOVERWRITE;
        SELECT INTO n COUNT(*) FROM t;
      END; $$ LANGUAGE plpgsql""")
    assert sql(f"CALL load('{url}', 0)") == [(4,)]
    assert store.get("out/0000_part_00") == b"1,x\n2,y\n1,x\n2,y\n"


def test_nothing_is_loaded_where_a_column_is_not_there(sql: Callable[[str], list[Any]], store: Store) -> None:
    sql("CREATE TABLE t (a INTEGER IDENTITY(1,1), b VARCHAR(10), c VARCHAR(5) DEFAULT 'd')")
    url = store.put("t.csv", b"x\n")
    with pytest.raises(psycopg.Error, match='column "z" of relation "t" does not exist'):
        sql(f"COPY t (z) FROM '{url}' {ROLE} CSV")
    sql(f"COPY t (b) FROM '{url}' {ROLE} CSV")
    assert sql("SELECT a, b, c FROM t") == [(1, "x", "d")]


UNLOADS: list[tuple[str, str, dict[str, bytes]]] = [
    ("text", "", {"0000_part_00": b"1|x|2024-01-01\n2||\n"}),
    ("csv with a header", "CSV HEADER", {"0000_part_00": b"a,b,d\n1,x,2024-01-01\n2,,\n"}),
    ("NULL AS", "CSV NULL AS 'nil'", {"0000_part_00": b"1,x,2024-01-01\n2,nil,nil\n"}),
    ("quotes for all", "ADDQUOTES DELIMITER ';'", {"0000_part_00": b'"1";"x";"2024-01-01"\n"2";;\n'}),
    ("json", "FORMAT AS JSON", {"0000_part_00": b'{"a": 1, "b": "x", "d": "2024-01-01"}\n{"a": 2}\n'}),
    ("one file", "CSV PARALLEL OFF", {"000": b"1,x,2024-01-01\n2,,\n"}),
    ("by partitions", "CSV PARTITION BY (a)", {"a=1/0000_part_00": b"x,2024-01-01\n", "a=2/0000_part_00": b",\n"}),
    ("by partitions, included", "CSV PARTITION BY (a) INCLUDE EXTENSION 'csv'",
     {"a=1/0000_part_00.csv": b"1,x,2024-01-01\n", "a=2/0000_part_00.csv": b"2,,\n"}),
]  # fmt: skip


@pytest.mark.parametrize(("options", "files"), [u[1:] for u in UNLOADS], ids=[u[0] for u in UNLOADS])
def test_unloads(sql: Callable[[str], list[Any]], store: Store, options: str, files: dict[str, bytes]) -> None:
    query = "SELECT 1 AS a, ''x'' AS b, DATE ''2024-01-01'' AS d UNION ALL SELECT 2, NULL, NULL ORDER BY 1"
    sql(f"UNLOAD ('{query}') TO 's3://{store.bucket}/u/' {ROLE} {options}")
    assert {k.removeprefix("u/"): store.get(k) for k in store.keys("u/")} == files
    assert sql("SELECT pg_last_unload_count()") == [(2,)]


def test_unloads_packed_and_cut(sql: Callable[[str], list[Any]], store: Store) -> None:
    rows = "SELECT n AS a, REPEAT(''x'', 1000) AS b FROM generate_series(1, 6000) g(n)"
    sql(f"UNLOAD ('{rows}') TO 's3://{store.bucket}/z/' {ROLE} CSV GZIP")
    found = pc.read_csv(io.BytesIO(gzip.decompress(store.get("z/0000_part_00.gz"))), pc.ReadOptions(column_names=["a", "b"]))
    assert (found.num_rows, found["a"].to_pylist()[-1]) == (6000, 6000)
    sql(f"UNLOAD ('{rows}') TO 's3://{store.bucket}/cut/' {ROLE} FORMAT PARQUET MAXFILESIZE 5 MB MANIFEST VERBOSE")
    manifest = json.loads(store.get("cut/manifest"))
    assert [e["meta"]["record_count"] for e in manifest["entries"]] == [3000, 3000]
    assert manifest["meta"]["record_count"] == 6000


def test_an_unload_into_a_place_with_files_is_refused(sql: Callable[[str], list[Any]], store: Store) -> None:
    store.put("held/x", b"1")
    with pytest.raises(psycopg.Error, match="unload destination on S3 is not empty"):
        sql(f"UNLOAD ('SELECT 1 AS a') TO 's3://{store.bucket}/held/' {ROLE} CSV")
    sql(f"UNLOAD ('SELECT 1 AS a') TO 's3://{store.bucket}/held/' {ROLE} CSV CLEANPATH")
    assert store.keys("held/") == ["held/0000_part_00"]


def test_types_survive_out_and_in(sql: Callable[[str], list[Any]], store: Store) -> None:
    kinds = "i SMALLINT, n BIGINT, d DECIMAL(38,10), f REAL, g DOUBLE PRECISION, b BOOLEAN, t VARCHAR(20), c CHAR(3), day DATE, at TIMESTAMP, z TIMESTAMPTZ"
    sql(f"CREATE TABLE t ({kinds})")
    sql("INSERT INTO t VALUES (1, 2, 3.5, 0.5, 0.1, TRUE, 'it''s\n\\\\N', 'ab', '0001-01-01', '9999-12-31 23:59:59.999999', '2024-01-01 00:00:00+02'), "
        "(NULL, NULL, NULL, NULL, NULL, NULL, '', NULL, NULL, NULL, NULL)")  # fmt: skip
    before = sql("SELECT * FROM t ORDER BY i")
    sql(f"UNLOAD ('SELECT * FROM t') TO 's3://{store.bucket}/all/' {ROLE} FORMAT AS PARQUET")
    sql("DELETE FROM t")
    sql(f"COPY t FROM 's3://{store.bucket}/all/' {ROLE} FORMAT AS PARQUET")
    assert sql("SELECT * FROM t ORDER BY i") == before
