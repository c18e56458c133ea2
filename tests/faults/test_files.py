"""Files that were cut off or damaged: refused whole and by name, nothing of them applied; delivered again they are taken. Fault 19 of the catalogue."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pipelines import Project

PIPELINE = """
pipeline: orders
connections:
  raw: {kind: files, path: landing}
  lake: {kind: catalog, catalog: sqlite, warehouse: warehouse}
tables:
  lake.shop.orders:
    format: FORMAT
    columns: {id: bigint!, at: bigint!, state: string}
    keys: [id]
  lake.shop.seen:
    format: FORMAT
    columns: {id: bigint!, at: bigint!, state: string}
steps:
  - id: files
    read: {from: raw/orders/, format: KIND, batch: {max_files: 1}}
  - id: orders
    merge: {from: files, into: lake.shop.orders, sequence_by: at}
  - id: seen
    copy: {from: files, into: lake.shop.seen, write: append}
"""
Row = tuple[int, int, str]


def as_parquet(rows: Sequence[Row]) -> bytes:
    out = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(zip(("id", "at", "state"), map(list, zip(*rows, strict=True)), strict=True))), out)
    return out.getvalue().to_pybytes()


def as_csv(rows: Sequence[Row]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([("id", "at", "state"), *rows])
    return out.getvalue().encode()


def as_json(rows: Sequence[Row]) -> bytes:
    return "".join(f'{{"id": {i}, "at": {at}, "state": "{state}"}}\n' for i, at, state in rows).encode()


KINDS: dict[str, tuple[str, Callable[[Sequence[Row]], bytes]]] = {
    "parquet": ("parquet", as_parquet), "csv": ("csv", as_csv), "json": ("json", as_json), "json.gz": ("json", lambda rows: gzip.compress(as_json(rows))),
}  # fmt: skip
CUTS: dict[str, Callable[[bytes], bytes]] = {"half": lambda d: d[: len(d) // 2], "the last 8 bytes": lambda d: d[:-8], "all": lambda d: b""}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
def test_a_file_that_was_cut_is_refused_whole_and_taken_when_it_is_whole(tmp_path: Path, table_format: str, kind: str) -> None:
    (read_as, written), project = KINDS[kind], Project(tmp_path)
    project.write("pipeline.yaml", PIPELINE.replace("FORMAT", table_format).replace("KIND", read_as))
    good = [(1, 1, "new"), (2, 1, "new, and paid")]
    project.write(f"landing/orders/0.{kind}", written(good))
    assert project.record()[0].code == 0
    for number, (name, cut) in enumerate(CUTS.items(), start=2):
        if (kind, name) == ("json", "all"):
            continue  # no event at all is a whole file of lines
        rows = [(i, number, "changed, and changed again") for i in range(1, 4)]
        file = f"landing/orders/{number}.{kind}"
        project.write(file, cut(written(rows)))
        before = project.rows("lake.shop.orders"), project.rows("lake.shop.seen")
        done = project.penstock("run", ".")
        assert (done.code, f"{number}.{kind}" in done.err, "Traceback" in done.err) == (1, True, False), (name, done.err)
        assert (project.rows("lake.shop.orders"), project.rows("lake.shop.seen")) == before, name
        project.write(file, written(rows))
        assert project.penstock("batch", "retry", ".", "orders", str(number)).code == 0
        assert project.record()[0].code == 0
        assert project.rows("lake.shop.orders") == [{"id": i, "at": number, "state": rows[0][2]} for i in (1, 2, 3)]
    assert len(project.rows("lake.shop.seen")) == 2 + 3 * (len(project.batches("lake.shop.seen")) - 1)
