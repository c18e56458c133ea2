"""Which files can hold a key: those of which the range has one, however many files and keys there are."""

from __future__ import annotations

import random
from contextlib import closing

import pyarrow as pa
import pytest

from penstock.engines.embedded.duck import opened
from penstock.engines.embedded.locate import candidates
from penstock.tables import DataFile


def file(number: int, least: int | None, greatest: int | None) -> DataFile:
    lower, upper = ({} if bound is None else {"id": bound} for bound in (least, greatest))
    return DataFile(f"f{number}", 1, 1, (), lower, upper)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("files", [0, 1, 128, 129, 400])
def test_those_of_which_the_range_has_a_key_and_those_without_a_range(files: int, seed: int) -> None:
    print(f"seed {seed}")
    r = random.Random(seed)
    keys = r.sample(range(10_000_000), 5_000)
    made = []
    for i in range(files):
        least = r.randrange(10_000_000)
        made.append(file(i, least, least + r.choice((0, 100, 3_000, 1_000_000))) if r.random() < 0.9 else file(i, None, r.choice((None, 5))))
    expected = [f.uri for f in made if not f.lower or any(f.lower["id"] <= k <= f.upper["id"] for k in keys)]  # type: ignore[operator]
    with closing(opened()) as connection:
        connection.register("wanted", pa.table({"id": keys}))
        found = candidates(connection, "SELECT id FROM wanted", "id", "BIGINT", made)
    assert [f.uri for f in found] == expected
    assert files < 128 or 0 < len(found) < files
