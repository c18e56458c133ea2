"""docs/reference/redshift-sql.md says what the cases say; PENSTOCK_UPDATE_SNAPSHOTS=1 writes it anew."""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path

import psycopg
from conformance_cases import Case, cases

from penstock.infra.local.control import LocalAws
from penstock.infra.local.errors import NotLocalError, SqlError
from penstock.infra.local.redshift.catalog import Registry, SessionCatalog
from penstock.infra.local.redshift.expressions import Settings
from penstock.infra.local.redshift.rewrite import Rewriter
from penstock.infra.local.redshift.tokens import tokenize

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "redshift-sql.md"
HEAD = """# Redshift's SQL on the local warehouse

*Made from the test cases below `tests/conformance/cases`, which Redshift's own client runs; `PENSTOCK_TEST_REDSHIFT='{{"host": …}}'` \
runs the same cases on a real Redshift.*

Of {total} cases {native} are PostgreSQL's own, {rewritten} are rewritten, {refused} are refused as Redshift refuses them, \
and {unsupported} ({share:.1f} %) are not supported: these fail with `not supported locally: …`.
What is not listed, and is no function of Redshift's, is refused by its name; nothing passes with PostgreSQL's own meaning.
"""


class NoExternal:
    def table(self, database: str, name: str) -> None:
        raise AssertionError("no case reads an external table")


def how(case: Case, rewriter: Rewriter) -> str:
    """native, rewritten, refused, or unsupported: by what becomes of the case's statements."""
    if case.unsupported:
        return f"unsupported: {case.unsupported}"
    found = "native"
    for sql in (*case.before, case.sql):
        try:
            new = rewriter.statement(sql).sql
        except (NotLocalError, SqlError):  # where it is none of the case's, what the statement names is not there for the rewriter alone
            return "refused" if case.error else "rewritten"
        if [t.text.lower() for t in tokenize(new)] != [t.text.lower() for t in tokenize(sql)]:
            found = "rewritten"
    return found


def test_the_reference_is_what_the_cases_say(local_aws: LocalAws) -> None:
    with psycopg.connect(local_aws.redshift_dsn, autocommit=True) as connection:
        catalog = SessionCatalog(lambda sql: connection.execute(sql).fetchall(), Registry())  # type: ignore[call-overload]
        names = connection.execute(
            "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'pg_catalog')"
        ).fetchall()
        rewriter = Rewriter(catalog, Settings(foreign=frozenset(n for (n,) in names), in_block=True), NoExternal())  # type: ignore[arg-type]
        found = [(case, how(case, rewriter)) for case in cases()]
    kinds = [h.partition(":")[0] for _, h in found]
    counts = {k: kinds.count(k) for k in ("native", "rewritten", "refused", "unsupported")}
    text = HEAD.format(total=len(found), share=100 * counts["unsupported"] / len(found), **counts)
    for group, members in groupby(found, lambda f: f[0].group):
        text += f"\n## {group}\n\n| case | here |\n| --- | --- |\n" + "".join(f"| {c.title.replace('|', chr(92) + '|')} | {h} |\n" for c, h in members)
    if os.environ.get("PENSTOCK_UPDATE_SNAPSHOTS"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text
