"""Rows searched in every Parquet file below a table's location, live or not, deleted by position or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from penstock.schema import literal, quote
from penstock.tables import DataFile, LakeTable, Pinned

from .files import value

if TYPE_CHECKING:
    import duckdb


def found_below(connection: duckdb.DuckDBPyConnection, table: LakeTable, pinned: Pinned, live: Iterable[DataFile], keys: str, columns: Sequence[str]) -> int:
    """How many rows have one of the keys. A key column that a file lacks is what the table says of the file's partition."""
    numbers = {c: i.number for c, i in (table.layout(pinned).field_ids or {}).items()}
    types = {c.name: c.type.duckdb for c in pinned.columns}
    places = {f.uri: {p.column: v for p, v in zip(table.partition_by, f.partition, strict=True) if p.transform == "identity"} for f in live}
    count = 0
    files = connection.execute(f"SELECT file FROM glob({literal(f'{table.location}/**/*.parquet')}) WHERE file NOT LIKE '%/_delta_log/%'").fetchall()
    for (file,) in files:
        said = {c: f"CAST({value(v)} AS {types[c]})" for c, v in places.get(file, {}).items()} | _columns(connection, file, numbers)
        if on := " AND ".join(f"{said[c]} = k.{quote(c)}" for c in columns if c in said):
            rows = f"FROM read_parquet({literal(file)}, hive_partitioning = false) f WHERE EXISTS (SELECT 1 FROM {keys} k WHERE {on})"
            count += sum(n for (n,) in connection.execute(f"SELECT COUNT(*) {rows}").fetchall())
    return count


def _columns(connection: duckdb.DuckDBPyConnection, file: str, numbers: Mapping[str, int]) -> dict[str, str]:
    """The table's columns as a file has them: by their numbers where it has these, for it may know them by former names."""
    schema = connection.execute(f"SELECT field_id, name FROM parquet_schema({literal(file)})").fetchall()
    numbered = {number: name for number, name in schema if number is not None}
    if numbers and numbered:
        return {c: f"f.{quote(numbered[number])}" for c, number in numbers.items() if number in numbered}
    described = connection.execute(f"DESCRIBE FROM read_parquet({literal(file)}, hive_partitioning = false)").fetchall()
    return {name: f"f.{quote(name)}" for name, *_ in described}
