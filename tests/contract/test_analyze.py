"""What a table says of its columns' values: counted by either engine as Spark counts them, again once rows changed, and gone with the states they are of."""

from __future__ import annotations

import datetime as dt
import signal
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from foreign import Iceberg
from pipelines import APPENDED, Project, context, lake
from pyiceberg.table.puffin import PuffinFile
from spark_server import open_lake

from penstock.config import AwsSettings
from penstock.connectors.catalogs import Catalog
from penstock.connectors.iceberg.table import IcebergTable
from penstock.engines.base import Engine
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.errors import NotSupportedError
from penstock.jobs.upkeep import Maintained, maintain
from penstock.schema import Column
from penstock.sketches import Sketch
from penstock.tables import Change, LakeTable, Pinned

LATER = datetime.now(UTC) + timedelta(days=30)
PIPELINE = APPENDED.replace("name: string}", 'name: string, "a.b": string}\n    maintain: {analyze: [id, name, a.b], min_files: 100}')


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    """Forty rows of which each has a number, of seven names."""
    project = Project(tmp_path)
    project.write("pipeline.yaml", PIPELINE.replace("FORMAT", "iceberg"))
    deliver(project, 1, range(40))
    return project


def deliver(project: Project, number: int, ids: range) -> None:
    project.write(f"landing/rows/{number}.csv", "id,name,a.b\n" + "".join(f"{i},n{i % 7},\n" for i in ids))
    assert project.record()[0].code == 0


def maintained(project: Project, now: datetime | None = None) -> Maintained:
    return next(m for m in maintain(context(project), now=now) if m.location == "lake.a.rows")


def sketches(table: Any) -> dict[str, Sketch]:
    """What pyiceberg reads of the present snapshot."""
    schema, (told,) = table.schema(), [s for s in table.metadata.statistics if s.snapshot_id == table.metadata.current_snapshot_id]
    with table.io.new_input(told.statistics_path).open() as stream:
        puffin = PuffinFile(stream.read())
    assert [b.properties for b in told.blob_metadata] == [b.properties for b in puffin.footer.blobs]
    return {schema.find_column_name(b.fields[0]): Sketch.read(puffin.get_blob_payload(b)) for b in puffin.footer.blobs}


def counts(table: Any) -> dict[str, str]:
    (told,) = [s for s in table.metadata.statistics if s.snapshot_id == table.metadata.current_snapshot_id]
    return {table.schema().find_column_name(b.fields[0]): b.properties["ndv"] for b in told.blob_metadata}


def test_values_are_counted_once_and_again_when_a_tenth_of_the_rows_has_changed(shop: Project) -> None:
    (planned,) = maintain(context(shop), dry_run=True)
    assert (planned.analyzed, maintained(shop).analyzed, maintained(shop).analyzed) == (3, 3, 0)
    table = Iceberg(shop).table("a.rows")
    assert counts(table) == {"id": "40", "name": "7", "a.b": "0"} == {name: str(sketch.estimate) for name, sketch in sketches(table).items()}
    deliver(shop, 2, range(40, 44))
    assert maintained(shop).analyzed == 0, "a tenth and no more"
    deliver(shop, 3, range(44, 45))
    assert maintained(shop).analyzed == 3
    assert counts(Iceberg(shop).table("a.rows")) == {"id": "45", "name": "7", "a.b": "0"}
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace("[id, name, a.b]", "[id]"))
    assert maintained(shop).analyzed == 0, "told among others"


def test_what_expired_states_said_goes_with_them(shop: Project) -> None:
    maintained(shop)
    deliver(shop, 2, range(40, 80))
    maintained(shop)
    files = set((shop.folder / "warehouse").rglob("*.stats"))
    assert len(files) == 2
    done = maintained(shop, LATER)
    assert (done.expired, done.analyzed) == (1, 0)
    left = set((shop.folder / "warehouse").rglob("*.stats"))
    (told,) = Iceberg(shop).table("a.rows").metadata.statistics
    assert left < files
    assert {told.statistics_path.removeprefix("file://")} == {str(f) for f in left}


def test_a_run_killed_before_it_tells_changes_nothing(shop: Project) -> None:
    before = shop.rows("lake.a.rows")
    killed = shop.process("maintain", "--all", PENSTOCK_KILL_AT="before_analysis_commit:1")
    assert killed.code == -signal.SIGKILL
    assert not Iceberg(shop).table("a.rows").metadata.statistics
    assert maintained(shop).analyzed == 3
    assert shop.rows("lake.a.rows") == before


def test_a_writer_in_between_is_not_told_of(shop: Project) -> None:
    """What was counted is told of the state in which it was."""
    table = lake(shop, "a", "rows")
    pinned = table.pin()
    with EmbeddedEngine(AwsSettings()).session() as session:
        found = session.sketch(table, pinned, ["id"])
    Iceberg(shop).append("a.rows", {"id": 99, "name": "theirs"})
    assert table.describe(pinned, found)
    told = Iceberg(shop).table("a.rows").metadata.statistics
    assert [s.snapshot_id for s in told] == [pinned.version]
    assert len(shop.rows("lake.a.rows")) == 41
    assert maintained(shop).analyzed == 3


def test_what_others_told_of_a_state_stays(shop: Project) -> None:
    table = lake(shop, "a", "rows")
    for columns in (["id", "name"], ["name", "a.b"]):
        with EmbeddedEngine(AwsSettings()).session() as session:
            assert table.describe(table.pin(), session.sketch(table, table.pin(), columns))
    found = Iceberg(shop).table("a.rows")
    assert counts(found) == {"id": "40", "name": "7", "a.b": "0"} == {name: str(sketch.estimate) for name, sketch in sketches(found).items()}


def test_of_a_state_that_is_gone_nothing_is_told(shop: Project) -> None:
    """Also where it goes between the look and the commit: nobody would ever take it away."""
    table, others = lake(shop, "a", "rows"), lake(shop, "a", "rows")
    pinned = table.pin()
    with EmbeddedEngine(AwsSettings()).session() as session:
        found = session.sketch(table, pinned, ["id"])
    deliver(shop, 2, range(40, 41))
    commit_table = table._catalog.commit_table  # type: ignore[attr-defined]

    def expired_first(*arguments: Any) -> Any:
        others.expire(LATER, ())
        return commit_table(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table._catalog, "commit_table", expired_first)  # type: ignore[attr-defined]
        assert not table.describe(pinned, found)
    assert not table.describe(pinned, found)
    assert not Iceberg(shop).table("a.rows").metadata.statistics


def test_a_state_that_cannot_be_read_is_not_compared_with(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a time when others wrote the table, say."""
    assert maintained(shop).analyzed == 3
    former = lake(shop, "a", "rows").pin().version
    deliver(shop, 2, range(40, 41))
    files = IcebergTable.files

    def refused(self: IcebergTable, pinned: Pinned) -> Any:
        if pinned.version == former:
            raise NotSupportedError("reading what others wrote")
        return files(self, pinned)

    monkeypatch.setattr(IcebergTable, "files", refused)
    assert maintained(shop).analyzed == 3


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("format: delta", "delta tables have no place for counts of distinct values"),
        ("format: iceberg, analyze: [nope]", "maintain.analyze: nope not among the columns"),
        ("format: iceberg, analyze: [tags]", "analyze takes columns that are no struct"),
    ],
)
def test_what_cannot_be_counted_is_refused(tmp_path: Path, said: str, told: str) -> None:
    table_format, _, asked = said.removeprefix("format: ").partition(", ")
    project = Project(tmp_path)
    text = (
        PIPELINE.replace("FORMAT", table_format).replace('"a.b": string', "tags: array<string>").replace("analyze: [id, name, a.b]", asked or "analyze: [id]")
    )
    project.write("pipeline.yaml", text)
    refused = project.penstock("plan", ".")
    assert refused.code == 2
    assert told in refused.err


KINDS = {
    "id": "bigint", "n": "int", "r": "double", "f": "float", "ok": "boolean", "small": "decimal(5,2)", "large": "decimal(38,10)", "born": "date",
    "at": "timestamp", "local": "timestamp_ntz", "raw": "binary", "note": "string",
}  # fmt: skip


def row(i: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": i, "n": i % 100 - 50, "r": i / 7, "f": float(i % 13), "ok": i % 2 == 0, "small": Decimal(i % 300 - 150) / 100,
        "large": (i - 1000) * Decimal(10 ** (i % 20)), "born": dt.date(1900, 1, 1) + dt.timedelta(days=i),
        "at": datetime(1899, 12, 31, tzinfo=UTC) + timedelta(hours=i), "local": datetime(2024, 1, 1) + timedelta(microseconds=i % 5),
        "raw": bytes([i % 256]) * (i % 40), "note": "é" * (i % 70) + str(i % 3),
    }  # fmt: skip
    return {name: None if i % 11 == 0 and name != "id" else value for name, value in found.items()}


@pytest.fixture
def all_kinds(lake: Catalog, write_file: Any) -> LakeTable:
    table = lake.create("ops", "kinds", "iceberg", tuple(Column.parse(name, kind) for name, kind in KINDS.items()))
    files = [write_file(table, pinned := table.pin(), [row(i) for i in range(part, 2000, 2)]) for part in range(2)]
    table.commit(pinned, Change("append", files))
    return table


def test_both_engines_make_the_sketches_that_spark_makes(all_kinds: LakeTable, on_spark: Engine, spark: Any, tmp_path: Path) -> None:
    """Iceberg's own procedure, of the same rows: the same hashes, of every type."""
    made = []
    for engine in (EmbeddedEngine(AwsSettings()), on_spark):
        with engine.session() as session:
            made.append(session.sketch(all_kinds, all_kinds.pin(), list(KINDS)))
    assert {name: s.compact for name, s in made[0].items()} == {name: s.compact for name, s in made[1].items()}
    assert all_kinds.describe(all_kinds.pin(), made[0])
    native: Any = all_kinds.pin().native
    ours, said = sketches(native), counts(native)
    blobs = spark.createDataFrame([(name, sketch.compact) for name, sketch in ours.items()], "name STRING, sketch BINARY")
    estimated = {r["name"]: str(r["n"]) for r in blobs.selectExpr("name", "theta_sketch_estimate(sketch) AS n").collect()}
    assert estimated == said, "Spark reads what was written"
    open_lake(spark, tmp_path / "warehouse")
    spark.sql("CALL penstock.system.compute_table_stats(table => 'ops.kinds')").collect()
    native = all_kinds.pin().native
    assert counts(native) == said
    assert {name: sketch.hashes.tolist() for name, sketch in sketches(native).items()} == {name: sketch.hashes.tolist() for name, sketch in ours.items()}
