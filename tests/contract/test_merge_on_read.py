"""Large files stay, with the positions of their deleted rows beside them; every reader sees the rows that are left."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from changes_model import HISTORY, SOFT, SPEC, stream
from merged import Merged, run
from pipelines import EVENTS, Project, context, event, events, lake

from penstock.changes.facts import MergeSpec
from penstock.connectors.catalogs import Catalog
from penstock.engines import deleting
from penstock.engines.deleting import absorbed, thinned
from penstock.jobs.maintain import Maintained, maintain
from penstock.tables import DataFile, DeleteFile, PartitionField


@pytest.fixture(autouse=True)
def _every_file_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deleting, "LARGE_ROWS", 1)
    monkeypatch.setattr(deleting, "MOST_DELETED", 0.7)


def sized(name: str, rows: int, deleted: int = 0) -> DataFile:
    return DataFile(name, rows, 1, deletes=(DeleteFile("d", deleted, is_own=True),) if deleted else ())


def test_files_stay_until_too_much_of_them_is_deleted() -> None:
    files = [sized("a", 100), sized("b", 50, 50), sized("c", 100), sized("d", 30, 70)]
    assert [f.uri for f in thinned(files, {"a": 70, "b": 21, "d": 1})] == ["a"]


def test_files_that_pass_the_bound_together_are_rewritten_by_several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deleting, "TOO_MANY_DELETED", 0.9)
    files = [sized(str(i), 100) for i in range(10)]
    assert [f.uri for f in thinned(files, {f.uri: 71 + (f.uri == "3") for f in files})] == list("012456789"), "the worst goes first"
    assert thinned(files, {f.uri: 91 for f in files}) == [], "what is nearly empty does not wait"
    assert thinned(files[:1], {"0": 71}) == [], "one file is no more than one batch's work"


def test_new_rows_take_up_small_files_so_that_few_are_left() -> None:
    files = [sized("large", 10**6), sized("a", 20), sized("b", 60), sized("c", 400)]
    assert [f.uri for f in absorbed(files, 20)] == ["a"]
    assert [f.uri for f in absorbed(files, 40)] == ["a", "b"]
    count, sizes = 0, list[int]()
    for _ in range(1000):
        taken = absorbed([sized(str(i), n) for i, n in enumerate(sizes)], 1000)
        for file in taken:
            sizes.remove(file.rows)
        sizes.append(1000 + sum(f.rows for f in taken))
        count = max(count, len([s for s in sizes if s < deleting.SEALED_ROWS]))
    assert count <= 10


@pytest.mark.parametrize(("table_format", "seed"), [("iceberg", 0), ("delta", 1)])
@pytest.mark.parametrize("spec", [SPEC, SOFT, HISTORY], ids=["scd1", "soft_delete", "scd2"])
@pytest.mark.parametrize("partitions", [(), (PartitionField("identity", "order"),)], ids=["flat", "partitioned"])
def test_streams_end_as_the_model(catalog: Catalog, table_format: str, seed: int, spec: MergeSpec, partitions: tuple[PartitionField, ...]) -> None:
    merged = Merged(catalog, table_format, *partitions, spec=spec, position_deletes=True)
    run(merged, stream(seed, partial=0.1, truncates=0.01), seed)


@pytest.fixture
def shop(tmp_path: Path, table_format: str) -> Project:
    """One file of 40 rows, of which two later batches delete five and change three."""
    project = Project(tmp_path)
    totals = """
  - id: totals
    transform: {sql: totals.sql, into: lake.shop.totals, write: overwrite}
"""
    text = (
        EVENTS.replace("FORMAT", table_format)
        .replace("    keys: [id]", "    keys: [id]\n    readers: [spark, duckdb]")
        .replace("steps:", "  lake.shop.totals: {format: delta, columns: {state: string, orders: bigint}}\nsteps:")
    )
    project.write("pipeline.yaml", text + totals)
    project.write("totals.sql", "SELECT state, count(*) AS orders FROM lake.shop.orders GROUP BY state")
    project.write("landing/orders/1.json", events(*(event("c", i, i, "new") for i in range(1, 41))))
    assert project.record()[0].code == 0
    project.write("landing/orders/2.json", events(*(event("d", i, 100 + i) for i in range(1, 6)), event("u", 40, 140, "paid")))
    project.write("landing/orders/3.json", events(*(event("u", i, 200 + i, "paid") for i in (10, 20))))
    assert project.record()[0].code == 0
    return project


@dataclass(frozen=True)
class Iceberg:
    """The table by pyiceberg."""

    shop: Project

    @property
    def table(self) -> Any:
        from pyiceberg.catalog.sql import SqlCatalog
        from sqlalchemy import NullPool, create_engine

        folder = self.shop.folder / "warehouse"
        found = SqlCatalog("penstock", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
        found.engine.dispose()
        found.engine = create_engine(found.engine.url, poolclass=NullPool)
        return found.load_table(("shop", "orders"))

    def rows(self) -> list[tuple[int, str]]:
        return sorted((r["id"], r["state"]) for r in self.table.scan().to_arrow().to_pylist())

    def deleted(self) -> list[int]:
        """Positions by delete file."""
        return [d.record_count for f in self.table.scan().plan_files() for d in f.delete_files]

    def delete(self, key: int) -> None:
        self.table.delete(f"id = {key}")


@dataclass(frozen=True)
class Delta:
    """The table by delta-rs."""

    shop: Project

    @property
    def table(self) -> Any:
        from deltalake import DeltaTable

        return DeltaTable(lake(self.shop, "shop", "orders").location)

    def rows(self) -> list[tuple[int, str]]:
        return sorted((r["id"], r["state"]) for r in pa.table(self.table.scan(columns=["id", "state"])).to_pylist())

    def deleted(self) -> list[int]:
        return [v.count(False) for v in pa.table(self.table.deletion_vectors())["selection_vector"].to_pylist()]

    def delete(self, key: int) -> None:
        self.table.delete(f"id = {key}")


OTHERS: dict[str, Callable[[Project], Iceberg | Delta]] = {"iceberg": Iceberg, "delta": Delta}
KEPT = [(i, "paid" if i in (10, 20, 40) else "new") for i in range(6, 41)]


@pytest.fixture
def other(shop: Project, table_format: str) -> Iceberg | Delta:
    """The table as another client has it."""
    return OTHERS[table_format](shop)


def shown(shop: Project) -> list[tuple[int, str]]:
    return [(r["id"], r["state"]) for r in shop.rows("lake.shop.orders", "id, state")]


def test_every_reader_sees_what_is_left(shop: Project, other: Iceberg | Delta) -> None:
    assert other.deleted() == [8], "one delete file, or vector, for the one data file, however many batches"
    assert other.rows() == KEPT
    assert shown(shop) == KEPT
    assert shop.rows("lake.shop.totals") == [{"state": "new", "orders": 32}, {"state": "paid", "orders": 3}], "Sail"


def test_iceberg_counts_the_deletes_of_a_snapshot(shop: Project, table_format: str) -> None:
    if table_format == "iceberg":
        summary = Iceberg(shop).table.current_snapshot().summary
        assert (summary["total-position-deletes"], summary["total-delete-files"]) == ("8", "1")


def test_other_writers_deletes_are_read_and_written_upon(shop: Project, other: Iceberg | Delta) -> None:
    """Another client deletes a row by rewriting its file; the next batch finds the table as it is then."""
    other.delete(30)
    shop.write("landing/orders/4.json", events(event("d", 31, 300), event("c", 50, 301, "new")))
    assert shop.record()[0].code == 0
    expected = [k for k in KEPT if k[0] not in (30, 31)] + [(50, "new")]
    assert shown(shop) == other.rows() == expected


def test_compaction_rollback_and_the_sweep_know_of_the_deletes(shop: Project, other: Iceberg | Delta) -> None:
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("    keys: [id]", "    keys: [id]\n    maintain: {min_files: 2}"))
    done = shop.penstock("rollback", "lake.shop.orders", "--to", "1", "--then", "replay")
    assert done.code == 0, done.err
    assert len(shop.rows("lake.shop.orders")) == 40
    assert shop.record()[0].code == 0
    assert (shown(shop), other.deleted()) == (KEPT, [8])
    assert sum(m.compacted for m in maintained(shop)) >= 1
    assert not other.deleted()
    assert not list(shop.folder.rglob("*.bin")), "vectors of files that are gone went with them"
    assert shown(shop) == other.rows() == KEPT
    versions = json.loads(shop.penstock("history", "lake.shop.orders", "--json").out.splitlines()[0])
    assert versions["operation"] in ("replace", "optimize")


def maintained(shop: Project) -> list[Maintained]:
    return list(maintain(context(shop), ["lake.shop.orders"], now=datetime.now(UTC) + timedelta(days=30)))


def test_a_sweep_leaves_the_deletes_that_are_live(shop: Project, other: Iceberg | Delta, table_format: str) -> None:
    """A month later: vectors that were replaced go, those of the present state stay."""
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("    keys: [id]", "    keys: [id]\n    maintain: {max_delete_share: 1}"))
    before = list(shop.folder.rglob("*.bin"))
    assert sum(m.compacted for m in maintained(shop)) == 0
    assert (len(before), len(list(shop.folder.rglob("*.bin")))) == {"iceberg": (0, 0), "delta": (2, 1)}[table_format]
    assert (shown(shop), other.rows(), other.deleted()) == (KEPT, KEPT, [8])


def test_readers_that_know_no_deletion_vectors_get_tables_without_them(shop: Project, other: Iceberg | Delta, table_format: str) -> None:
    """Athena is told of later: it would refuse a table whose protocol lists vectors, even without any."""
    text = shop.text("pipeline.yaml").replace("readers: [spark, duckdb]", "readers: [spark, athena]\n    maintain: {max_delete_share: 0.05}")
    shop.write("pipeline.yaml", text)
    shop.write("landing/orders/4.json", events(event("d", 30, 300)))
    done = shop.record()[0]
    if table_format == "delta":
        said = "table lake.shop.orders was made with deletion vectors, which its reader athena does not know, and refuses"
        assert (done.code, said in done.err, shown(shop)) == (1, True, KEPT), done.err
        done = shop.record("--full-refresh")[0]
        assert not lake(shop, "shop", "orders").asks_for_position_deletes
    assert done.code == 0, done.err
    assert other.deleted() == ([9] if table_format == "iceberg" else [])
    shown_by_plan = shop.penstock("plan", ".").out
    said = "position deletes" if table_format == "iceberg" else "files written anew: athena knows no deletion vectors"
    assert said in shown_by_plan
    assert shown(shop) == other.rows() == [k for k in KEPT if k[0] != 30]
