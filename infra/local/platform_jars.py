"""What the platforms of AWS bring with their Spark and this machine's lacks: Hadoop's client of S3, fetched once from a Maven repository."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from penstock.runtimes.s3a import EXCLUDED, PACKAGES

# what spark-submit made of the packages, asked of the JVM that it started
_ASK = "from pyspark.java_gateway import launch_gateway\nprint('JARS', launch_gateway().jvm.java.lang.System.getProperty('spark.jars'))\n"


@lru_cache(maxsize=1)
def s3a_jars(spark_submit: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Their paths. One process of this machine fetches at a time: what Ivy keeps them in is not made for two. Raises RuntimeError when they cannot be had."""
    kept = Path.home() / ".cache" / "penstock"
    for needed in (folder, kept):
        needed.mkdir(parents=True, exist_ok=True)
    script = folder / "jars.py"
    script.write_text(_ASK)
    settings = ("--conf", f"spark.jars.packages={','.join(PACKAGES)}", "--conf", f"spark.jars.excludes={EXCLUDED}")
    with (kept / "jars.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = _run([*spark_submit, "--master", "local[1]", *settings, str(script)])
    found = next((line.removeprefix("JARS ") for line in done.stdout.splitlines() if line.startswith("JARS ")), "")
    if done.returncode or not found:
        told = (done.stdout + done.stderr).strip().splitlines()[-3:]
        raise RuntimeError(f"Hadoop's client of S3 ({PACKAGES[0]}) could not be fetched from a Maven repository: {' '.join(told)}")
    return tuple(found.split(","))


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, stdin=subprocess.DEVNULL)
