"""Many small batches through processes that are killed at random: the tables end as the model, which saw every event once.

`make soak` runs 10,000 batches; the test run a few. PENSTOCK_SEED and PENSTOCK_SOAK_BATCHES say which and how many.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from soak.worker import KEY, SPECS, batches, tables

BATCHES = int(os.environ.get("PENSTOCK_SOAK_BATCHES", "90"))
FORMATS = ("iceberg", "delta")


def lives(folder: Path, table_format: str, seed: int, count: int) -> Iterator[int]:
    """How many batches each process did before it was killed, or found nothing left."""
    r = random.Random(f"{seed} {table_format}")
    command = [sys.executable, "-m", "soak.worker", str(folder), table_format, str(seed), str(count)]
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    code = 1
    while code:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths})
        done, until = 0, r.randint(1, min(count, 150) * 3 // 2)
        assert process.stdout
        while done < until and process.stdout.readline():
            done += 1
        time.sleep(r.random() * 0.15)
        process.kill()
        _, err = process.communicate()
        code = process.returncode
        assert code in (0, -9), err
        yield done


def soaked(folder: Path, table_format: str, seed: int, count: int) -> str:
    clock = time.monotonic()
    kills = len(list(lives(folder, table_format, seed, count))) - 1
    for i, merged in enumerate(tables(folder, table_format).values()):
        merged.agrees([e for batch in batches(seed + i, count) for e in batch], seed)
        assert merged.table.pin().ledger[KEY] == count
    return f"{table_format}: {count * len(SPECS)} batches, {kills} kills, {time.monotonic() - clock:.0f} s"


def test_tables_end_as_the_model_however_often_their_writers_are_killed(tmp_path: Path, seed: int) -> None:
    count = BATCHES // (len(FORMATS) * len(SPECS))
    with ThreadPoolExecutor() as pool:
        for line in pool.map(lambda kind: soaked(tmp_path, kind, seed, count), FORMATS):
            print(line)
