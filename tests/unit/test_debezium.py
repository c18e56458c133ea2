"""Debezium's events, line by line, through `read_rows` on a folder."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.changes.facts import unavailable
from penstock.config import AwsSettings
from penstock.connections import FilesConnection
from penstock.connectors.readers import ReadSpec, count_rows, data_files, read_rows
from penstock.connectors.stores import open_store
from penstock.schema import Column
from penstock.sources import Rows

COLUMNS = tuple(Column.parse(name, kind) for name, kind in {"id": "bigint!", "name": "string!", "note": "string"}.items())
SPEC = ReadSpec("debezium", COLUMNS, ("id",))
MYSQL = ReadSpec("debezium", COLUMNS, ("id",), {"connector": "mysql"})
Read = Callable[..., Rows]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def of(*lines: object, spec: ReadSpec = SPEC) -> Rows:
        texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        (tmp_path / "events.json").write_bytes(b"\n".join(texts))
        store = open_store(FilesConnection(kind="files", path="."), AwsSettings(), tmp_path)
        files = data_files(store)
        rows = read_rows(store, files, spec)
        assert rows.read == rows.table.num_rows + rows.rejected.num_rows + rows.filtered == sum(count_rows(store, f, spec.format) for f in files)
        return rows

    return of


def source(commit: int | None = 5, lsn: int = 10) -> dict[str, Any]:
    return {"connector": "postgresql", "db": "inventory", "lsn": lsn, "sequence": json.dumps([None if commit is None else str(commit), str(lsn)])}


def binlog(file: str = "mysql-bin.000023", pos: int = 154, row: int = 0, connector: str = "mysql") -> dict[str, Any]:
    return {"connector": connector, "file": file, "pos": pos, "row": row}


def change(op: str = "c", after: object = None, before: object = None, **more: Any) -> dict[str, Any]:
    return {"op": op, "before": before, "after": after, "source": source(), "ts_ms": 1} | more


ANNE = {"id": 1, "name": "Anne", "note": None}


def reasons(rows: Rows) -> list[str]:
    return [str(r) for r in rows.rejected["__reason"].to_pylist()]


def test_each_operation_becomes_a_row(read: Read) -> None:
    rows = read(
        change("c", ANNE),
        change("u", ANNE | {"name": "Ann"}, before=ANNE),
        change("r", ANNE, source=source(commit=None)),
        change("d", before={"id": 1, "name": None, "note": None}),
        b"null",
        change("m", message={"prefix": "p", "content": "eA=="}),
    )
    assert (rows.read, rows.filtered) == (6, 2)
    names = ("id", "name", "__op", "__sequence_1", "__sequence_2")
    assert [tuple(row[n] for n in names) for row in rows.table.to_pylist()] == [
        (1, "Anne", "c", 5, 10),
        (1, "Ann", "u", 5, 10),
        (1, "Anne", "r", 0, 10),
        (1, None, "d", 5, 10),
    ]


def test_the_envelope_with_a_schema_says_the_same(read: Read) -> None:
    fields = [{"field": "id", "type": "int64"}, {"field": "name", "type": "string"}, {"field": "note", "type": "string"}]
    schema = {"type": "struct", "fields": [{"field": "before", "type": "struct", "fields": fields}, {"field": "after", "type": "struct", "fields": fields}]}
    lines = [change("c", ANNE), change("d", before=ANNE), change("u", ANNE)]
    plain = read(*lines)
    assert read(*({"schema": schema, "payload": line} for line in lines)).table.equals(plain.table)
    assert read(*({"schema": None, "payload": line} for line in lines)).table.equals(plain.table)
    assert read({"schema": None, "payload": None}, {"schema": schema, "payload": None}).filtered == 2


def test_positions_count_lines_from_one_and_blank_lines_are_no_events(read: Read, tmp_path: Path) -> None:
    rows = read(b"", json.dumps(change("c", ANNE)).encode() + b"\r", b"  ", b"nope", change("c", ANNE), b"")
    uri = str(tmp_path / "events.json")
    assert rows.read == 3
    assert rows.table["__position"].to_pylist() == [f"{uri}#2", f"{uri}#5"]
    assert rows.rejected["__position"].to_pylist() == [f"{uri}#4"]


def test_positions_in_a_file_of_many_chunks(read: Read) -> None:
    lines = [change("c", {"id": i, "name": "x" * 400, "note": None}) for i in range(40_000)]
    rows = read(*lines)
    assert rows.read == rows.table.num_rows == 40_000
    assert rows.table["id"].to_pylist() == list(range(40_000))
    assert [str(p).rpartition("#")[2] for p in rows.table["__position"].to_pylist()] == [str(i + 1) for i in range(40_000)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{not json", "not a Debezium event"),
        (b'{"op": "c"', "truncated"),
        (b'{"op": "c", "after": {"id": 1, "name": "\xff", "note": null}}', "utf-8"),
        (b"[1]", "Expected `object"),
        ({}, "op is 'None'"),
        ({"status": "BEGIN", "id": "1"}, "op is 'None'"),
        (change("x", ANNE), "op is 'x' is not one of c, d, r, t, u"),
        (change("c", None), "holds no after, so its key is not known"),
        (change("d", None), "holds no before, so its key is not known"),
        (change("d", before={"name": "Anne"}), "'id' is not in the event"),
        (change("d", before={"id": None}), "'id' is bigint! and may not be NULL"),
        (change("c", {"id": None, "name": "x", "note": "y"}), "'id' is bigint! and may not be NULL"),
        (change("c", {"id": 1, "name": None, "note": "y"}), "'name' is string! and may not be NULL"),
        (change("c", {"id": 1, "name": "x"}), "'note' is not in the event"),
        (change("c", {"id": "1", "name": "x", "note": "y"}), "'id' is bigint, which cannot hold '1' (str)"),
        (change("c", {"id": 1.5, "name": "x", "note": "y"}), "cannot hold 1.5 (Decimal): it has digits after the point"),
        (change("c", {"id": 2**63, "name": "x", "note": "y"}), "cannot hold 9223372036854775808 (int)"),
        (change("c", {"id": 1, "name": 7, "note": "y"}), "'name' is string, which cannot hold 7 (int): expected text"),
        (change("c", {"id": 1, "name": ["a"], "note": "y"}), "'name' is string, which cannot hold ['a'] (list)"),
        (change("c", ANNE, source=None), "source.connector is None"),
        (change("c", ANNE, source=binlog()), "source.connector is 'mysql'; the step reads postgresql (option `connector`)"),
        (change("c", ANNE, source={"connector": "postgresql", "lsn": 10}), "no source.sequence"),
        (change("c", ANNE, source={"connector": "postgresql", "sequence": "[]"}), "source.sequence is '[]', not a pair of LSNs"),
        (change("c", ANNE, source={"connector": "postgresql", "sequence": '["a","b"]'}), "not a pair of LSNs"),
        (change("c", ANNE, source={"connector": "postgresql", "sequence": f'["1","{2**63}"]'}), "not a pair of LSNs: Expected `int` <= 9223372036854775807"),
    ],
)
def test_what_is_no_event_is_kept_with_its_reason(read: Read, line: object, reason: str) -> None:
    rows = read(change("c", ANNE), line, change("c", ANNE))
    assert (rows.table.num_rows, rows.rejected.num_rows) == (2, 1)
    assert reason in reasons(rows)[0]
    text = line if isinstance(line, bytes) else json.dumps(line).encode()
    assert rows.rejected["__payload"].to_pylist() == [text.decode(errors="backslashreplace")]


def test_a_payload_is_kept_whole(read: Read) -> None:
    line = change("c", {"id": "wrong", "name": "x" * 1_000_000, "note": None})
    rows = read(line)
    assert rows.rejected["__payload"].to_pylist() == [json.dumps(line)]
    assert len(reasons(rows)[0]) < 500


def test_bad_values_among_many_good_ones(read: Read) -> None:
    bad = {7, 8, 500, 999}
    rows = read(*(change("c", {"id": "x" if i in bad else i, "name": "n", "note": None}) for i in range(1000)))
    assert rows.table["id"].to_pylist() == [i for i in range(1000) if i not in bad]
    assert sorted(int(str(p).rpartition("#")[2]) for p in rows.rejected["__position"].to_pylist()) == [i + 1 for i in sorted(bad)]


def test_fields_that_are_not_declared_are_ignored(read: Read) -> None:
    rows = read(change("c", ANNE | {"added_later": {"deep": [1, 2]}}))
    assert rows.table.num_rows == 1
    assert "added_later" not in rows.table.column_names


def test_a_truncate_says_its_place_and_nothing_else(read: Read) -> None:
    rows = read(change("c", ANNE), change("t", source=source(7, 70)))
    said = rows.table.slice(1).to_pylist()[0]
    assert (said["__op"], said["__sequence_1"], said["__sequence_2"]) == ("t", 7, 70)
    assert [said[c] for c in ("id", "name", "note", "__unavailable")] == [None] * 4


@pytest.mark.parametrize("value", ["__debezium_unavailable_value", "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==", ["__debezium_unavailable_value"]])
def test_values_that_an_event_leaves_out_are_named_and_never_taken_for_values(read: Read, value: object) -> None:
    rows = read(change("c", ANNE), change("u", ANNE | {"note": value}), change("u", ANNE | {"name": value, "note": value}))
    assert rows.table["note"].to_pylist() == [None, None, None]
    assert rows.table["__unavailable"].to_pylist() == [None, unavailable(["note"]), unavailable(["name", "note"])]
    assert rows.rejected.num_rows == 0


def test_an_event_that_leaves_out_its_key_is_kept_aside(read: Read) -> None:
    rows = read(change("u", ANNE | {"id": "__debezium_unavailable_value"}))
    assert reasons(rows) == ["the event leaves out the value of the key column id"]


def test_what_is_left_out_of_other_columns_does_no_harm(read: Read) -> None:
    toast = "__debezium_unavailable_value"
    rows = read(
        change("u", ANNE | {"other": toast}), change("u", ANNE, before={"id": 1, "name": "x", "note": toast}), change("c", ANNE | {"note": f"says {toast}"})
    )
    assert (rows.table.num_rows, rows.rejected.num_rows) == (3, 0)


def test_postgresql_orders_by_commit_then_lsn_as_numbers(read: Read) -> None:
    rows = read(*(change("c", ANNE, source=source(*place)) for place in ((9, 30), (10, 20), (100, 15), (None, 8))), change("r", ANNE, source=source(None, 8)))
    found = list(zip(rows.table["__sequence_1"].to_pylist(), rows.table["__sequence_2"].to_pylist(), strict=True))
    assert found == [(9, 30), (10, 20), (100, 15), (8, 8), (0, 8)]
    assert str(rows.table.schema.field("__sequence_1").type) == "int64"


def test_mysql_orders_by_file_position_and_row_as_numbers(read: Read) -> None:
    places = [("mysql-bin.000009", 999, 0), ("mysql-bin.000010", 4, 2), ("mysql-bin.999999", 10, 10), ("mysql-bin.1000000", 4, 0)]
    rows = read(*(change("c", ANNE, source=binlog(*place)) for place in places), spec=MYSQL)
    found = list(zip(*(rows.table[f"__sequence_{i}"].to_pylist() for i in (1, 2, 3)), strict=True))
    assert found == sorted(found) == [(9, 999, 0), (10, 4, 2), (999_999, 10, 10), (1_000_000, 4, 0)]


def test_mysql_reads_mariadb_and_refuses_others(read: Read) -> None:
    rows = read(change("c", ANNE, source=binlog(connector="mariadb")), change("c", ANNE), change("c", ANNE, source={"connector": "mysql"}), spec=MYSQL)
    assert rows.table.num_rows == 1
    assert "'postgresql'; the step reads mariadb, mysql" in reasons(rows)[0]
    assert "place in the binlog is not known" in reasons(rows)[1]


def test_gzip_by_its_content_whatever_its_name(read: Read) -> None:
    whole = gzip.compress(b"\n".join(json.dumps(change("c", ANNE)).encode() for _ in range(3)))
    assert read(whole).table.num_rows == 3


def test_columns_of_any_name(read: Read) -> None:
    columns = tuple(Column.parse(name, kind) for name, kind in {"class": "int!", "end date": "string", "c0": "string", "ünï": "string"}.items())
    row = {"class": 1, "end date": "a", "c0": "b", "ünï": "c"}
    rows = read(change("c", row), change("d", before={"class": 1}), spec=ReadSpec("debezium", columns, ("class",)))
    assert [{name: r[name] for name in row} for r in rows.table.to_pylist()] == [row, {"class": 1, "end date": None, "c0": None, "ünï": None}]
