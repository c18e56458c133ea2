"""External schemas and tables, and views over them: what is there is compared with what is declared, and the statements that are missing are made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.errors import DataError
from penstock.schema import Columns, quote

from .sql import iam, literal

STEP = "penstock.step"
_MOST_PARTITIONS = 100
_FORMATS = {
    "parquet": "STORED AS PARQUET",
    "orc": "STORED AS ORC",
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

    @property
    def shape(self) -> tuple[object, ...]:
        return (self.location.rstrip("/"), tuple((c.name.lower(), _type(c.type.hive)) for c in (*self.columns, *self.keys)), len(self.keys))


@dataclass(frozen=True)
class Held:
    """An external table as the system views tell it. `step` made it; None for one that somebody else made."""

    shape: tuple[object, ...]
    step: str | None
    partitions: frozenset[tuple[str, ...]] = frozenset()


def create_schema(schema: str, database: str, role: str) -> str:
    where = f"FROM DATA CATALOG DATABASE {literal(database)} {iam(role)}"
    return f"CREATE EXTERNAL SCHEMA IF NOT EXISTS {quote(schema)} {where} CREATE EXTERNAL DATABASE IF NOT EXISTS"


def told(schema: str) -> tuple[str, str, str, str]:
    """What is there of a schema: the database that it shows, its tables, their columns, their partitions."""
    of = f"WHERE schemaname = {literal(schema.lower())}"
    return (
        f"SELECT databasename AS database FROM svv_external_schemas {of}",
        f"SELECT tablename AS name, location, parameters FROM svv_external_tables {of}",
        f'SELECT tablename AS name, columnname AS "column", external_type AS type, part_key FROM svv_external_columns {of} ORDER BY tablename, columnnum',
        f'SELECT tablename AS name, "values" FROM svv_external_partitions {of}',
    )


def held(tables: Sequence[Mapping[str, str]], columns: Sequence[Mapping[str, str]], partitions: Sequence[Mapping[str, str]]) -> dict[str, Held]:
    """The tables of a schema by their names, from the rows that `told` asks for."""
    found = {}
    for table in tables:
        own = [c for c in columns if c["name"] == table["name"]]
        shape = (
            table["location"].rstrip("/"), tuple((c["column"].lower(), _type(c["type"])) for c in own), sum(int(c["part_key"] or 0) > 0 for c in own)
        )  # fmt: skip
        values = frozenset(tuple(json.loads(p["values"])) for p in partitions if p["name"] == table["name"])
        found[table["name"].lower()] = Held(shape, json.loads(table["parameters"] or "{}").get(STEP), values)
    return found


def statements(schema: str, step: str, tables: Sequence[Table], there: Mapping[str, Held]) -> list[str]:
    """What makes the schema's tables those that are declared, each statement by itself: a table of the step's that is another now is made anew.

    Raises DataError for a table that the step did not make.
    """
    found = []
    for table in tables:
        now, name = there.get(table.name.lower()), f"{quote(schema)}.{quote(table.name)}"
        if now and now.step != step:
            raise DataError(f"external table {schema}.{table.name} was not made by step {step}", hint="give the table another name, or drop that one")
        is_new = now is None or now.shape != table.shape
        found += [f"DROP TABLE {name}"] if now and is_new else []
        found += [_create(name, step, table)] if is_new else []
        known = frozenset[tuple[str, ...]]() if now is None or is_new else now.partitions
        missing = [p for p in table.partitions if p[0] not in known]
        found += [_add(name, table.keys, missing[i : i + _MOST_PARTITIONS]) for i in range(0, len(missing), _MOST_PARTITIONS)]
    return found


def view(name: str, query: str) -> str:
    return f"CREATE OR REPLACE VIEW {'.'.join(map(quote, name.split('.')))} AS {query} WITH NO SCHEMA BINDING"


def _create(name: str, step: str, table: Table) -> str:
    by = f" PARTITIONED BY ({_defined(table.keys)})" if table.keys else ""
    properties = {STEP: step} | ({"skip.header.line.count": "1"} if table.format == "csv" else {})
    said = ", ".join(f"{literal(k)}={literal(v)}" for k, v in properties.items())
    return f"CREATE EXTERNAL TABLE {name} ({_defined(table.columns)}){by} {_FORMATS[table.format]} LOCATION {literal(table.location)} TABLE PROPERTIES ({said})"


def _defined(columns: Columns) -> str:
    """External tables know one timestamp."""
    return ", ".join(f"{quote(c.name)} {'TIMESTAMP' if c.type.name == 'timestamp' else c.type.redshift}" for c in columns)


def _add(name: str, keys: Columns, partitions: Sequence[Partition]) -> str:
    each = (
        f"PARTITION ({', '.join(f'{quote(k.name)}={literal(v)}' for k, v in zip(keys, values, strict=True))}) LOCATION {literal(folder)}"
        for values, folder in partitions
    )
    return f"ALTER TABLE {name} ADD IF NOT EXISTS {' '.join(each)}"


def _type(text: str) -> str:
    """A type of Glue's, whichever of its names it has; texts of any length are alike."""
    kind = text.lower().replace(" ", "")
    return {"integer": "int", "int4": "int", "int8": "bigint"}.get(kind, "string" if kind.startswith(("varchar", "char", "string")) else kind)
