"""Types as texts: what is written is what is read, at any depth, and what is wrong is said."""

from __future__ import annotations

import random
from contextlib import closing

import pytest

from penstock.connectors.delta import columns as delta
from penstock.connectors.iceberg import columns as iceberg
from penstock.engines.embedded.duck import opened
from penstock.errors import ArgumentError
from penstock.lineage import family
from penstock.schema import Column, DataType

PRIMITIVE = ("boolean", "int", "bigint", "float", "double", "string", "binary", "date", "timestamp", "timestamp_ntz", "decimal(38,10)", "decimal(1,1)")
NAMES = ("a", "key", "element", "order", "a b", "a.b", "é", "struct<", "1", "x`y", "it's", "a: int", "!")


def any_type(r: random.Random, depth: int, *, maps: bool = True) -> DataType:
    kind = r.choice(("struct", "array", "map" if maps else "array")) if r.random() < 0.8 and depth else ""
    part = lambda name, **only: Column(name, any_type(r, depth - 1, maps=maps and only.get("maps", True)), r.random() < 0.3)  # noqa: E731
    match kind:
        case "struct":
            return DataType("struct", fields=tuple(part(name) for name in r.sample(NAMES, r.randint(1, 4))))
        case "array":
            return DataType("array", fields=(part("element"),))
        case "map":
            return DataType("map", fields=(Column("key", part("key", maps=False).type, required=True), part("value")))
    return DataType.parse(r.choice(PRIMITIVE))


@pytest.mark.parametrize("seed", range(60))
def test_what_is_written_is_what_is_read(seed: int) -> None:
    """By a pipeline file, and by each system that Penstock writes a type for."""
    r = random.Random(seed)
    kind = any_type(r, depth=4)
    text = str(kind)
    assert DataType.parse(text) == kind, f"seed {seed}"
    spaced = text if "`" in text else text.replace("<", " < ").replace(":", " : ").replace(", ", "\t,\n").upper().replace("ELEMENT", "element")
    assert str(DataType.parse(spaced)).lower() == text.lower(), f"seed {seed}"
    columns = (Column("c", kind, r.random() < 0.5),)
    assert iceberg.columns_of(iceberg.schema_of(columns)) == delta.columns_of(delta.schema_of(columns)) == columns, f"seed {seed}"
    fields = [p.field_id for p in iceberg.schema_of(columns)._lazy_id_to_field.values()]
    assert len(fields) == len(set(fields)) == sum(1 for _ in kind.parts())
    with closing(opened()) as connection:
        described = connection.execute(f"SELECT CAST(NULL AS {kind.duckdb}) AS c").to_arrow_table().schema.field("c").type
    assert described == kind.arrow(), f"seed {seed}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("struct<>", "a field has a name of letters, digits and _, or any name in backticks, not '>'"),
        ("struct<a: itn>", "type 'itn' is not one of array<type>, bigint"),
        ("struct<a: itn>", "did you mean 'int'? (in 'struct<a: itn>')"),
        ("struct<a int>", "':' is expected, not 'int'"),
        ("struct<a.b: int>", "or any name in backticks, not 'a.b'"),
        ("struct<a: int, A: int>", "fields 'a' and 'A' differ only in case"),
        ("struct<`a: int>", "a name in backticks ends with one"),
        ('struct<`a"b`: int>', "a name holds no"),
        ("array<int", "'>' is expected, not 'the end'"),
        ("array<int>>", "the type ends there, not '>'"),
        ("array<int>, x", "the type ends there, not ','"),
        ("array<decimal(39,2)>", "a decimal has 1 to 38 digits and a scale no greater than that (in 'array<decimal(39,2)>')"),
        ("map<int>", "',' is expected, not '>'"),
        ("map<map<int, int>, int>", "a map's key holds no map"),
        ("array<int!!>", "'>' is expected, not '!'"),
        ("struct", "type 'struct' is not one of"),
        ("<", "type '<' is not one of"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        DataType.parse(text)
    assert said in raised.value.message


def test_spark_is_given_names_that_it_can_read() -> None:
    kind = DataType.parse("struct<`a b`: int!, order: array<timestamp_ntz!>>")
    assert kind.spark == "struct<`a b`: int, `order`: array<timestamp_ntz>>"
    assert kind.hive == "struct<a b:int,order:array<timestamp>>"
    assert [family(DataType.parse(t).spark) for t in ("struct<a: int!>", "array<int>", "map<int, int>")] == ["struct", "array", "map"]
