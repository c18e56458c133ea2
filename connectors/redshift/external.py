"""External schemas and tables, and views over them: what is there is compared with what is declared, and the statements that are missing are made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from penstock.errors import DataError
from penstock.schema import Columns, quote

from .sql import iam, literal

_STEP, _DEFINITION = "penstock.step", "penstock.definition"
_MOST_PARTITIONS = 100
_FORMATS = {
    "parquet": "STORED AS PARQUET",
    "orc": "STORED AS ORC",
    "listed": (
        "ROW FORMAT SERDE 'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe' STORED AS "
        "INPUTFORMAT 'org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat' OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'"
    ),
    "csv": "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' STORED AS TEXTFILE",
    "json": "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' STORED AS TEXTFILE",
}
Partition = tuple[tuple[str, ...], str]


@dataclass(frozen=True)
class Table:
    """An external table as declared: `location` ends in `/`; `partitions` are the values of each that has files, and its folder."""

    name: str
    format: str
    location: str
    columns: Columns
    keys: Columns = ()
    partitions: tuple[Partition, ...] = ()


@dataclass(frozen=True)
class Held:
    """An external table as the system views tell it: the step that made it and its definition, empty for one that somebody else made."""

    step: str
    definition: str
    partitions: frozenset[tuple[str, ...]] = frozenset()


def create_schema(schema: str, database: str, role: str) -> str:
    where = f"FROM DATA CATALOG DATABASE {literal(database)} {iam(role)}"
    return f"CREATE EXTERNAL SCHEMA IF NOT EXISTS {quote(schema)} {where} CREATE EXTERNAL DATABASE IF NOT EXISTS"


def told(schema: str) -> tuple[str, str, str]:
    """What is there of a schema: the database that it shows, its tables, their partitions."""
    of = f"WHERE schemaname = {literal(schema.lower())}"
    return (
        f"SELECT databasename AS database FROM svv_external_schemas {of}",
        f"SELECT tablename AS name, parameters FROM svv_external_tables {of}",
        f'SELECT tablename AS name, "values" FROM svv_external_partitions {of}',
    )


def held(tables: Sequence[Mapping[str, str]], partitions: Sequence[Mapping[str, str]], declared: Sequence[Table]) -> dict[str, Held]:
    """Those of a schema's tables that are declared, by their names, from the rows that `told` asks for."""
    values = dict[str, set[tuple[str, ...]]]((t.name.lower(), set()) for t in declared)
    for row in (p for p in partitions if p["name"].lower() in values):
        values[row["name"].lower()].add(tuple(json.loads(row["values"])))
    said = {t["name"].lower(): json.loads(t["parameters"] or "{}") for t in tables if t["name"].lower() in values}
    return {name: Held(p.get(_STEP, ""), p.get(_DEFINITION, ""), frozenset(values[name])) for name, p in said.items()}


def statements(schema: str, steps: Sequence[str], tables: Sequence[Table], there: Mapping[str, Held]) -> list[str]:
    """What makes the schema's tables those that are declared, each statement by itself: a table of the step's that is another now is made anew.

    `steps`: the step's keys, the present one first. Raises DataError for a table that the step did not make.
    """
    found = []
    for table in tables:
        now, name = there.get(table.name.lower()), f"{quote(schema)}.{quote(table.name)}"
        if now and now.step not in steps:
            raise DataError(f"external table {schema}.{table.name} was not made by step {steps[0]}", hint="give the table another name, or drop that one")
        is_new = now is None or now.definition != _definition(table)
        found += [f"DROP TABLE {name}"] if now and is_new else []
        found += [_create(name, steps[0], table)] if is_new else []
        known = frozenset[tuple[str, ...]]() if now is None or is_new else now.partitions
        missing = [p for p in table.partitions if p[0] not in known]
        found += [_add(name, table.keys, missing[i : i + _MOST_PARTITIONS]) for i in range(0, len(missing), _MOST_PARTITIONS)]
    return found


def view(name: str, query: str) -> str:
    return f"CREATE OR REPLACE VIEW {'.'.join(map(quote, name.split('.')))} AS {query}\nWITH NO SCHEMA BINDING"


def _create(name: str, step: str, table: Table) -> str:
    properties = {_STEP: step, _DEFINITION: _definition(table)} | ({"skip.header.line.count": "1"} if table.format == "csv" else {})
    said = ", ".join(f"{literal(k)}={literal(v)}" for k, v in properties.items())
    return f"CREATE EXTERNAL TABLE {name} {_described(table)} TABLE PROPERTIES ({said})"


def _described(table: Table) -> str:
    by = f" PARTITIONED BY ({_defined(table.keys)})" if table.keys else ""
    return f"({_defined(table.columns)}){by} {_FORMATS[table.format]} LOCATION {literal(table.location)}"


def _definition(table: Table) -> str:
    return sha256(_described(table).encode()).hexdigest()[:16]


def _defined(columns: Columns) -> str:
    """External tables know one timestamp."""
    return ", ".join(f"{quote(c.name)} {'TIMESTAMP' if c.type.name == 'timestamp' else c.type.redshift}" for c in columns)


def _add(name: str, keys: Columns, partitions: Sequence[Partition]) -> str:
    each = (
        f"PARTITION ({', '.join(f'{quote(k.name)}={literal(v)}' for k, v in zip(keys, values, strict=True))}) LOCATION {literal(folder)}"
        for values, folder in partitions
    )
    return f"ALTER TABLE {name} ADD IF NOT EXISTS {' '.join(each)}"
