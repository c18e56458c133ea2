"""How each of Debezium's encodings becomes a declared type, and what is refused."""

from __future__ import annotations

import hashlib
import json
import random
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from penstock.connectors.debezium.reader import read
from penstock.connectors.readers import ReadSpec
from penstock.schema import Column
from penstock.sources import Rows

EPOCH = datetime(1970, 1, 1)
DECIMAL = "org.apache.kafka.connect.data.Decimal"


def b64(data: bytes) -> str:
    return b64encode(data).decode()


def unscaled(number: int) -> str:
    return b64(number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def events(columns: tuple[Column, ...], images: list[str], schema: list[dict[str, Any]] | None = None, **options: str) -> Rows:
    """Read images, given as JSON text, with or without a schema of the fields."""
    source = (
        {"connector": "postgresql", "sequence": '["1","2"]'}
        if options.get("connector") != "mysql"
        else {"connector": "mysql", "file": "b.1", "pos": 1, "row": 0}
    )
    bodies = [f'{{"op":"c","source":{json.dumps(source)},"after":{image}}}' for image in images]
    if schema is not None:
        described = json.dumps({"type": "struct", "fields": [{"field": "after", "type": "struct", "fields": schema}]})
        bodies = [f'{{"schema":{described},"payload":{body}}}' for body in bodies]
    return read("f", "\n".join(bodies).encode(), ReadSpec("debezium", columns, (), options))


def one(kind: str, value: str, schema: Mapping[str, Any] | None = None, **options: str) -> object:
    """The decoded value of one column, or the reason why there is none. `value` is JSON text."""
    rows = events((Column.parse("v", kind),), [f'{{"v":{value}}}'], None if schema is None else [{"field": "v", **schema}], **options)
    return rows.table["v"].to_pylist()[0] if rows.table.num_rows else rows.rejected["__reason"].to_pylist()[0]


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        ("boolean", "true", True),
        ("boolean", "0", False),
        ("int", "-2147483648", -(2**31)),
        ("int", "12.0", 12),
        ("bigint", "9223372036854775807", 2**63 - 1),
        ("double", "0.1", 0.1),
        ("double", "3", 3.0),
        ("double", '"-Infinity"', float("-inf")),
        ("float", "1.5", 1.5),
        ("string", '"9f0e1c1a-6a9c-4b9e-8a52-2e7d2e1f0c11"', "9f0e1c1a-6a9c-4b9e-8a52-2e7d2e1f0c11"),
        ("string", '"{\\"a\\": 1}"', '{"a": 1}'),
        ("binary", f'"{b64(bytes(range(256)))}"', bytes(range(256))),
        ("date", "15706", date(2013, 1, 1)),
        ("date", "-719162", date(1, 1, 1)),
        ("date", '"2013-01-01"', date(2013, 1, 1)),
        ("timestamp", '"2013-01-01T10:00:00.123456Z"', datetime(2013, 1, 1, 10, 0, 0, 123456, UTC)),
        ("timestamp", '"2013-01-01T10:00:00+02:00"', datetime(2013, 1, 1, 8, tzinfo=UTC)),
        ("timestamp_ntz", "1357034400123456", datetime(2013, 1, 1, 10, 0, 0, 123456)),
        ("timestamp_ntz", "-1", EPOCH - timedelta(microseconds=1)),
        ("timestamp", "1357034400123456", datetime(2013, 1, 1, 10, 0, 0, 123456, UTC)),
        ("decimal(9,2)", f'"{unscaled(-123)}"', Decimal("-1.23")),
        ("decimal(38,10)", f'"{unscaled(10**37 + 1)}"', Decimal("1000000000000000000000000000.0000000001")),
        ("decimal(38,20)", "123456789012345678.12345678901234567890", Decimal("123456789012345678.12345678901234567890")),
        ("decimal(9,2)", "7", Decimal("7.00")),
        ("decimal(9,2)", '{"scale": 1, "value": "AQ=="}', Decimal("0.10")),
        ("string", "null", None),
    ],
)
def test_values_without_a_schema(kind: str, value: str, wanted: object) -> None:
    assert one(kind, value) == wanted


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("boolean", "2", "neither 0 nor 1"),
        ("boolean", '"true"', "expected true or false"),
        ("int", "2147483648", "cannot hold 2147483648"),
        ("int", "true", "expected a whole number, not bool"),
        ("int", "1.5", "digits after the point"),
        ("float", "1e300", "too large"),
        ("double", '"12"', "expected a number or one of NaN, Infinity, -Infinity"),
        ("double", "[1]", "Expected `bool | float | str | null`, got `array` - at `$.after.v`"),
        ("double", "true", "expected a number, not bool"),
        ("binary", '"not base64"', "cannot hold 'not base64'"),
        ("binary", '"QQ"', "padding"),
        ("date", "2932897", "outside the years 0001 to 9999"),
        ("date", "2147483647", "outside the years 0001 to 9999"),
        ("date", '"2013-02-30"', "cannot hold '2013-02-30'"),
        ("timestamp", '"2013-01-01T10:00:00"', "expected a zone offset"),
        ("timestamp", "9223372036825200000", "outside the years 0001 to 9999"),
        ("timestamp_ntz", '"2013-01-01T10:00:00Z"', "expected no zone offset"),
        ("timestamp_ntz", "1.5", "expected a timestamp"),
        ("decimal(9,2)", "1.005", "data loss"),
        ("decimal(9,2)", "12345678.00", "precision"),
        ("decimal(9,2)", "1e400000000", "exponent is out of bounds"),
        ("decimal(9,2)", "1e-400000000", "exponent is out of bounds"),
        ("decimal(9,2)", "0e-400000000", "exponent is out of bounds"),
        ("decimal(9,2)", "1e-999", "data loss"),
        ("decimal(9,2)", '{"scale": 400000000, "value": "AQ=="}', "scale is out of bounds"),
        ("decimal(9,2)", '{"scale": "x", "value": "AQ=="}', "invalid literal"),
        ("decimal(9,2)", '{"scale": {}, "value": 1}', "cannot hold"),
        ("decimal(9,2)", '{"a": 1}', "cannot hold"),
        ("bigint", "1e400000000", "exponent is out of bounds"),
        ("bigint", "1e30", "cannot hold 1E+30"),
        ("bigint", "[" * 3000, "not a Debezium event"),
        ("decimal(9,2)", '"1.50"', "cannot hold '1.50'"),
        ("decimal(9,2)", "true", "expected a decimal, not bool"),
        ("string", "1", "expected text, not int"),
        ("string", '"\\ud800"', "not a Debezium event"),
        ("string!", "null", "may not be NULL"),
    ],
)
def test_what_does_not_fit_is_named(kind: str, value: str, reason: str) -> None:
    found = one(kind, value)
    assert isinstance(found, str)
    assert reason in found
    assert "v" in found


@pytest.mark.parametrize(
    ("kind", "value", "schema", "wanted"),
    [
        ("timestamp_ntz", "1357034400123", {"type": "int64", "name": "io.debezium.time.Timestamp"}, datetime(2013, 1, 1, 10, 0, 0, 123000)),
        ("timestamp_ntz", "1357034400123456", {"type": "int64", "name": "io.debezium.time.MicroTimestamp"}, datetime(2013, 1, 1, 10, 0, 0, 123456)),
        ("timestamp_ntz", "1357034400123456000", {"type": "int64", "name": "io.debezium.time.NanoTimestamp"}, datetime(2013, 1, 1, 10, 0, 0, 123456)),
        ("timestamp_ntz", "1357034400123", {"type": "int64", "name": "org.apache.kafka.connect.data.Timestamp"}, datetime(2013, 1, 1, 10, 0, 0, 123000)),
        ("timestamp", '"2013-01-01T10:00:00Z"', {"type": "string", "name": "io.debezium.time.ZonedTimestamp"}, datetime(2013, 1, 1, 10, tzinfo=UTC)),
        ("date", "15706", {"type": "int32", "name": "io.debezium.time.Date"}, date(2013, 1, 1)),
        ("date", "15706", {"type": "int32", "name": "org.apache.kafka.connect.data.Date"}, date(2013, 1, 1)),
        ("decimal(9,4)", '"ew=="', {"type": "bytes", "name": DECIMAL, "parameters": {"scale": "2"}}, Decimal("1.2300")),
        ("decimal(9,4)", "1.23", {"type": "bytes", "name": DECIMAL, "parameters": {"scale": "2"}}, Decimal("1.2300")),
        ("decimal(9,2)", '"1234"', {"type": "string"}, Decimal("1234.00")),
        ("decimal(9,2)", "1.5", {"type": "double"}, Decimal("1.50")),
        ("int", '"BQE="', {"type": "bytes", "name": "io.debezium.data.Bits"}, 261),
        ("binary", '"BQE="', {"type": "bytes", "name": "io.debezium.data.Bits"}, b"\x05\x01"),
        ("string", '"small"', {"type": "string", "name": "io.debezium.data.Enum"}, "small"),
        ("bigint", "36000000000", {"type": "int64", "name": "io.debezium.time.MicroTime"}, 36_000_000_000),
    ],
)
def test_the_schema_says_how_a_value_is_written(kind: str, value: str, schema: Mapping[str, Any], wanted: object) -> None:
    assert one(kind, value, schema) == wanted


@pytest.mark.parametrize(
    ("kind", "value", "schema"),
    [
        ("timestamp_ntz", "1357034400123456789", {"type": "int64", "name": "io.debezium.time.NanoTimestamp"}),
        ("timestamp_ntz", "36000000000", {"type": "int64", "name": "io.debezium.time.MicroTime"}),
        ("timestamp_ntz", "1357034400123", {"type": "int64"}),
        ("timestamp_ntz", "15706", {"type": "int32", "name": "io.debezium.time.Date"}),
        ("date", "1357034400123", {"type": "int64", "name": "io.debezium.time.Timestamp"}),
        ("decimal(9,0)", '"ew=="', {"type": "bytes", "name": DECIMAL, "parameters": {"scale": "2"}}),
        ("int", '"BQE="', {"type": "bytes"}),
    ],
)
def test_what_the_schema_contradicts_is_refused(kind: str, value: str, schema: Mapping[str, Any]) -> None:
    assert "cannot hold" in str(one(kind, value, schema))


NESTED_SCHEMA = {
    "type": "struct",
    "fields": [
        {"field": "price", "type": "bytes", "name": DECIMAL, "parameters": {"scale": "1"}},
        {"field": "days", "type": "array", "items": {"type": "int32", "name": "io.debezium.time.Date"}},
        {"field": "at", "type": "map", "keys": {"type": "int32"}, "values": {"type": "int64", "name": "io.debezium.time.Timestamp"}},
    ],
}
NESTED = "struct<at: map<int, timestamp_ntz>, days: array<date>, price: decimal(9,2)>"


@pytest.mark.parametrize(
    ("kind", "value", "schema", "wanted"),
    [
        (NESTED, '{"price":"ew==","days":[0,null],"at":[[2,1000],[1,null]]}', NESTED_SCHEMA,
         {"price": Decimal("12.30"), "days": [EPOCH.date(), None], "at": [(2, EPOCH + timedelta(seconds=1)), (1, None)]}),
        (f"array<{NESTED}>", '[null,{"price":null,"more":1}]', {"type": "array", "items": NESTED_SCHEMA},
         [None, {"price": None, "days": None, "at": None}]),
        ("map<string, array<int>>", '{"a":[1],"b":null}', {"type": "map", "keys": {"type": "string"}, "values": {"type": "array", "items": {"type": "int32"}}},
         [("a", [1]), ("b", None)]),
        ("struct<a: array<double>>", '"{\\"a\\": [0.1, 2]}"', {"type": "string", "name": "io.debezium.data.Json"}, {"a": [0.1, 2.0]}),
        ("struct<a: array<double>>", '"{\\"a\\": [0.1, 2]}"', None, {"a": [0.1, 2.0]}),
        ("array<decimal(9,2)>", f'["{unscaled(-123)}", null]', None, [Decimal("-1.23"), None]),
        ("map<date, binary>", '{"2013-01-01":"QQ=="}', None, [(date(2013, 1, 1), b"A")]),
        ("array<array<boolean>>", "[[true],[],null]", None, [[True], [], None]),
    ],
)  # fmt: skip
def test_nested_values_with_and_without_a_schema(kind: str, value: str, schema: Mapping[str, Any] | None, wanted: object) -> None:
    assert one(kind, value, schema) == wanted


@pytest.mark.parametrize(
    ("kind", "value", "schema", "reason"),
    [
        ("struct<a: int>", '"{\\"a\\": 1}"', {"type": "string"}, "expected an object, not str"),
        ("struct<a: int>", '"{\\"a\\": 1"', None, "it is not JSON"),
        ("struct<a: struct<b: int>>", '{"a":{"b":"x"}}', None, "in 'a': in 'b': expected a whole number, not str"),
        ("struct<a: int!>", "{}", None, "'a' is int! and may not be NULL"),
        ("array<int>", '{"a":1}', None, "expected a list, not dict"),
        ("map<string, int>", "[1]", None, "expected an object, or a list of pairs, not list"),
        ("map<int, int>", '{"1":1,"01":2}', None, "the key 1 stands twice"),
        ("map<int, int>", "[[null,1]]", None, "'key' is int! and may not be NULL"),
        ("map<date, int>", '{"2013-02-30":1}', None, "in 'key'"),
    ],
)
def test_nested_values_that_do_not_fit_are_named(kind: str, value: str, schema: Mapping[str, Any] | None, reason: str) -> None:
    found = one(kind, value, schema)
    assert isinstance(found, str)
    assert reason in found
    assert f"column 'v' is {kind}" in found


LEFT_OUT = b"__debezium_unavailable_value"
AS_UUID = str(UUID(bytes=hashlib.md5(LEFT_OUT, usedforsecurity=False).digest(), version=3))  # as Java's UUID.nameUUIDFromBytes makes it


@pytest.mark.parametrize("placeholder", [[LEFT_OUT.decode()], [b64(LEFT_OUT)], [AS_UUID], list(LEFT_OUT)], ids=["texts", "bytes", "uuids", "numbers"])
def test_arrays_that_an_event_leaves_out(placeholder: list[Any]) -> None:
    rows = events((Column.parse("v", "array<string>"),), [json.dumps({"v": placeholder})])
    assert rows.table["__unavailable"].to_pylist() == ["\x1fv\x1f"]
    assert rows.table["v"].to_pylist() == [None]


def test_a_schema_that_cannot_be_read_is_a_reason() -> None:
    line = b'{"schema":{"fields":7},"payload":{"op":"c","source":{"connector":"postgresql","sequence":"[\\"1\\",\\"2\\"]"},"after":{"v":1}}}'
    rows = read("f", line, ReadSpec("debezium", (Column.parse("v", "int"),)))
    assert (rows.read, rows.table.num_rows) == (1, 0)
    assert "schema cannot be read" in str(rows.rejected["__reason"].to_pylist()[0])


def test_the_unit_of_numbers_without_a_schema() -> None:
    noon = datetime(2013, 1, 1, 12)
    ms = int((noon - EPOCH).total_seconds()) * 1000
    assert one("timestamp_ntz", str(ms * 1000)) == noon
    assert one("timestamp_ntz", str(ms), connector="mysql") == noon
    assert one("timestamp_ntz", str(ms), timestamp_unit="ms") == noon
    assert one("timestamp_ntz", str(ms * 1_000_000), timestamp_unit="ns") == noon
    assert "outside the years" in str(one("timestamp_ntz", str(ms * 1000), timestamp_unit="ms"))


def test_text_in_a_decimal_column_without_a_schema_is_what_the_connector_was_told() -> None:
    assert one("decimal(12,2)", '"1234"') == Decimal("-26588.24")
    assert one("decimal(12,2)", '"1234"', decimal_handling_mode="string") == Decimal("1234.00")
    assert one("decimal(12,2)", '"1.5E+3"', decimal_handling_mode="string") == Decimal("1500.00")
    for wrong in (" 1", "1_0", "NaN", "", ".", "1e-400000000"):
        assert "it is not a decimal" in str(one("decimal(12,2)", f'"{wrong}"', decimal_handling_mode="string"))


def test_events_of_several_schemas_in_one_file() -> None:
    def line(name: str, value: int) -> bytes:
        schema = {"fields": [{"field": "after", "fields": [{"field": "v", "type": "int64", "name": f"io.debezium.time.{name}"}]}]}
        body = {"op": "c", "source": {"connector": "postgresql", "sequence": '["1","2"]'}, "after": {"v": value}}
        return json.dumps({"schema": schema, "payload": body}).encode()

    lines = [line("Timestamp", 1000), line("MicroTimestamp", 1000), line("MicroTimestamp", 2000), line("Timestamp", 2000)]
    rows = read("f", b"\n".join(lines), ReadSpec("debezium", (Column.parse("v", "timestamp_ntz"),)))
    assert rows.table["v"].to_pylist() == [EPOCH + timedelta(milliseconds=ms) for ms in (1000, 1, 2, 2000)]
    assert rows.table["__position"].to_pylist() == ["f#1", "f#2", "f#3", "f#4"]


def _number(r: random.Random, digits: int) -> int:
    return r.choice([-1, 1]) * r.randrange(10 ** r.randrange(1, digits + 1))


def _moment(r: random.Random) -> datetime:
    return datetime(1, 1, 1) + timedelta(microseconds=r.randrange(9998 * 365 * 86_400 * 10**6))


Made = tuple[object, object, dict[str, Any]]
GENERATORS: dict[str, Callable[[random.Random], Made]] = {}


def generator(kind: str) -> Callable[[Callable[[random.Random], Made]], None]:
    def register(make: Callable[[random.Random], Made]) -> None:
        GENERATORS[kind] = make

    return register


@generator("boolean")
def _boolean(r: random.Random) -> Made:
    value = r.random() < 0.5
    return value, r.choice([value, int(value)]), {}


@generator("int")
def _int(r: random.Random) -> Made:
    value = r.randrange(-(2**31), 2**31)
    return value, value, {}


@generator("bigint")
def _bigint(r: random.Random) -> Made:
    value = r.choice([-(2**63), 2**63 - 1, _number(r, 18)])
    return value, value, {}


@generator("double")
def _double(r: random.Random) -> Made:
    value = r.choice([r.random(), r.gauss(0, 1e200), float(r.randrange(100)), float("inf"), 5e-324])
    return value, "Infinity" if value == float("inf") else value, {}


@generator("float")
def _float32(r: random.Random) -> Made:
    value = pa.array([r.gauss(0, 1e10)], pa.float32())[0].as_py()
    return value, value, {}


@generator("string")
def _string(r: random.Random) -> Made:
    value = "".join(r.choice(["a", "é", "😀", "\n", '"', "\\", "\u2028", "\x00"]) for _ in range(r.randrange(8)))
    return value, value, {}


@generator("binary")
def _binary(r: random.Random) -> Made:
    value = r.randbytes(r.randrange(9))
    return value, b64(value), {}


@generator("date")
def _date(r: random.Random) -> Made:
    value = _moment(r).date()
    return value, r.choice([value.isoformat(), (value - EPOCH.date()).days]), {"name": "io.debezium.time.Date"}


@generator("timestamp")
def _instant(r: random.Random) -> Made:
    value = (_moment(r) + timedelta(days=2)).replace(tzinfo=UTC)
    zone = timezone(timedelta(minutes=r.randrange(-720, 720, 15)))
    return value, r.choice([value.astimezone(zone).isoformat(), value.isoformat().replace("+00:00", "Z")]), {"name": "io.debezium.time.ZonedTimestamp"}


@generator("timestamp_ntz")
def _local(r: random.Random) -> Made:
    value = _moment(r)
    return value, (value - EPOCH) // timedelta(microseconds=1), {"name": "io.debezium.time.MicroTimestamp"}


@generator("decimal(38,9)")
def _decimal(r: random.Random) -> Made:
    number = _number(r, 38)
    value = Decimal(f"{number}E-9")
    return value, r.choice([unscaled(number), value]), {"name": DECIMAL, "parameters": {"scale": "9"}}


@pytest.mark.parametrize("with_schema", [True, False])
@pytest.mark.parametrize("run", range(3))
def test_what_is_written_is_what_is_read(run: int, with_schema: bool) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    r = random.Random(seed)
    columns = tuple(Column.parse(f"c{i}", kind) for i, kind in enumerate(GENERATORS))
    wanted: list[list[object]] = []
    images: list[str] = []
    for _ in range(300):
        made = [(None, None) if r.random() < 0.1 else make(r)[:2] for make in GENERATORS.values()]
        wanted.append([value for value, _ in made])
        images.append("{" + ",".join(f'"{c.name}":{v if isinstance(v, Decimal) else json.dumps(v)}' for c, (_, v) in zip(columns, made, strict=True)) + "}")
    schema = [{"field": c.name, **make(r)[2]} for c, make in zip(columns, GENERATORS.values(), strict=True)]
    rows = events(columns, images, schema if with_schema else None)
    assert rows.rejected.to_pylist() == []
    assert [list(row.values())[: len(columns)] for row in rows.table.to_pylist()] == wanted
