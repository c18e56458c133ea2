"""One real Spark for a whole test run: Spark 4.1 with Delta and Iceberg in a process of its own, of which every worker of the run is a client.

Run as a script it is that process: it prints `port N` and ends with its standard input. With pyspark 3.5, whose Connect lacks what the engine needs, each
worker has a Spark in its own process, which has no address.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

IS_BEFORE_4 = version("pyspark").startswith("3.")
PACKAGES = (
    "io.delta:delta-spark_2.12:3.3.2" if IS_BEFORE_4 else "io.delta:delta-spark_4.1_2.13:4.2.0",
    "org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:1.10.0" if IS_BEFORE_4 else "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.11.0",
    "org.xerial:sqlite-jdbc:3.50.3.0",
)
CONNECT = "org.apache.spark.sql.connect"
SETTINGS = {
    "spark.master": "local[2]",
    "spark.jars.packages": ",".join(PACKAGES),
    "spark.plugins": f"{CONNECT}.SparkConnectPlugin",
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.connect.grpc.binding.port": "0",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension,org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    # tables of a few rows: one task a query, and no time for compiling what runs once
    "spark.sql.shuffle.partitions": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


def missing() -> str:
    """Why there is no Spark to test with; empty where there is one."""
    if os.environ.get("PENSTOCK_TEST_SPARK") == "0":
        return "PENSTOCK_TEST_SPARK=0 leaves Spark out"
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(f"{home}/bin/java" if home else "java")
    if not java:
        return "Spark needs Java 17 or newer, by JAVA_HOME or on the path; none was found"
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    return "" if found and int(found[1]) >= 17 else f"Spark needs Java 17 or newer; {java} says: {said.splitlines()[:1]}"


def why_not_everywhere() -> str:
    """Why tests that take minutes are left out; empty where they are not."""
    return missing() or ("" if os.environ.get("PENSTOCK_TEST_EVERYWHERE") else "PENSTOCK_TEST_EVERYWHERE=1 has it run; it takes minutes")


@contextmanager
def in_process() -> Iterator[str]:
    """No address: the Spark is this process's own."""
    session = _built({k: v for k, v in SETTINGS.items() if k != "spark.plugins"})
    try:
        yield ""
    finally:
        session.stop()


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The address of the Spark of all processes that name this folder: the first starts it, and ends it when the others have let it go."""
    address, process = folder / "spark.address", None
    with (folder / "spark.starting").open("w") as starting, (folder / "spark.users").open("w") as users:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)  # before looking: nobody ends it from here on
        if not address.exists():
            process, port = _started(folder)
            address.write_text(f"sc://127.0.0.1:{port}")
        fcntl.flock(starting, fcntl.LOCK_UN)
        try:
            yield address.read_text()
        finally:
            if process:
                fcntl.flock(users, fcntl.LOCK_EX)
                address.unlink()
                process.communicate()


def _started(folder: Path) -> tuple[subprocess.Popen[str], int]:
    log = folder / "spark.log"
    with log.open("w") as errors:
        process = subprocess.Popen([sys.executable, __file__], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout
    for line in process.stdout:
        if line.startswith("port "):
            return process, int(line.split()[1])
    process.communicate()
    told = [line.strip() for line in log.read_text().splitlines() if re.search(r"not found|[Uu]nresolved|Exception|Error", line)]
    raise RuntimeError("\n".join([f"Spark did not start; it needs {', '.join(PACKAGES)}, fetched once from a Maven repository.", *told[:15]]))


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A session of one's own."""
    if not address:
        from pyspark.sql import SparkSession as Classic

        yield Classic.builder.getOrCreate().newSession()
        return
    from pyspark.sql.connect.session import SparkSession

    session = SparkSession.builder.remote(address).create()
    yield session
    session.stop()


def open_lake(spark: Any, warehouse: Path) -> None:
    """The Iceberg tables of a warehouse as `penstock.<namespace>.<table>`: pyiceberg's SQLite catalog is a JDBC catalog."""
    settings = {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        # what an Iceberg of before 1.11 has read it keeps open: in this mode that keeps nobody from writing
        ".uri": f"jdbc:sqlite:{warehouse / 'catalog.db'}{'?journal_mode=WAL' if IS_BEFORE_4 else ''}",
        ".jdbc.schema-version": "V1",
        ".warehouse": f"file://{warehouse}",
        ".cache-enabled": "false",
    }
    for name, value in settings.items():
        spark.conf.set(f"spark.sql.catalog.penstock{name}", value)


def reopened(spark: Any) -> Any:
    """The session, or one that sees what others wrote since, where an Iceberg of before 1.11 goes on reading what it began to read."""
    warehouse = spark.conf.get("spark.sql.catalog.penstock.warehouse", None)
    if not (IS_BEFORE_4 and warehouse):
        return spark
    anew = spark.newSession()
    open_lake(anew, Path(warehouse.removeprefix("file://")))
    return anew


def _built(settings: Mapping[str, str]) -> Any:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    builder = SparkSession.builder
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def main() -> None:
    """Serve until the standard input ends."""
    spark = _built(SETTINGS)
    service = getattr(spark._jvm.org.apache.spark.sql.connect.service, "SparkConnectService$")
    print("port", getattr(service, "MODULE$").localPort(), flush=True)
    sys.stdin.read()
    spark.stop()


if __name__ == "__main__":
    main()
