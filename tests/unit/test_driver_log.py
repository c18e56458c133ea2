"""The line of a driver's log that a person would look for."""

from __future__ import annotations

import pytest

from penstock.runtimes.driver_log import first_error

TRACEBACK = """26/01/01 10:00:00 WARN NativeCodeLoader: Unable to load native-hadoop library
Traceback (most recent call last):
  File "/tmp/launch.py", line 9, in <module>
    main()
botocore.exceptions.ClientError: An error occurred (AccessDenied)

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/tmp/launch.py", line 11, in <module>
    main()
RuntimeError: it did not work
26/01/01 10:00:01 INFO ShutdownHookManager: Shutdown hook called
"""
LOGS = {
    "ours": ("26/01/01 WARN x\npenstock: table a.b is gone\n  next: make it anew\n  or not\nTraceback (most recent call last):\nValueError: x\n",
             "table a.b is gone\n  next: make it anew\n  or not"),
    "a traceback, of whose causes the first": (TRACEBACK, "botocore.exceptions.ClientError: An error occurred (AccessDenied)"),
    "java": ("26/01/01 10:00:00 WARN x\nException in thread \"main\" org.apache.spark.SparkException: no\n\tat a.b\n",
             'Exception in thread "main" org.apache.spark.SparkException: no'),
    "a cause of java": ("started\n\tat a.b(C.java:1)\nCaused by: java.io.IOException: disk\n", "Caused by: java.io.IOException: disk"),
    "a logged error": ("26/01/01 10:00:00 INFO x\n26/01/01 10:00:00 ERROR C: lost\n26/01/01 10:00:01 ERROR C: later\n", "26/01/01 10:00:00 ERROR C: lost"),
    "nothing that looks like one": ("one\n\n26/01/01 10:00:01 INFO ShutdownHookManager: Deleting directory\n", ""),
    "nothing": ("\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", LOGS)
def test_the_line_that_matters_is_found(case: str) -> None:
    log, line = LOGS[case]
    assert first_error(log) == line
