"""Work that does not fit the memory: it spills to disk, and ends right."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from changes_model import SPEC, TYPES
from merged import Merged

from penstock.changes.events import prepared
from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import open_catalog
from penstock.engines.embedded.duck import opened
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.errors import ArgumentError

ROWS, WIDTH = 70_000, 1_500


def limit(sharing: int = 1) -> float:
    """In MiB."""
    with closing(opened(sharing)) as connection:
        ((found,),) = connection.execute("SELECT current_setting('memory_limit')").fetchall()
    number, unit = found.split()
    return float(number) * {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024, "TiB": 1024**2}[unit]


def test_a_session_takes_half_of_the_memory_or_what_is_said_and_shares_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_MEMORY", raising=False)
    machine = limit()
    assert 64 < machine < 1024**3
    assert limit(sharing=4) == pytest.approx(machine / 4, rel=0.05)
    monkeypatch.setenv("PENSTOCK_MEMORY", "512 MiB")
    assert [limit(), limit(sharing=2)] == [512, 256]
    monkeypatch.setenv("PENSTOCK_MEMORY", "plenty")
    with pytest.raises(ArgumentError, match="PENSTOCK_MEMORY is 'plenty'"):
        limit()


def events(at: int, first: int) -> pa.Table:
    """As many rows as ROWS from a key on, each with a long note that no other has."""
    keys = range(first, first + ROWS)
    said: dict[str, Any] = {
        "tenant": list(keys), "Customer Id": ["x"] * ROWS, "order": [at] * ROWS, "note": [f"{at}-{i}-" * (WIDTH // (len(f"{at}-{i}-"))) for i in keys],
        "__op": ["u"] * ROWS, "__sequence_1": [at] * ROWS, "__sequence_2": [0] * ROWS,
    }  # fmt: skip
    return pa.table({c: pa.array(said.get(c, [None] * ROWS), kind) for c, kind in TYPES.items() if c != "gone"})


def test_a_merge_larger_than_the_limit_spills_and_ends_right(table_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row groups too are larger than the limit, as they are made by the number of rows."""
    catalog = open_catalog(CatalogConnection(kind="catalog", catalog="sqlite", warehouse="warehouse"), AwsSettings(), tmp_path)
    merged, spilled = Merged(catalog, table_format), []
    monkeypatch.setenv("PENSTOCK_MEMORY", f"{ROWS * WIDTH * 4 // 5} B")
    monkeypatch.setenv("PENSTOCK_SPILL", str(tmp_path))
    for batch, first in enumerate((0, ROWS // 2), 1):
        with merged.engine.session() as session:
            session.execute("SET threads = 2")  # each thread needs some for itself
            session.load("events", events(batch, first))
            session.execute(f"CREATE TABLE batch AS {prepared(SPEC, 'events')}")
            pinned, remembered = merged.table.pin(), merged.memory.pin()
            settled = session.settle(SPEC, merged.table, pinned, merged.memory, remembered)
            change = session.rewrite(merged.table, pinned, settled.upserts, settled.deletes, f"r{batch}")
            spilled.append(sum(f.stat().st_size for f in tmp_path.glob("penstock-*/*")))
            assert merged.table.commit(pinned, replace(change, ledger={"p/s": batch})).state == "done"
    assert min(spilled) > 0
    assert not list(tmp_path.glob("penstock-*/*"))
    table = merged.table
    del session, merged
    assert not list(tmp_path.glob("penstock-*"))
    monkeypatch.delenv("PENSTOCK_MEMORY")
    with EmbeddedEngine(AwsSettings()).session() as session:
        session.scan("now", table, table.pin())
        found = session.query('SELECT "order", COUNT(*) AS rows, COUNT(DISTINCT note) AS notes FROM now GROUP BY 1 ORDER BY 1').to_pylist()
    assert [tuple(r.values()) for r in found] == [(1, ROWS // 2, ROWS // 2), (2, ROWS, ROWS)]
