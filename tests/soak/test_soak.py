"""Many small batches by runs that are killed at random, beside maintenance that is killed at random and second runs: the tables end as the model.

`make soak` applies 10,000 batches, the test run a few; a file is one of every step that writes. PENSTOCK_SEED and PENSTOCK_SOAK_BATCHES say which, how many.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path

from changes_model import SPEC, Event
from merged import Kept
from pipelines import Done, Project, lake
from prepared import start
from soak.feed import APPENDED, MERGED, TABLES, files, line, pipeline

BATCHES = int(os.environ.get("PENSTOCK_SOAK_BATCHES", "48"))
FORMATS = ("iceberg", "delta")
MOST_LINES, PAUSE = 450, 8  # of a run that lives; seconds between two others beside it
RUN, MAINTAIN = ("run", ".", "--log", "json"), ("maintain", "--all")
REFUSED = ("the pipeline is already being run by", "the lock was released just now")


class Soak:
    """A project, and the processes that work on it; what they say is kept."""

    def __init__(self, folder: Path, table_format: str, waiting: Sequence[Sequence[Event]]) -> None:
        self.project, self.waiting, self.landed = Project(folder), waiting, 0
        self.applied: Counter[tuple[str, int]] = Counter()
        self.ended: Counter[str] = Counter()
        self.takes = 60.0  # a maintenance, in seconds: what the last whole one did
        self.project.write("pipeline.yaml", pipeline(table_format))
        (folder / "landing" / "feed").mkdir(parents=True)

    def land(self, count: int) -> None:
        """The next files, each there at once and whole, beside whatever is at work."""
        for number, events in enumerate(self.waiting[self.landed : self.landed + count], self.landed + 1):
            whole = self.project.write("next.json", "".join(f"{line(e)}\n" for e in events))
            whole.rename(self.project.folder / "landing" / "feed" / f"{number:05}.json")
            self.landed = number

    def days_pass(self) -> None:
        """By the age of its files. No run is at work but one that is about to be refused, or that ends before the next maintenance."""
        for path in self.project.folder.glob("warehouse/**/*"):
            with suppress(FileNotFoundError):
                os.utime(path, (time.time() - 2 * 86400,) * 2)

    def run(self, lines: int, r: random.Random) -> bool:
        """One life of a run; True where it found nothing left, or did all that there was."""
        done = self._life(RUN, lines=lines, seconds=r.random() * 0.15)
        for said in (json.loads(text) for text in done.out.splitlines(keepends=True) if text.endswith("\n")):
            if said.get("kind") == "batch done":
                self.applied[said["step"], said["batch"]] += 1
        self._note("run", done, refused=done.code == 1 and any(said in done.err for said in REFUSED))
        return done.code == 0

    def maintain(self, seconds: float = 300) -> None:
        clock = time.monotonic()
        done = self._life(MAINTAIN, lines=0, seconds=seconds)
        self._note("maintain", done)
        self.takes = self.takes if done.code else time.monotonic() - clock

    def _life(self, arguments: Sequence[str], *, lines: int, seconds: float) -> Done:
        """A process that is killed so many seconds after so many lines, unless it ended before."""
        read, write = os.pipe()
        with tempfile.TemporaryFile("w+") as err, os.fdopen(read) as out:
            with os.fdopen(write, "w") as theirs:
                process = start(arguments, self.project.folder, os.environ, theirs, err)
            said = list(islice(out, lines))
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            process.kill()
            said += out
            code = process.wait(60)
            err.seek(0)
            return Done(code, "".join(said), err.read())

    def _note(self, verb: str, done: Done, *, refused: bool = False) -> None:
        assert refused or done.code in (0, -signal.SIGKILL), f"{verb} ended with {done.code}:\n{done.out}{done.err}"
        self.ended[f"{verb} {'refused' if refused else 'killed' if done.code else 'ended'}"] += 1


def company(soak: Soak, r: random.Random, over: threading.Event) -> None:
    """Maintenance, and now and then a second run, one after the other beside the runs."""
    while not over.wait(r.random() * PAUSE):
        if r.random() < 0.3:
            soak.run(r.randint(0, 20), r)
        else:
            soak.maintain(r.choice((300, soak.takes * r.uniform(0.4, 1.1))))


def lives(soak: Soak, r: random.Random) -> Iterator[int]:
    """Runs, until one ends with all files landed; files come, and days pass, between them."""
    done, most = False, min(8 * len(soak.waiting), MOST_LINES)
    while not done or soak.landed < len(soak.waiting):
        soak.land(r.randint(0, most // 8))
        if r.random() < 0.3:
            soak.days_pass()
        done = soak.run(r.randint(0, most), r)
        yield soak.landed


def soaked(folder: Path, table_format: str, seed: int, count: int, failed: threading.Event) -> Soak:
    clock, r = time.monotonic(), random.Random(f"{seed} {table_format}")
    soak, over = Soak(folder / table_format, table_format, files(2 * seed + FORMATS.index(table_format), count)), threading.Event()
    with ThreadPoolExecutor() as pool:
        beside = pool.submit(company, soak, random.Random(f"{seed} {table_format} beside"), over)
        try:
            for _ in lives(soak, r):
                assert not beside.done(), beside.result()
                if failed.is_set():
                    break  # what the other format raised is what is told
        except BaseException:
            failed.set()
            raise
        finally:
            over.set()
        beside.result()
    print(f"{table_format}: {count * len(TABLES)} batches, {dict(sorted(soak.ended.items()))}, {time.monotonic() - clock:.0f} s")
    return soak


def agrees(soak: Soak, seed: int) -> None:
    """Once, at the end: with the model, with the count of batches, and none was applied twice."""
    project, count = soak.project, len(soak.waiting)
    soak.days_pass()
    soak.maintain()
    state = json.loads(project.penstock("state", ".", "--json").out)
    assert [(s["applied"], s["waiting"]) for s in state] == [(count, 0)] * len(TABLES), state
    assert max(soak.applied.values()) == 1, soak.applied.most_common(3)
    events = [e for file in soak.waiting for e in file]
    for location in TABLES:
        batches = project.batches(location)
        assert len(batches) == len(set(batches)), (location, batches)
    for location, spec in MERGED.items():
        Kept(spec, lake(project, *location.split(".")[1:])).agrees(events, seed)
    assert_appended(project, events)


def assert_appended(project: Project, events: Sequence[Event]) -> None:
    """Of inserts each distinct one, of what else there is each line in the quarantine."""
    columns = (*SPEC.keys, *SPEC.data)
    inserts = {tuple(e[c] for c in (*columns, *SPEC.sequence)) for e in events if e["__op"] in "cr"}
    found = Kept(SPEC, lake(project, *APPENDED.split(".")[1:])).found()
    assert Counter(tuple(row[c] for c in columns) for row in found) == Counter(i[: len(columns)] for i in inserts)
    aside = project.rows(f"(SELECT COUNT(*) AS rows FROM {APPENDED}__quarantine)")
    assert aside == [{"rows": sum(e["__op"] not in "cr" for e in events)}]


def test_tables_end_as_the_model_however_often_their_writers_are_killed(tmp_path: Path, seed: int) -> None:
    count, failed = BATCHES // (len(FORMATS) * len(TABLES)), threading.Event()
    with ThreadPoolExecutor() as pool:
        soaks = list(pool.map(lambda kind: soaked(tmp_path, kind, seed, count, failed), FORMATS))
    for soak in soaks:
        agrees(soak, seed)
