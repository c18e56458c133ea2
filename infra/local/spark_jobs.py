"""Spark jobs as a service of AWS runs them, on this machine's Spark: each a `spark-submit` in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from .platform_jars import s3a_jars

Phase = Literal["waiting", "running", "succeeded", "failed", "cancelled"]
_PATIENCE = 10.0  # seconds from the interrupt to the kill
_NEEDED = "not supported locally: a job needs pyspark and Java 17 (`pip install 'penstock[spark]'`; JAVA_HOME, or java on the path)"


@dataclass(frozen=True)
class Script:
    """What is submitted: URIs on S3 (the script may lie here, by its path), settings of Spark, and variables of the driver.

    `archives` say after `#` into which folder they are unpacked.
    """

    uri: str
    arguments: tuple[str, ...]
    conf: Mapping[str, str]
    py_files: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class SparkJob:
    """One job run: it waits for a slot, runs, and ends. `stderr` and `stdout` are what the driver wrote."""

    def __init__(self, identifier: str, name: str, request: Mapping[str, Any], script: Script) -> None:
        self.id, self.name, self.request, self.script = identifier, name, request, script
        self.phase: Phase = "waiting"
        self.reason, self.stdout, self.stderr = "", b"", b""
        self.created = datetime.now(UTC)
        self.started: datetime | None = None
        self.ended: datetime | None = None
        self.is_cancelled = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def has_ended(self) -> bool:
        return self.phase in ("succeeded", "failed", "cancelled")

    def begin(self) -> None:
        self.phase, self.started = "running", datetime.now(UTC)

    def runs_as(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        if self.is_cancelled:  # between its beginning and now
            self.cancel()

    def phase_after(self, code: int) -> Phase:
        return "cancelled" if self.is_cancelled else "failed" if code else "succeeded"

    def end(self, phase: Phase, reason: str = "") -> None:
        self.reason, self.ended = reason, datetime.now(UTC)
        self.phase = phase

    def cancel(self) -> None:
        """An interrupt to all of its processes; what does not heed it is killed."""
        if process := self._process:
            for number in (signal.SIGINT, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE)


class SparkJobs:
    """All job runs of one server, by the place (application, cluster, job) that took them; of each place so many run at a time as it has slots."""

    def __init__(self, home: Path, s3: Callable[[], Any], environment: Callable[[], Mapping[str, str]]) -> None:
        self._home, self._s3, self._environment = home / "jobs", s3, environment
        self._jobs: dict[str, list[SparkJob]] = {}
        self._workers: list[threading.Thread] = []
        self._lock = threading.Condition()

    def of(self, place: str) -> list[SparkJob]:
        return self._jobs.get(place, [])

    def find(self, place: str, identifier: str) -> SparkJob | None:
        return next((j for j in self.of(place) if j.id == identifier), None)

    def running(self, place: str) -> int:
        return sum(j.phase == "running" for j in self.of(place))

    def start(self, place: str, job: SparkJob, slots: int, report: Callable[[SparkJob], None]) -> None:
        """Have it run when one of the place's slots is free; `report` is called before its end can be seen."""
        with self._lock:
            self._jobs.setdefault(place, []).append(job)
        worker = threading.Thread(target=self._work, args=(place, job, slots, report), daemon=True)
        self._workers.append(worker)
        worker.start()

    def cancel(self, *jobs: SparkJob) -> None:
        """Those that wait end at once, those that run when their processes do."""
        with self._lock:
            for job in jobs:
                job.is_cancelled = True
            self._lock.notify_all()
        for job in jobs:
            threading.Thread(target=job.cancel, daemon=True).start()

    def stop(self) -> None:
        """End all: nobody would answer them any more."""
        open_jobs = [j for jobs in self._jobs.values() for j in jobs if not j.has_ended]
        self.cancel(*open_jobs)
        for worker in self._workers:
            worker.join(2 * _PATIENCE)

    def _may_begin(self, place: str, job: SparkJob, slots: int) -> bool:
        """In the order in which they came."""
        return self.running(place) < slots and job is next(j for j in self.of(place) if j.phase == "waiting")

    def _work(self, place: str, job: SparkJob, slots: int, report: Callable[[SparkJob], None]) -> None:
        folder = self._home / job.id
        try:
            with self._lock:
                self._lock.wait_for(lambda: job.is_cancelled or self._may_begin(place, job, slots))
                if job.is_cancelled:
                    job.end("cancelled")
                    return
                job.begin()
            code = self._submit(job, folder).wait()
            job.stdout, job.stderr = ((folder / name).read_bytes() for name in ("stdout", "stderr"))
            reason = f"the driver ended with exit code {code}" if code else ""
            try:
                report(job)
            except Exception as error:
                reason = "; ".join(part for part in (reason, f"its log was not kept: {error}") if part)
            job.end(job.phase_after(code), reason)
        except Exception as error:  # whatever it was, who waits for the job must be told that it ended
            job.end("failed", str(error).strip() or type(error).__name__)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with self._lock:
                self._lock.notify_all()

    def _submit(self, job: SparkJob, folder: Path) -> subprocess.Popen[bytes]:
        script = job.script
        folder.mkdir(parents=True)
        entry, py_files = self._fetched(script.uri, folder), [self._fetched(uri, folder) for uri in script.py_files]
        for archive in script.archives:
            uri, _, name = archive.partition("#")
            zipfile.ZipFile(self._fetched(uri, folder)).extractall(folder / (name or Path(uri).name))
        submit = spark_submit()
        jars = ",".join((*s3a_jars(tuple(submit), self._home), *filter(None, [script.conf.get("spark.jars")])))
        settings = [option for key, value in {**script.conf, "spark.jars": jars}.items() for option in ("--conf", f"{key}={value}")]
        files = ["--py-files", ",".join(map(str, py_files))] if py_files else []
        command = [*submit, "--master", "local[2]", "--name", job.name, *settings, *files, str(entry), *script.arguments]
        given = {**os.environ, **self._environment(), "PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as errors:
            process = subprocess.Popen(
                command, cwd=folder, env=given | dict(script.environment), stdin=subprocess.DEVNULL, stdout=out, stderr=errors, start_new_session=True
            )
        job.runs_as(process)
        return process

    def _fetched(self, uri: str, folder: Path) -> Path:
        if not uri.startswith("s3://"):
            return Path(uri)
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        file = folder / Path(key).name
        self._s3().download_file(bucket, key, str(file))
        return file


def spark_submit() -> list[str]:
    """The command of this interpreter's Spark. Raises RuntimeError, saying what is needed, where there is none."""
    found = find_spec("pyspark")
    script = Path(found.origin).parent / "bin" / "spark-submit" if found and found.origin else None
    home = os.environ.get("JAVA_HOME")
    if script is None or not script.is_file() or not shutil.which(f"{home}/bin/java" if home else "java"):
        raise RuntimeError(_NEEDED)
    return [str(script)]
