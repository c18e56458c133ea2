"""Sail forgets sessions that are idle; a run may come back to it after hours."""

from __future__ import annotations

import os
import subprocess
import sys

SETTING = "SAIL_SPARK__SESSION_TIMEOUT_SECS"
ASK = f"""
import os, time
from penstock.config import AwsSettings
from penstock.engines.embedded.sail import session
spark = session(AwsSettings())
time.sleep(SECONDS)
print(os.environ["{SETTING}"], flush=True)
try:
    spark.sql("SELECT 1").collect()
    print("there", flush=True)
except Exception as error:
    print("gone", flush=True)
os._exit(0)
"""


def asked(seconds: int, **environment: str) -> list[str]:
    variables = {name: value for name, value in os.environ.items() if name != SETTING} | environment
    code = ASK.replace("SECONDS)", f"{seconds})")
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, env=variables).stdout.split()


def test_a_session_is_kept_for_longer_than_any_run() -> None:
    limit, there = asked(0)
    assert (int(limit) > 30 * 24 * 3600, there) == (True, "there")
    assert asked(4, **{SETTING: "1"}) == ["1", "gone"], "the setting is the one that Sail goes by"


INTERRUPTED = """
import os, signal
from penstock.config import AwsSettings
from penstock.engines.embedded.sail import session
spark = session(AwsSettings())
spark.sql("SELECT 1").collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
except KeyboardInterrupt:
    print(spark.sql("SELECT 2").collect()[0][0], flush=True)
"""


def test_an_interrupt_is_the_runs_and_does_not_end_the_session() -> None:
    """Whose client would ask a server that is gone for minutes, also when the process ends."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "2\n"
