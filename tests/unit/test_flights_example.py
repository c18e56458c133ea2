"""The flights' change data: what the generator says it made is what lies there."""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "dags" / "pipelines" / "flights"))

from generate import Summary, generate, into_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, Path]:
    folder = tmp_path_factory.mktemp("flights")
    return generate(into_folder(folder), days=3), folder


def lines(folder: Path) -> list[str]:
    return [line for file in sorted((folder / "cdc" / "flights").iterdir()) for line in gzip.decompress(file.read_bytes()).decode().splitlines()]


def test_the_counts_are_those_of_the_data_set(made: tuple[Summary, Path]) -> None:
    summary, folder = made
    assert (summary.flights, summary.cancelled, summary.broken) == (2699, 22, 12)
    assert len(lines(folder)) == summary.events + summary.twice + summary.broken
    assert sorted(p.name for p in (folder / "reference").iterdir()) == ["airlines", "airports", "planes", "weather"]


def test_a_flight_is_created_updated_and_when_cancelled_deleted(made: tuple[Summary, Path]) -> None:
    summary, folder = made
    good = []
    for line in lines(folder):
        try:
            good.append(json.loads(line))
        except ValueError:
            continue
    distinct = {e["source"]["lsn"]: e for e in good}
    operations = Counter(e["op"] for e in distinct.values())
    assert (operations["c"], operations["d"]) == (summary.flights, summary.cancelled)
    created = next(e for e in distinct.values() if e["op"] == "c")
    assert created["after"]["dep_time"] is None
    assert all(int(a) < int(b) for a, b in (json.loads(e["source"]["sequence"]) for e in distinct.values()))


def test_the_same_files_every_time(made: tuple[Summary, Path], tmp_path: Path) -> None:
    summary, folder = made
    assert generate(into_folder(tmp_path), days=3) == summary
    for file in (folder / "cdc" / "flights").iterdir():
        assert (tmp_path / "cdc" / "flights" / file.name).read_bytes() == file.read_bytes()
