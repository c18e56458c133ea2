"""What every format's reader promises, and what is its own; files on a folder and on S3 through `read_rows`."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.config import AwsSettings
from penstock.connections import FilesConnection
from penstock.connectors.readers import ReadSpec, count_rows, data_files, read_rows
from penstock.connectors.stores import open_store
from penstock.errors import ArgumentError, SourceChangedError, SourceError
from penstock.objects import ObjectStore
from penstock.pipeline import Read
from penstock.schema import Column
from penstock.sources import source_format, source_formats

TYPES = {"id": "bigint!", "name": "string", "price": "decimal(9,2)", "on": "date", "at": "timestamp", "ok": "boolean", "x": "double"}
COLUMNS = tuple(Column.parse(name, kind) for name, kind in TYPES.items())
FORMATS = ("csv", "debezium", "json", "parquet")
ROWS: list[dict[str, Any]] = [
    {"id": 1, "name": 'a, "b"\nc é', "price": Decimal("1.10"), "on": date(2013, 1, 1), "at": datetime(2013, 1, 1, 10, tzinfo=UTC), "ok": True, "x": 0.1},
    {"id": 2, "name": None, "price": None, "on": None, "at": None, "ok": None, "x": None},
    {"id": 3, "name": "c", "price": Decimal("-9999999.99"), "on": date(1, 1, 1), "at": datetime(9999, 12, 31, tzinfo=UTC), "ok": False, "x": -1.5e300},
]


def _text(value: object) -> Any:
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def as_json(rows: list[dict[str, Any]]) -> bytes:
    return b"\n".join(json.dumps({k: _text(v) for k, v in row.items()}).encode() for row in rows)


def as_debezium(rows: list[dict[str, Any]]) -> bytes:
    return b"\n".join(b'{"op":"c","source":{"connector":"postgresql","sequence":"[\\"1\\",\\"2\\"]"},"after":%s}' % line for line in as_json(rows).splitlines())


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    import csv

    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows({k: "" if v is None else _text(v) for k, v in row.items()} for row in rows)
    return out.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]], count: int | None = None) -> bytes:
    out = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows)[:count], out)
    return out.getvalue().to_pybytes()


WRITERS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {"csv": as_csv, "debezium": as_debezium, "json": as_json, "parquet": as_parquet}
EMPTY = {"csv": as_csv(ROWS).partition(b"\n")[0], "debezium": b"", "json": b"", "parquet": as_parquet(ROWS, 0)}
OPTIONS = {"debezium": {"decimal_handling_mode": "string"}}


def spec_of(format_name: str) -> ReadSpec:
    return ReadSpec(format_name, COLUMNS, ("id",), OPTIONS.get(format_name, {}))


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(FilesConnection(kind="files", path="."), AwsSettings(), tmp_path)


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
def test_the_same_rows_from_every_format(store: ObjectStore, format_name: str, zipped: bool) -> None:
    data = WRITERS[format_name](ROWS)
    store.write("in/1", gzip.compress(data) if zipped else data)
    store.write("in/2", data)
    files = data_files(store)
    rows = read_rows(store, files, spec_of(format_name))
    assert rows.rejected.to_pylist() == []
    assert (rows.read, rows.filtered, rows.table.num_rows) == (6, 0, 6)
    assert rows.table.select(list(TYPES)).to_pylist() == ROWS * 2
    assert [count_rows(store, file, format_name) for file in files] == [3, 3]


@pytest.mark.parametrize("format_name", FORMATS)
def test_positions_name_file_and_place(store: ObjectStore, format_name: str) -> None:
    store.write("a", WRITERS[format_name]([ROWS[1], ROWS[2]]))
    rows = read_rows(store, data_files(store), spec_of(format_name))
    first = 2 if format_name == "csv" else 1  # a csv's header is its first line
    assert rows.table["__position"].to_pylist() == [f"{store.root}a#{first}", f"{store.root}a#{first + 1}"]


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_value_that_does_not_fit_is_rejected_and_the_rest_read(store: ObjectStore, format_name: str) -> None:
    big = dict(ROWS[1], id=4, price=Decimal("123456789.00"))
    none = dict(ROWS[1], id=None)
    store.write("a", WRITERS[format_name]([ROWS[1], big, none, ROWS[2]]))
    rows = read_rows(store, data_files(store), spec_of(format_name))
    assert rows.table["id"].to_pylist() == [2, 3]
    assert rows.read == 4
    reasons = sorted(map(str, rows.rejected["__reason"].to_pylist()))
    assert "column 'id' is bigint! and may not be NULL" in reasons[0]
    assert "column 'price' is decimal(9,2), which cannot hold" in reasons[1]
    assert "123456789" in reasons[1]
    payloads = " ".join(map(str, rows.rejected["__payload"].to_pylist()))
    assert payloads.count("123456789") == 1


@pytest.mark.parametrize("format_name", FORMATS)
def test_no_file_and_no_row(store: ObjectStore, format_name: str) -> None:
    nothing = read_rows(store, [], spec_of(format_name))
    store.write("a", EMPTY[format_name])
    empty = read_rows(store, data_files(store), spec_of(format_name))
    assert nothing.read == empty.read == nothing.table.num_rows == empty.table.num_rows == 0
    assert nothing.table.schema == empty.table.schema
    assert nothing.table.schema.names[: len(TYPES) + 1] == [*TYPES, "__position"]


@pytest.mark.parametrize("format_name", FORMATS)
def test_columns_not_declared_are_left_out(store: ObjectStore, format_name: str) -> None:
    store.write("a", WRITERS[format_name]([{"more": 1, **row, "again": "x"} for row in ROWS]))
    rows = read_rows(store, data_files(store), spec_of(format_name))
    assert rows.table.num_rows == 3
    assert not {"more", "again"} & set(rows.table.column_names)


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_file_that_changed_after_its_batch_was_cut(store: ObjectStore, format_name: str) -> None:
    store.write("a", WRITERS[format_name](ROWS))
    files = data_files(store)
    store.write("a", WRITERS[format_name](ROWS[:1]))
    with pytest.raises(SourceChangedError, match=r"/a changed after its batch was cut") as raised:
        read_rows(store, files, spec_of(format_name))
    assert "penstock batch retry" in str(raised.value)


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_file_that_is_gone(store: ObjectStore, format_name: str) -> None:
    store.write("a", WRITERS[format_name](ROWS))
    files = data_files(store)
    store.delete("a")
    with pytest.raises(SourceError, match=r"/a is not there") as raised:
        read_rows(store, files, spec_of(format_name))
    assert "penstock batch skip" in str(raised.value)


@pytest.mark.parametrize(
    "damage",
    [lambda z: z[:-20], lambda z: z[: len(z) // 2] + b"\0\0\0\0" + z[len(z) // 2 + 4 :], lambda z: b"plain text", lambda z: b""],
    ids=["cut", "changed", "no gzip", "empty"],
)
def test_a_corrupt_gzip_stops_with_its_name(store: ObjectStore, damage: Callable[[bytes], bytes]) -> None:
    store.write("good.json.gz", gzip.compress(as_json(ROWS)))
    store.write("late.json.gz", damage(gzip.compress(as_json(ROWS * 50))))
    with pytest.raises(SourceError, match=r"late\.json\.gz is not a whole gzip file") as raised:
        read_rows(store, data_files(store), spec_of("json"))
    assert "penstock batch retry" in str(raised.value)


def test_many_files_are_read_in_the_order_of_the_manifest(store: ObjectStore) -> None:
    for i in range(40):
        store.write(f"{i:02}.json", json.dumps({"id": i}).encode())
    files = list(reversed(data_files(store)))
    assert read_rows(store, files, spec_of("json")).table["id"].to_pylist() == list(range(39, -1, -1))


def csv_rows(store: ObjectStore, text: bytes, **options: str) -> Any:
    store.write("a.csv", text)
    columns = tuple(Column.parse(name, kind) for name, kind in {"id": "int!", "name": "string", "x": "double"}.items())
    return read_rows(store, data_files(store), ReadSpec("csv", columns, (), options))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"1,a", "the record has 2 values, the header 3"),
        (b"1,a,2,3", "the record has 4 values, the header 3"),
        (b"x,a,1", "'id' is int, which cannot hold 'x'"),
        (b"0x1F,a,1", "it is not a whole number"),
        (b"1_0,a,1", "it is not a whole number"),
        (b" 1,a,1", "it is not a whole number"),
        (b"3000000000,a,1", "cannot hold '3000000000'"),
        (b",a,1", "'id' is int! and may not be NULL"),
        (b"1,a,1e999", "too large"),
        (b"1,a,one", "'x' is double, which cannot hold 'one'"),
        (b'1,"a"b,1', "not CSV"),
        (b"1,\xff,1", "surrogates not allowed"),
    ],
)
def test_a_bad_record_of_a_csv(store: ObjectStore, record: bytes, reason: str) -> None:
    rows = csv_rows(store, b"id,name,x\n1,good,1\n" + record + b"\n2,good,2\n")
    assert rows.table["id"].to_pylist() == [1, 2]
    assert rows.read == 3
    (bad,) = rows.rejected.to_pylist()
    assert reason in bad["__reason"]
    assert bad["__position"].endswith("a.csv#3")
    assert bad["__payload"] == record.decode(errors="backslashreplace")


def test_a_csv_with_bom_crlf_blank_lines_and_quotes(store: ObjectStore) -> None:
    rows = csv_rows(store, b'\xef\xbb\xbfname,id,x\r\n"a\r\nb",1,inf\r\n\r\n"say ""hi""",2,nan\r\nplain,3,')
    assert rows.table["name"].to_pylist() == ["a\r\nb", 'say "hi"', "plain"]
    assert [p.rpartition("#")[2] for p in rows.table["__position"].to_pylist()] == ["2", "5", "6"]
    assert rows.read == 3
    assert rows.table["x"].to_pylist()[2] is None


@pytest.mark.parametrize("cut", [b"2,b", b'2,"b', b"2", b"2,b,-"])
def test_a_csv_that_ends_in_a_record_is_refused_whole(store: ObjectStore, cut: bytes) -> None:
    with pytest.raises(SourceError, match=r"a\.csv ends in the middle of a record: .* has no line break behind it"):
        csv_rows(store, b"id,name,x\n1,a,1\n" + cut)


@pytest.mark.parametrize("format_name", ["json", "debezium"])
def test_lines_that_end_in_an_object_are_refused_whole(store: ObjectStore, format_name: str) -> None:
    data = WRITERS[format_name]([ROWS[1], ROWS[2]])
    for end in (len(data) - 1, len(data) * 3 // 4):
        store.write("a", data[:end])
        with pytest.raises(SourceError, match=r"/a ends in the middle of a record"):
            read_rows(store, data_files(store), spec_of(format_name))
    store.write("a", data[:end] + b"\n")
    assert read_rows(store, data_files(store), spec_of(format_name)).rejected.num_rows == 1, "a line that was ended is a bad line"


def test_pages_that_do_not_match_their_checksums_are_refused(store: ObjectStore) -> None:
    out = pa.BufferOutputStream()
    pq.write_table(pa.table({"v": list(range(1000))}), out, write_page_checksum=True, compression="none", use_dictionary=False)
    data = bytearray(out.getvalue().to_pybytes())
    data[2000] ^= 1
    store.write("a.parquet", bytes(data))
    with pytest.raises(SourceError, match=r"a\.parquet is not a whole Parquet file: .*CRC"):
        read_rows(store, data_files(store), ReadSpec("parquet", (Column.parse("v", "bigint"),)))


def test_an_open_quote_is_one_bad_record(store: ObjectStore) -> None:
    rows = csv_rows(store, b'id,name,x\n1,a,1\n2,"never closed,2\n3,c,3\n')
    assert rows.table["id"].to_pylist() == [1]
    assert rows.read == 2
    assert rows.rejected["__payload"].to_pylist() == ['2,"never closed,2\n3,c,3']


def test_the_text_that_stands_for_null(store: ObjectStore) -> None:
    assert csv_rows(store, b"id,name,x\n1,,\n").table["name"].to_pylist() == [None]
    rows = csv_rows(store, b"id,name,x\n1,,\\N\n2,\\N,1\n", null="\\N")
    assert rows.table["name"].to_pylist() == ["", None]


def test_a_csv_field_of_a_megabyte(store: ObjectStore) -> None:
    assert csv_rows(store, b"id,name,x\n1," + b"y" * 1_000_000 + b",1\n").table.num_rows == 1


@pytest.mark.parametrize(("header", "text"), [(b"id,nam,x", "the header has only id, nam, x; did you mean 'nam'?"), (b"id,name,name,x", "names it 2 times")])
def test_a_csv_header_without_a_declared_column(store: ObjectStore, header: bytes, text: str) -> None:
    with pytest.raises(SourceError) as raised:
        csv_rows(store, header + b"\n1,a,1\n")
    assert text in str(raised.value)


@pytest.mark.parametrize("line", [b"{nope", b"[1]", b"null", b'"text"', b'{"id": "1"}', b'{"id": true}', b'{"id": 1, "ok": "yes"}', b'{"id": 1, "on": 15706}'])
def test_a_bad_line_of_json(store: ObjectStore, line: bytes) -> None:
    store.write("a", b'{"id": 1}\n\n' + line + b'\n{"id": 2.0}')
    rows = read_rows(store, data_files(store), spec_of("json"))
    assert rows.table["id"].to_pylist() == [1, 2]
    assert (rows.read, rows.rejected["__payload"].to_pylist()) == (3, [line.decode()])
    assert rows.rejected["__position"].to_pylist() == [f"{store.root}a#3"]


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        ("int", pa.array(["1"])),
        ("int", pa.array([1.0])),
        ("string", pa.array([1])),
        ("timestamp", pa.array([0], pa.timestamp("us"))),
        ("timestamp_ntz", pa.array([0], pa.timestamp("us", "UTC"))),
        ("date", pa.array([0], pa.timestamp("us"))),
        ("float", pa.array([0.1], pa.float64())),
        ("boolean", pa.array([1])),
    ],
)
def test_a_parquet_schema_that_is_not_the_declared_one(store: ObjectStore, kind: str, array: Any) -> None:
    out = pa.BufferOutputStream()
    pq.write_table(pa.table({"v": array}), out)
    store.write("a.parquet", out.getvalue().to_pybytes())
    with pytest.raises(SourceError, match=r"a\.parquet: column 'v' is .* in the file and .* in the declaration"):
        read_rows(store, data_files(store), ReadSpec("parquet", (Column.parse("v", kind),)))


@pytest.mark.parametrize(
    ("kind", "array", "kept", "lost"),
    [
        ("int", pa.array([1, 2**40, None], pa.int64()), [1, None], 1),
        ("bigint", pa.array([1, 2**63], pa.uint64()), [1], 1),
        ("timestamp_ntz", pa.array([1000, 1001], pa.timestamp("ns")), [datetime(1970, 1, 1, 0, 0, 0, 1)], 1),
        ("decimal(4,1)", pa.array([Decimal("1.20"), Decimal("1.25"), Decimal("1000.00")]), [Decimal("1.2")], 2),
        ("string", pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"], 0),
        ("double", pa.array([1, 2**53 + 1], pa.int64()), [1.0], 1),
    ],
)
def test_parquet_casts_what_keeps_its_value(store: ObjectStore, kind: str, array: Any, kept: list[object], lost: int) -> None:
    out = pa.BufferOutputStream()
    pq.write_table(pa.table({"v": array}), out)
    store.write("a.parquet", out.getvalue().to_pybytes())
    rows = read_rows(store, data_files(store), ReadSpec("parquet", (Column.parse("v", kind),)))
    assert (rows.table["v"].to_pylist(), rows.rejected.num_rows, rows.read) == (kept, lost, len(array))


def test_a_file_that_is_no_parquet(store: ObjectStore) -> None:
    store.write("a.parquet", as_parquet(ROWS)[:-10])
    with pytest.raises(SourceError, match=r"a\.parquet is not a whole Parquet file"):
        read_rows(store, data_files(store), spec_of("parquet"))
    store.write("a.parquet", as_parquet([{"id": 1}]))
    with pytest.raises(SourceError, match=r"column 'name' is not one of id"):
        read_rows(store, data_files(store), spec_of("parquet"))


def test_what_formats_say_of_themselves() -> None:
    assert {f.name for f in source_formats()} == set(Read.model_fields["format"].annotation.__args__)  # type: ignore[union-attr]
    assert {f.name for f in source_formats() if f.reader} == set(FORMATS)
    assert [f.name for f in source_formats() if f.is_change_feed] == ["debezium"]
    assert source_format("debezium").sequence_parts == {"postgresql": 2, "mysql": 3}
    with pytest.raises(ArgumentError, match="did you mean 'debezium'"):
        source_format("debesium")


def test_options_go_with_their_format() -> None:
    assert Read.model_validate({"from": "raw/a/", "format": "csv", "null": "\\N"}).options == {"null": "\\N"}
    read = Read.model_validate({"from": "raw/a/", "format": "debezium", "connector": "mysql"})
    assert ReadSpec.of(read, COLUMNS).sequence_parts == 3
    assert ReadSpec.of(Read.model_validate({"from": "raw/a/", "format": "debezium"}), COLUMNS).sequence_parts == 2
    assert Read.model_validate(read.model_dump(by_alias=True)) == read
    for wrong in ({"connector": "mysql"}, {"timestamp_unit": "ms"}, {"decimal_handling_mode": "string"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} goes with format: debezium, not with format: json"):
            Read.model_validate({"from": "raw/a/", "format": "json", **wrong})
    with pytest.raises(ValueError, match="null goes with format: csv"):
        Read.model_validate({"from": "raw/a/", "format": "debezium", "null": ""})


def test_asking_what_a_format_can_do_loads_nothing_heavy() -> None:
    code = (
        "import sys; from penstock.sources import source_formats; source_formats(); import penstock.connectors.readers, penstock.connectors.stores;"
        "print([m for m in ('pyarrow', 'msgspec', 'boto3', 'duckdb', 'pandas') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_refused_file_leaves_no_thread_behind(tmp_path: Path) -> None:
    """Threads that were left to the garbage collector deadlocked a later read."""
    import threading

    for i in range(20):
        (tmp_path / f"{i:02}.json.gz").write_bytes(b"no gzip")
    store = open_store(FilesConnection(kind="files", path=str(tmp_path)), AwsSettings(), tmp_path)
    spec = ReadSpec("debezium", (Column.parse("id", "bigint!"),), ("id",))
    with pytest.raises(SourceError) as kept:
        read_rows(store, data_files(store), spec)
    assert kept.traceback
    assert not [t.name for t in threading.enumerate() if t.name.startswith("read")]
