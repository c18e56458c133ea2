"""`penstock lint`: what is said of SQL for Redshift, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipelines import Project

from penstock.redshift_lint import Use, lint

SAID: list[tuple[str, Use, str]] = [
    ("CREATE INDEX i ON t (a)", "", "index"),
    ("CREATE UNIQUE INDEX i ON t (a)", "", "index"),
    ("CREATE SEQUENCE s", "", "sequence"),
    ("CREATE TABLE t (a INT PRIMARY KEY)", "", "keys"),
    ("SELECT string_agg(a, ',') FROM t", "", "function"),
    ("SELECT now(), a FROM t", "", "leader-node"),
    ("SELECT a FROM t, u", "", "cross-join"),
    ("SELECT a FROM t JOIN u WHERE t.a = 1", "", "cross-join"),
    ("SELECT a FROM t CROSS JOIN u", "", "cross-join"),
    ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "", "upsert"),
    ("SELECT DISTINCT ON (a) a FROM t", "", "distinct-on"),
    ("SELECT * FROM t", "unload", "select-star"),
    ("INSERT INTO lake.t SELECT * FROM u", "", "select-star"),
    ("TRUNCATE t", "load", "truncate"),
    ("CREATE PROCEDURE p() AS $$ BEGIN TRUNCATE t; END; $$ LANGUAGE plpgsql", "load", "truncate"),
    ("CREATE SET TABLE t (a INT)", "", "set-table"),
    ("SEL a FROM t", "", "teradata"),
    ("SELECT COUNT(*) FILTER (WHERE a) FROM t", "", "filter"),
    ("SELECT ARRAY[1]", "", "array"),
]
CLEAN = [
    "SELECT a FROM t, u WHERE t.a = u.a", "SELECT LISTAGG(a, ',') FROM t QUALIFY ROW_NUMBER() OVER (ORDER BY a) = 1", "SELECT now()",
    "SELECT 'TRUNCATE; [] ON CONFLICT'", "SELECT t.a FROM t JOIN u ON t.a = u.a GROUP BY t.a ORDER BY t.a",
    "SELECT a FROM t JOIN u USING (a) MINUS SELECT b FROM v", "SELECT nspname, pg_get_userbyid(nspowner) FROM pg_namespace", "SELECT * FROM t -- CREATE INDEX",
]  # fmt: skip


@pytest.mark.parametrize(("sql", "use", "rule"), SAID, ids=[s for s, _, _ in SAID])
def test_what_is_said(sql: str, use: Use, rule: str) -> None:
    assert rule in [f.rule for f in lint(sql, use)]


@pytest.mark.parametrize("sql", CLEAN)
def test_nothing_is_said(sql: str) -> None:
    assert lint(sql) == []


def test_a_text_that_cannot_be_read_is_one_error() -> None:
    (found,) = lint("SELECT 'never ended")
    assert (found.level, found.rule) == ("error", "syntax")


def test_lines_within_bodies_are_those_of_the_file() -> None:
    (found,) = lint("SELECT 1;\nCREATE PROCEDURE p() AS $$\nBEGIN\n  TRUNCATE t;\nEND; $$ LANGUAGE plpgsql", "load")
    assert (found.line, found.rule) == (4, "truncate")


def test_the_command_reads_a_file(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("x.sql", "SELECT 1;\nSELECT unnest(a) FROM t")
    done = project.penstock("lint", "x.sql")
    assert (done.code, done.out) == (1, "x.sql:2:8: error: unnest is PostgreSQL's; Redshift has FROM t, t.array AS element [function]\n")
    project.write("x.sql", "SELECT NVL(a, 1) FROM t")
    assert (project.penstock("lint", "x.sql").code, project.penstock("lint", "gone.sql").code) == (0, 2)
