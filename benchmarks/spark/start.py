"""From `spark-submit` to the first line of a user's own code that has a session and its input: a bare script's, and a pipeline's transform, in turns."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from penstock.infra.local.spark_jobs import spark_submit

LAUNCH = Path(__file__).parents[2] / "jobs" / "bin" / "launch.py"
SETTINGS = {"spark.ui.enabled": "false", "spark.sql.session.timeZone": "UTC"}
BARE = """
import sys, time
from pathlib import Path
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
rows = spark.read.parquet(sys.argv[1])
Path(sys.argv[2]).write_text(str(time.time()))
rows.count()
"""
TRANSFORM = """
import time
from pathlib import Path
def build(spark, inputs):
    Path({reached!r}).write_text(str(time.time()))
    return inputs["lake.bench.rows"]
"""
PIPELINE = """
pipeline: start
connections:
  raw: {kind: files, path: landing}
  lake: {kind: catalog, catalog: sqlite, warehouse: warehouse}
tables:
  lake.bench.rows: {format: iceberg, columns: {id: int}}
  lake.bench.one: {format: iceberg, columns: {id: int}}
steps:
  - id: files
    read: {from: raw/, format: csv}
  - id: rows
    copy: {from: files, into: lake.bench.rows, write: append}
  - id: one
    transform: {python: one.py, inputs: [lake.bench.rows], into: lake.bench.one, write: overwrite}
environments:
  large: {engine: spark, spark_from_mb: 0}
"""


def something_to_do(folder: Path, turn: int) -> None:
    """A row more in what the transform reads."""
    (folder / "landing").mkdir(exist_ok=True)
    (folder / "landing" / f"{turn}.csv").write_text(f"id\n{turn}\n")
    subprocess.run([Path(sys.executable).with_name("penstock"), "run", str(folder), "--select", "+rows"], check=True, capture_output=True)


def taken(script: Sequence[str], reached: Path, compiled: Path) -> tuple[float, float]:
    """Seconds until the user's code, and of the whole process."""
    reached.unlink(missing_ok=True)
    conf = [word for name, value in SETTINGS.items() for word in ("--conf", f"{name}={value}")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYSPARK_PYTHON": sys.executable, "PYTHONPYCACHEPREFIX": str(compiled)}  # compiled as what is installed is, by the first turn
    start = time.time()
    command = [*spark_submit(), "--master", "local[2]", *conf, *script]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return float(reached.read_text()) - start, time.time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    said = parser.parse_args()
    with TemporaryDirectory(prefix="penstock-start-") as text:
        folder, reached = Path(text), Path(text) / "reached"
        for name, content in (("bare.py", BARE), ("one.py", TRANSFORM.format(reached=str(reached))), ("pipeline.yaml", PIPELINE)):
            (folder / name).write_text(content)
        cases = {
            "bare": [str(folder / "bare.py"), str(folder / "warehouse" / "bench" / "rows-*" / "data"), str(reached)],
            "penstock": [str(LAUNCH), str(folder), "--env", "large", "--select", "one"],
        }
        found = []
        for turn in range(said.repeat + 1):
            something_to_do(folder, turn)
            found.append({name: taken(script, reached, folder / "compiled") for name, script in cases.items()})
    found = found[1:]
    print(f"medians of {said.repeat} turns, s\n\n| | user's code reached | whole process |\n| --- | ---: | ---: |")
    for name in cases:
        print(f"| {name} | {' | '.join(f'{statistics.median(turn[name][i] for turn in found):.2f}' for i in (0, 1))} |")
    more = [f"{statistics.median(turn['penstock'][i] - turn['bare'][i] for turn in found):.2f}" for i in (0, 1)]
    print(f"| added | {' | '.join(more)} |")


if __name__ == "__main__":
    main()
