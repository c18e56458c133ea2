"""The 22 queries of TPC-H as the transforms of one pipeline: on the embedded engine and on Spark, the answers held against DuckDB's own.

Data, queries and the engine that answers them first are DuckDB's, by its TPC-H extension from PyPI; only names of tables are changed in the queries.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp

TYPES = {"VARCHAR": "string", "BIGINT": "bigint", "HUGEINT": "bigint", "INTEGER": "int", "DATE": "date", "DOUBLE": "double"}
ENGINES = ("embedded", "spark")


def opened() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    place = files("duckdb_extension_tpch") / "extensions" / f"v{duckdb.__version__}" / "tpch.duckdb_extension"
    connection.execute(f"LOAD '{place}'")
    return connection


def declared(described: Sequence[Sequence[Any]]) -> dict[str, str]:
    """Columns of a result as a pipeline file declares them; those without a name get one."""
    return {f"c{i}" if not d[0].isidentifier() else d[0]: TYPES.get(str(d[1]), str(d[1]).lower()) for i, d in enumerate(described)}


def in_the_lake(query: str, columns: Sequence[str]) -> str:
    """A query over tables of the lake, its columns named."""
    parsed = sqlglot.parse_one(query, dialect="duckdb")
    own = {cte.alias for cte in parsed.find_all(exp.CTE)}
    for table in parsed.find_all(exp.Table):
        if table.name not in own:
            table.replace(exp.table_(table.name, db="tpch", catalog="lake", alias=table.alias or table.name))
    assert isinstance(parsed, exp.Select)
    for i, (selected, name) in enumerate(zip(parsed.selects, columns, strict=True)):
        if selected.alias_or_name != name:
            parsed.selects[i].replace(exp.alias_(selected.copy(), name))
    return parsed.sql(dialect="spark", pretty=True)


def write_pipeline(connection: duckdb.DuckDBPyConnection, folder: Path, landing: Path, only: Sequence[int]) -> None:
    """The pipeline's folder: eight tables from Parquet, a transform for each query."""
    tables: dict[str, Any] = {}
    steps: list[dict[str, Any]] = []
    for (name,) in connection.execute("SHOW TABLES").fetchall():
        tables[f"lake.tpch.{name}"] = {"format": "iceberg", "columns": declared(connection.execute(f"FROM {name} LIMIT 0").description)}
        steps.append({"id": f"read_{name}", "read": {"from": f"raw/{name}/", "format": "parquet", "batch": {"max_bytes": 2**40}}})
        steps.append({"id": f"load_{name}", "engine": "embedded", "copy": {"from": f"read_{name}", "into": f"lake.tpch.{name}", "write": "append"}})
    for number, query in connection.execute("FROM tpch_queries() ORDER BY query_nr").fetchall():
        if number in only:
            columns = declared(connection.execute(query).description)
            (folder / f"q{number:02}.sql").write_text(in_the_lake(query, list(columns)))
            tables[f"lake.answers.q{number:02}"] = {"format": "iceberg", "columns": columns}
            steps.append({"id": f"q{number:02}", "transform": {"sql": f"q{number:02}.sql", "into": f"lake.answers.q{number:02}"}})
    (folder / "warm.sql").write_text("SELECT r_regionkey FROM lake.tpch.region")
    tables["lake.answers.warm"] = {"format": "iceberg", "columns": {"r_regionkey": tables["lake.tpch.region"]["columns"]["r_regionkey"]}}
    steps.insert(16, {"id": "warm", "transform": {"sql": "warm.sql", "into": "lake.answers.warm"}})
    pipeline = {
        "pipeline": "tpch",
        "connections": {"raw": {"kind": "files", "path": str(landing)}, "lake": {"kind": "catalog", "catalog": "sqlite", "warehouse": "warehouse"}},
        "tables": tables,
        "steps": steps,
        "environments": {"embedded": {}, "spark": {"engine": "spark"}},
    }
    (folder / "pipeline.yaml").write_text(json.dumps(pipeline, indent=1))


def run(folder: Path, engine: str) -> Mapping[str, float]:
    """Seconds of each step, in a process of its own."""
    command = [sys.executable, "-c", "from penstock.cli import main; main()", "run", str(folder), "--env", engine, "--log", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYSPARK_SUBMIT_ARGS": "--master local[2] pyspark-shell"})
    if done.returncode:
        sys.exit(f"{engine}: {done.stderr[-2000:]}")
    return {s["step"]: s["seconds"] for s in json.loads(done.stdout.splitlines()[-1])["steps"]}


def answers(folder: Path, number: int) -> list[tuple[Any, ...]]:
    command = [sys.executable, "-c", "from penstock.cli import main; main()", "query", f"SELECT * FROM lake.answers.q{number:02}", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    return [tuple(json.loads(line).values()) for line in done.stdout.splitlines()]


def differences(expected: Sequence[Sequence[Any]], found: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Rows of a query that are not the same in both, whatever their order; doubles as near as their sums come."""

    def sortable(row: Sequence[Any]) -> list[str]:
        return [f"{Decimal(str(v)).quantize(Decimal('0.01'))}" if isinstance(v, float | Decimal) else str(v) for v in row]

    def same(a: Any, b: Any) -> bool:
        if isinstance(a, float):
            return math.isclose(a, float(b), rel_tol=1e-4)  # the answers' decimals are divided to six places by one engine, as doubles by another
        return Decimal(str(b)) == a if isinstance(a, Decimal) else str(a) == str(b)

    if len(expected) != len(found):
        yield f"{len(found)} rows in place of {len(expected)}"
    for want, have in zip(sorted(expected, key=sortable), sorted(found, key=sortable), strict=False):
        if not all(map(same, want, have)):
            yield f"{have} in place of {want}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--queries", nargs="+", type=int, default=list(range(1, 23)))
    parser.add_argument("--folder", help="where tables are made: some 2 GB for scale 1")
    said = parser.parse_args()
    with TemporaryDirectory(prefix="penstock-tpch-", dir=said.folder) as base, opened() as connection:
        connection.execute(f"CALL dbgen(sf = {said.scale})")
        landing = Path(base) / "landing"
        for (name,) in connection.execute("SHOW TABLES").fetchall():
            (landing / name).mkdir(parents=True)
            connection.execute(f"COPY {name} TO '{landing / name / name}.parquet' (FORMAT parquet)")
        seconds: dict[str, Mapping[str, float]] = {}
        wrong: list[str] = []
        for engine in ENGINES:
            folder = Path(base) / engine
            folder.mkdir()
            write_pipeline(connection, folder, landing, said.queries)
            seconds[engine] = run(folder, engine)
            for number in said.queries:
                expected = connection.execute(f"PRAGMA tpch({number})").fetchall()
                wrong += [f"{engine}, query {number}: {d}" for d in differences(expected, answers(folder, number))]
    names = [f"q{number:02}" for number in said.queries]
    print(f"TPC-H, scale {said.scale}, seconds of each step\n\n| query | {' | '.join(ENGINES)} | times |\n| --- | ---: | ---: | ---: |")
    for name in (*names, "warm"):
        print(f"| {name} | {' | '.join(f'{seconds[e][name]:.2f}' for e in ENGINES)} | {seconds['spark'][name] / max(seconds['embedded'][name], 0.001):.1f} |")
    sums = [sum(seconds[e][name] for name in names) for e in ENGINES]
    print(f"| all {len(names)} | {' | '.join(f'{s:.1f}' for s in sums)} | {sums[1] / sums[0]:.1f} |\n\nanswers that differ from DuckDB's: {len(wrong)}")
    sys.exit("\n".join(wrong[:20]) if wrong else 0)


if __name__ == "__main__":
    main()
