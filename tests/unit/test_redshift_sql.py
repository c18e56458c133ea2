"""The SQL that goes to Redshift, held by a snapshot: `PENSTOCK_UPDATE_SNAPSHOTS=1 pytest tests/unit/test_redshift_sql.py` writes it anew."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.connectors.redshift import publishing, sql
from penstock.connectors.redshift.files import clauses
from penstock.copy_options import CopyOptions
from penstock.schema import Column
from penstock.scripts import statements as statements_of

SNAPSHOT = Path(__file__).parent / "snapshots" / "redshift.sql"
TARGET = sql.Target(
    "mart",
    'da"ys',
    tuple(Column.parse(n, t) for n, t in {"day": "date!", "carrier": "string!", "amount": "decimal(12,2)", "at": "timestamp"}.items()),
    ("day", "carrier"),
)
LAID_OUT = replace(TARGET, layout=sql.Layout(distkey="carrier", sort_by=("day",), encode={"carrier": "zstd"}), partition_by=("day", "carrier"))
VERSIONED = replace(TARGET, history=("valid_from", 'valid"to'))
UNLOADS = (sql.UnloadOptions(partition_by=("m",)), sql.UnloadOptions("csv", True, "gzip", ("m",), True, 100, True), sql.UnloadOptions("json"))
WRITES = ("append", "changes", "insert_missing", "merge", "overwrite", "overwrite_partitions", "replace_partitions", "upsert")
STAGE = sql.stage_of("flights/load", 42)
CLAUSES = (
    clauses("csv", CopyOptions(), ""),
    clauses("csv", CopyOptions(delimiter="|", quote="'", ignoreheader=0, dateformat="DD.MM.YYYY", maxerror=10, truncatecolumns=True), "\\N"),
    clauses("json", CopyOptions(), ""),
    clauses("json", CopyOptions(json="s3://b/it's.jsonpaths", timeformat="epochmillisecs", compupdate="off", statupdate="off", encoding="utf16"), ""),
    clauses("avro", CopyOptions(avro="auto", acceptanydate=True, compupdate=None), ""),
    clauses("parquet", CopyOptions(), ""),
    clauses("orc", CopyOptions(statupdate="on"), ""),
)
FILE = sql.StagedFile("s3://b/it's.parquet", 10, 3)


def statements() -> dict[str, list[str]]:
    role = "arn:aws:iam::123456789012:role/copy"
    return {
        "set up": sql.setup(),
        "a step's ledger row": sql.ledger_row("flights/load", 0),
        "applied": [sql.ledger_of(["flights/load", "flights/old"])],
        "create": [*sql.create_table(TARGET), *sql.compared(TARGET, "flights/load", 42)],
        "stage": sql.stage(STAGE, TARGET.columns, "s3://b/manifest", role),
        **{f"publish {w}": [sql.claim("flights/load", 41, 42), *publishing.publish(LAID_OUT, STAGE, w)] for w in WRITES},
        **{f"publish {w}": publishing.publish(VERSIONED, STAGE, w) for w in ("history", "history_of_changes", "history_of_rows")},
        "create with a layout": sql.create_table(LAID_OUT),
        "create a history": sql.create_table(VERSIONED)[1:],
        "evolve": [
            sql.add_column(LAID_OUT, TARGET.columns[2]),
            sql.widen_column(LAID_OUT, TARGET.columns[1]),
            *(sql.encode_column(LAID_OUT, c) for c in LAID_OUT.layout.encode),
            sql.encodings(LAID_OUT),
        ],
        "stage of changes": sql.stage(STAGE, publishing.stage_columns(TARGET, "changes"), "s3://b/manifest", role),
        "copied": [sql.copied(["flights/load"]), *sql.note_copied(["flights/load"], 7)],
        "stage of files": [s for said in CLAUSES for s in sql.stage(STAGE, TARGET.columns, "s3://b/manifest", role, said)[2:]],
        "history of a load": [sql.LAST_COPY, sql.load_history(7), sql.rejected(7)],
        "quarantine": [
            *sql.quarantine_table("mart", '"mart"."t__quarantine"'),
            sql.released('"mart"."t__quarantine"', ["flights/load"], 42),
            sql.quarantine('"mart"."t__quarantine"', "flights/load", 42, [("s3://b/it's.csv#2", "no date", "x,'y'\\"), ("s3://b/a#3", "no", None)]),
            sql.is_there("mart", 'Da"ys'),
        ],
        "errors of a load": [sql.load_errors([FILE.url])],
        "check": [sql.counted(STAGE, TARGET.keys)],
        "forget": sql.forget(["flights/load"]),
        "call": [sql.call("mart.publish", [1, "it's \\ here", None, True])],
        "unload": [sql.unload("SELECT 'a' AS m", "s3://b/out/", "default", o) for o in UNLOADS],
    }


def test_the_statements_are_those_of_the_snapshot() -> None:
    text = "".join(f"-- {name}\n" + "".join(f"{s};\n" for s in found) + "\n" for name, found in statements().items())
    if os.environ.get("PENSTOCK_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text)
    assert SNAPSHOT.read_text() == text


def test_no_load_commits_by_itself_or_carries_a_key() -> None:
    text = " ".join(s for found in statements().values() for s in found).upper()
    assert not re.findall(r"\bTRUNCATE\b|APPEND FROM|ACCESS_KEY|CREDENTIALS", text)


def test_a_manifest_names_each_file_once_and_demands_it() -> None:
    (entry,) = json.loads(sql.manifest([FILE, FILE]))["entries"]
    assert entry == {"url": FILE.url, "mandatory": True, "meta": {"content_length": 10}}


def test_parameters_are_bound_where_they_are_and_nowhere_else() -> None:
    found = sql.bound("SELECT a::int, ':x' FROM t WHERE d >= :start -- :y\n AND b = :n;", {"start": "it's", "n": 3})
    assert found == "SELECT a::int, ':x' FROM t WHERE d >= 'it''s' -- :y\n AND b = 3"
    with pytest.raises(KeyError):
        sql.bound("SELECT :missing", {})


def test_scripts_are_divided_outside_texts_comments_and_bodies() -> None:
    script = (
        "CREATE TABLE a (x INT); -- a; b\nCREATE PROCEDURE p() AS $$ BEGIN DELETE FROM t; UPDATE x SET y = ';'; END; $$ LANGUAGE plpgsql;\n/* z; */ SELECT 1;;"
    )
    assert [s.split()[-1] for s in statements_of(script)] == ["INT)", "plpgsql", "1"]
