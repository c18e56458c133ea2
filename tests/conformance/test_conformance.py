"""Redshift's SQL on the local warehouse, by Redshift's own client; on a real one where PENSTOCK_TEST_REDSHIFT has its host, port, database, user, password."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redshift_connector
from conformance_cases import FOLDER, Case, cases, statements, table, with_places

from penstock.infra.local.control import LocalAws

CASES = cases()
REAL = json.loads(os.environ.get("PENSTOCK_TEST_REDSHIFT", "null"))


def connect(local: LocalAws) -> Any:
    where = REAL or {"host": "127.0.0.1", "port": local.redshift_port, "database": "dev", "user": "awsuser", "password": "local", "ssl": False}
    return redshift_connector.connect(**where)


@pytest.fixture(scope="module")
def places(local_aws: LocalAws) -> dict[str, str]:
    return {"role": os.environ.get("PENSTOCK_TEST_REDSHIFT_ROLE", "arn:aws:iam::123456789012:role/r")}


@pytest.fixture(scope="module")
def connection(local_aws: LocalAws, places: dict[str, str]) -> Iterator[Any]:
    with connect(local_aws) as found:
        found.autocommit = True
        cursor = found.cursor()
        for statement in statements((FOLDER / "setup.sql").read_text()):
            cursor.execute(with_places(statement, places))
        yield found


@pytest.fixture
def run(connection: Any, places: dict[str, str]) -> Iterator[Callable[[str], list[Any]]]:
    """Statements in a transaction that is rolled back; the rows of the last one."""
    cursor = connection.cursor()

    def execute(sql: str) -> list[Any]:
        cursor.execute(with_places(sql, places))
        return [list(r) for r in cursor.fetchall()] if cursor.description else []

    for begun in ("SET search_path TO cases", "BEGIN"):
        execute(begun)
    yield execute
    for ended in ("ROLLBACK", "RESET timezone", "SET enable_case_sensitive_identifier TO false"):
        execute(ended)


def rows_of_last(run: Callable[[str], list[Any]], asked: Sequence[str]) -> list[Any]:
    *before, last = asked
    for statement in before:
        run(statement)
    return run(last)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_case(run: Callable[[str], list[Any]], case: Case) -> None:
    expected = "not supported locally" if case.unsupported and not REAL else case.error
    if case.unsupported and REAL:
        pytest.skip("the local warehouse lacks it")
    asked = (*case.before, case.sql)
    if not expected:
        found = table(rows_of_last(run, asked))
        assert found if case.any_rows else found == case.rows
        return
    with pytest.raises(redshift_connector.Error) as raised:
        rows_of_last(run, asked)
    assert re.search(re.escape(case.unsupported) if case.unsupported else expected, str(raised.value))


def test_there_are_so_many_cases_and_hardly_any_is_missing() -> None:
    assert len(CASES) >= 250
    assert sum(bool(c.unsupported) for c in CASES) <= len(CASES) * 0.05
