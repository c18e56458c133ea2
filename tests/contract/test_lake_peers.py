"""What other writers leave in a table, and what Penstock leaves for them: names, types, statistics, and features that are refused by name."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from penstock.config import AwsSettings, Secret
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import Catalog, open_catalog
from penstock.connectors.s3.access import client
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.errors import ConnectionFailedError, DataError, NotSupportedError
from penstock.pipeline import Table
from penstock.schema import Column, arrow_schema
from penstock.tables import Change, LakeTable, PartitionField, WrittenFile

Write = Callable[..., WrittenFile]
COLUMNS = tuple(
    Column.parse(name, kind)
    for name, kind in {
        "id": "bigint!", "s": "string", "d": "date", "x": "decimal(38,2)", "at": "timestamp", "local": "timestamp_ntz", "ok": "boolean", "r": "double",
    }.items()
)  # fmt: skip
LEAST = {
    "id": -1, "s": "a", "d": dt.date(1899, 12, 31), "x": Decimal("-123456789012345678901234567890123456.78"), "ok": False, "r": -0.5,
    "at": dt.datetime(1899, 12, 31, 23, 59, 59, 123456, tzinfo=dt.UTC), "local": dt.datetime(1899, 12, 31, 23, 59, 59, 123456),
}  # fmt: skip
GREATEST = {
    "id": 2**53 + 1, "s": "z" * 40, "d": dt.date(2100, 1, 1), "x": Decimal("0.01"), "ok": True, "r": 1e300,
    "at": dt.datetime(2100, 1, 1, 1, 2, 3, 4, tzinfo=dt.UTC), "local": dt.datetime(2100, 1, 1, 1, 2, 3, 4),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Catalog:
    return open_catalog(CatalogConnection(kind="catalog", catalog="sqlite", warehouse="warehouse"), AwsSettings(), tmp_path)


def table_of(catalog: Catalog, table_format: str, *partitions: PartitionField) -> LakeTable:
    return catalog.create("ops", f"t_{secrets.token_hex(4)}", table_format, COLUMNS, partitions)


def append(table: LakeTable, write_file: Write, rows: list[dict[str, Any]], partition: tuple[object, ...] = ()) -> None:
    pinned = table.pin()
    assert table.commit(pinned, Change("append", [write_file(table, pinned, rows, partition)], ledger={"p/s": 1})).state == "done"


def as_others_read(table: LakeTable) -> list[dict[str, Any]]:
    """The rows by the format's own library, from the location alone."""
    native: Any = table.pin().native
    if hasattr(native, "metadata_location"):
        from pyiceberg.table import StaticTable

        found = StaticTable.from_metadata(native.metadata_location, native.io.properties).scan().to_arrow()
    else:
        found = native.to_pyarrow_table()
    return sorted(found.to_pylist(), key=lambda row: row["id"])


def test_statistics_hold_the_least_and_the_greatest_of_every_type(catalog: Catalog, table_format: str, write_file: Write) -> None:
    table = table_of(catalog, table_format)
    append(table, write_file, [LEAST, GREATEST, {"id": 5}])
    (file,) = table.files(table.pin())
    assert file.rows == 3
    assert {c: v for c, v in file.lower.items() if c != "s"} == {c: LEAST[c] for c in file.lower if c != "s"}
    assert {"id", "s", "d", "x", "at", "local", "r"} <= set(file.lower)
    assert {"id", "s", "d", "x", "at", "local", "r"} <= set(file.upper)
    for column, upper in file.upper.items():
        assert upper >= GREATEST[column], column  # type: ignore[operator]
    assert (file.upper["id"], file.upper["d"], file.upper["x"]) == (GREATEST["id"], GREATEST["d"], GREATEST["x"])
    assert as_others_read(table) == [LEAST, dict.fromkeys(LEAST) | {"id": 5}, GREATEST]


def test_a_column_of_nulls_has_no_bounds(folder: Catalog, table_format: str, write_file: Write) -> None:
    table = table_of(folder, table_format)
    append(table, write_file, [{"id": 1, "r": float("nan")}])
    (file,) = table.files(table.pin())
    assert set(file.lower) == set(file.upper) == {"id"}


VALUES: dict[str, list[Any]] = {
    "s": ["a b", "a/b=%20ü?#*[1]", "../../up", None, "NULL", "x" * 300],
    "d": [dt.date(1899, 12, 31), None],
    "x": [Decimal("1.20")],  # delta-rs 1.6.6 reads -1.20 back as -1.-20, and raises
    "at": [dt.datetime(1899, 12, 31, 23, 59, 59, 123456, tzinfo=dt.UTC), None],
    "local": [dt.datetime(2024, 5, 1, 0, 0)],
    "ok": [True, False, None],
    "id": [-5],
}


@pytest.mark.parametrize("column", VALUES)
def test_partition_values_of_every_type_come_back(catalog: Catalog, table_format: str, write_file: Write, column: str) -> None:
    table = table_of(catalog, table_format, PartitionField("identity", column))
    rows = [{**LEAST, "id": i, column: value} for i, value in enumerate(VALUES[column])]
    for row in rows:
        append(table, write_file, [row], (row[column],))
    files = table.files(table.pin())
    assert {f.partition[0] for f in files} == set(VALUES[column])
    assert as_others_read(table) == sorted(rows, key=lambda row: row["id"])
    assert all(f.uri.startswith(f"{table.location}/") and ".." not in f.uri.split("/") for f in files)
    gone = [f for f in files if f.partition[0] == VALUES[column][0]]
    assert table.commit(table.pin(), Change("overwrite", remove=gone, ledger={"p/s": 2})).state == "done"
    assert {row[column] for row in as_others_read(table)} == set(VALUES[column][1:])


def test_a_partition_that_delta_would_read_back_as_null_is_refused(folder: Catalog) -> None:
    with pytest.raises(NotSupportedError, match="empty text as a partition value"):
        table_of(folder, "delta", PartitionField("identity", "s")).new_file(("",), "test")


@pytest.mark.parametrize("partition", ["bucket(4, id)", "truncate(3, id)", "bucket(3, s)", "truncate(1, s)"])
def test_rows_merged_into_buckets_are_where_another_reader_looks_for_them(folder: Catalog, partition: str) -> None:
    """pyiceberg plans by the transform alone: a row in the wrong partition would not be found."""
    import pyiceberg.expressions as e

    fields = Table.model_validate({"format": "iceberg", "columns": {"id": "bigint!", "s": "string"}, "partition_by": [partition]}).partition_fields
    columns = (Column.parse("id", "bigint!"), Column.parse("s", "string"))
    table = folder.create("ops", "buckets", "iceberg", columns, fields)
    expected = [{"id": i, "s": f"{'äbc'[i % 3]}{i}"} for i in range(-20, 60)]
    for batch, part in enumerate((expected[:50], expected[40:]), 1):
        pinned = table.pin()
        with EmbeddedEngine(AwsSettings()).session() as session:
            session.load("news", pa.Table.from_pylist(part, schema=arrow_schema(columns)))
            session.execute("CREATE TABLE gone AS SELECT id FROM news LIMIT 0")
            change = session.rewrite(table, pinned, "news", "gone", "r")
        assert table.commit(pinned, replace(change, ledger={"p/s": batch})).state == "done"
    native: Any = table.pin().native
    assert len({f.partition for f in table.files(table.pin())}) > 2
    for row in expected:
        assert native.scan(e.And(e.EqualTo("id", row["id"]), e.EqualTo("s", row["s"]))).to_arrow().to_pylist() == [row]


@pytest.mark.parametrize("transform", ["years", "months", "days", "hours"])
def test_partitions_that_a_format_cannot_have_are_refused(folder: Catalog, transform: str) -> None:
    assert table_of(folder, "iceberg", PartitionField(transform, "at")).partition_by == (PartitionField(transform, "at"),)
    with pytest.raises(NotSupportedError, match=rf"partitioned by {transform}\(at\)"):
        table_of(folder, "delta", PartitionField(transform, "at"))


def test_files_of_others_with_odd_names_are_removed_for_sure(folder: Catalog) -> None:
    from deltalake import write_deltalake

    table = table_of(folder, "delta", PartitionField("identity", "s"))
    names = ["a b", "100%", "x/y=ü?", "a:b+c"]
    write_deltalake(table.location, pa.table({"id": pa.array([1, 2, 3, 4]), "s": names}), mode="append", schema_mode="merge")
    pinned = table.pin()
    files = table.files(pinned)
    assert all(Path(f.uri).is_file() for f in files)
    assert table.commit(pinned, Change("overwrite", remove=files, ledger={"p/s": 1})).state == "done"
    assert (list(table.files(table.pin())), as_others_read(table)) == ([], [])


def logged(table: LakeTable, *actions: dict[str, Any]) -> None:
    """One more version of a Delta table, as another writer would put it."""
    version = (table.pin().version or 0) + 1
    (Path(table.location) / "_delta_log" / f"{version:020}.json").write_text("".join(json.dumps(a) + "\n" for a in actions))


def add_action(path: str, **changed: Any) -> dict[str, Any]:
    return {"add": {"path": path, "partitionValues": {}, "size": 1, "modificationTime": 0, "dataChange": True} | changed}


def test_a_file_whose_path_is_encoded_in_a_way_of_its_own_is_removed_by_that_path(folder: Catalog) -> None:
    table = table_of(folder, "delta")
    logged(table, add_action("p%3Aq.parquet", stats='{"numRecords":1}'))
    files = table.files(table.pin())
    assert [Path(f.uri).name for f in files] == ["p:q.parquet"]
    assert table.commit(table.pin(), Change("overwrite", remove=files, ledger={"p/s": 1})).state == "done"
    assert list(table.files(table.pin())) == []


def test_instants_that_others_cut_to_milliseconds_do_not_hide_rows(folder: Catalog) -> None:
    table = table_of(folder, "delta")
    cut = "2024-01-01T00:00:00.123Z"
    logged(table, add_action("a.parquet", stats=json.dumps({"numRecords": 1, "minValues": {"at": cut}, "maxValues": {"at": cut}, "nullCount": {"at": 0}})))
    (file,) = table.files(table.pin())
    assert file.lower["at"] == dt.datetime(2024, 1, 1, 0, 0, 0, 123000, tzinfo=dt.UTC)
    assert file.upper["at"] == dt.datetime(2024, 1, 1, 0, 0, 0, 123999, tzinfo=dt.UTC)


def test_a_delta_file_without_a_row_count_is_refused(folder: Catalog) -> None:
    table = table_of(folder, "delta")
    logged(table, add_action("a.parquet"))
    with pytest.raises(NotSupportedError, match="how many rows"):
        table.files(table.pin())


@pytest.mark.parametrize("path", ["s3://elsewhere/a.parquet", "/elsewhere/a.parquet", "file:///elsewhere/a.parquet"])
def test_files_of_another_table_are_refused(folder: Catalog, path: str) -> None:
    table = table_of(folder, "delta")
    logged(table, add_action(path, stats='{"numRecords":1}'))
    with pytest.raises(NotSupportedError, match="a shallow clone with the file"):
        table.files(table.pin())


@pytest.mark.parametrize("feature", ["columnMapping", "typeWidening"])
def test_delta_features_that_change_what_files_say_are_refused(folder: Catalog, feature: str) -> None:
    table = table_of(folder, "delta")
    features = ["timestampNtz", feature]
    logged(table, {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}})
    with pytest.raises(NotSupportedError, match=rf"reading {table.name} with {feature}"):
        table.pin()


def test_a_newer_writer_version_of_delta_is_read_and_not_written(folder: Catalog, write_file: Write) -> None:
    table = folder.create("ops", "newer", "delta", COLUMNS[:1])
    logged(table, {"protocol": {"minReaderVersion": 1, "minWriterVersion": 9}})
    assert list(table.files(table.pin())) == []
    with pytest.raises(NotSupportedError, match=r"writing ops.newer with the writer version 9"):
        append(table, write_file, [{"id": 1}])


def test_delta_promises_that_a_commit_would_break_are_refused(folder: Catalog, write_file: Write) -> None:
    table = table_of(folder, "delta")
    append(table, write_file, [{"id": 1}])
    native: Any = table.pin().native
    native.alter.set_table_properties({"delta.appendOnly": "true"})
    append(table, write_file, [{"id": 2}])
    with pytest.raises(NotSupportedError, match=r"append-only tables"):
        table.commit(table.pin(), Change("overwrite", remove=table.files(table.pin()), ledger={"p/s": 3}))
    native = table.pin().native
    native.alter.add_constraint({"positive": "id > 0"})
    with pytest.raises(NotSupportedError, match="check constraints"):
        append(table, write_file, [{"id": -1}])
    assert [row["id"] for row in as_others_read(table)] == [1, 2]


def test_equality_deletes_of_iceberg_are_refused(folder: Catalog, write_file: Write) -> None:
    from pyiceberg.manifest import DataFile as IcebergFile
    from pyiceberg.manifest import DataFileContent, FileFormat, ManifestEntry, ManifestEntryStatus, write_manifest_list
    from pyiceberg.table.snapshots import Operation, Snapshot, Summary
    from pyiceberg.table.update import AddSnapshotUpdate, SetSnapshotRefUpdate
    from pyiceberg.typedef import Record

    from penstock.connectors.iceberg.deletes import DeleteManifestWriter

    table = table_of(folder, "iceberg")
    append(table, write_file, [{"id": 1}])
    native: Any = table.pin().native
    parent = native.current_snapshot()
    folder_uri, number = f"{native.location()}/metadata", native.metadata.new_snapshot_id()
    file = IcebergFile.from_args(
        content=DataFileContent.EQUALITY_DELETES, file_path=f"{native.location()}/data/d.parquet", file_format=FileFormat.PARQUET, partition=Record(),
        record_count=1, file_size_in_bytes=1, equality_ids=[1], spec_id=0, sort_order_id=None, key_metadata=None,
    )  # fmt: skip
    entry = ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, snapshot_id=number, sequence_number=None, file_sequence_number=None, data_file=file)
    with DeleteManifestWriter(native.spec(), native.schema(), native.io.new_output(f"{folder_uri}/d.avro"), number, "deflate") as manifest:
        manifest.add(entry)
    with write_manifest_list(2, native.io.new_output(f"{folder_uri}/l.avro"), number, parent.snapshot_id, 2, "deflate") as writer:
        writer.add_manifests([*parent.manifests(native.io), manifest.to_manifest_file()])
    snapshot = Snapshot(
        snapshot_id=number, parent_snapshot_id=parent.snapshot_id, sequence_number=2, manifest_list=f"{folder_uri}/l.avro", schema_id=0,
        summary=Summary(Operation.DELETE),
    )  # fmt: skip
    main = SetSnapshotRefUpdate.model_validate({"ref-name": "main", "type": "branch", "snapshot-id": number})
    native.catalog.commit_table(native, (), (AddSnapshotUpdate(snapshot=snapshot), main))
    with pytest.raises(NotSupportedError, match="the equality deletes"):
        table.files(table.pin())


def test_a_former_partitioning_of_iceberg_is_refused(folder: Catalog, write_file: Write) -> None:
    table = table_of(folder, "iceberg")
    append(table, write_file, [{"id": 1}])
    native: Any = table.pin().native
    with native.update_spec() as update:
        update.add_identity("d")
    with pytest.raises(NotSupportedError, match="former partitioning"):
        table.files(table.pin())


def test_a_column_that_another_tool_renamed_is_read_by_its_number(folder: Catalog, write_file: Write) -> None:
    from pyiceberg.types import StringType

    table = table_of(folder, "iceberg")
    append(table, write_file, [{"id": 1, "s": "kept"}])
    native: Any = table.pin().native
    with native.update_schema() as update:
        update.rename_column("s", "t")
    with table.pin().native.update_schema() as update:  # type: ignore[attr-defined]
        update.add_column("s", StringType())
    with EmbeddedEngine(AwsSettings()).session() as session:
        session.scan("now", table, table.pin())
        assert session.query("SELECT id, t, s FROM now").to_pylist() == [{"id": 1, "t": "kept", "s": None}]
    with table.pin().native.transaction() as change:  # type: ignore[attr-defined]
        change.set_properties({"schema.name-mapping.default": "[]"})
    with pytest.raises(NotSupportedError, match="some files may lack the numbers of their columns"):
        table.files(table.pin())


def test_a_table_in_another_format_is_not_taken(catalog: Catalog, table_format: str) -> None:
    table = table_of(catalog, table_format)
    (other,) = {"iceberg", "delta"} - {table_format}
    with pytest.raises(DataError, match=f"is there in {table_format} but {other} is declared"):
        catalog.create("ops", table.name.split(".")[1], other, COLUMNS)


def test_the_error_names_the_columns_that_differ(folder: Catalog, table_format: str) -> None:
    table = table_of(folder, table_format)
    declared = (*COLUMNS[:-1], Column.parse("extra", "int"))
    with pytest.raises(DataError, match=r"it lacks extra int; it has besides r double"):
        folder.create("ops", table.name.split(".")[1], table_format, declared)


def test_a_table_that_was_dropped_while_in_use_is_missed(catalog: Catalog) -> None:
    table = table_of(catalog, "iceberg")
    catalog.drop(*table.name.split("."))
    with pytest.raises(DataError, match="is gone from its catalog"):
        table.pin()


def test_glue_describes_a_delta_table_as_spark_and_athena_want_it(local_bucket: Callable[[str], str], tmp_path: Path) -> None:
    aws = AwsSettings.from_environment()
    glue = open_catalog(CatalogConnection(kind="catalog", catalog="glue", warehouse=f"s3://{local_bucket('lake')}/w"), aws, tmp_path)
    table = table_of(glue, "delta")
    found = client("glue", aws).get_table(DatabaseName="ops", Name=table.name.split(".")[1])["Table"]
    assert {"table_type": "DELTA", "spark.sql.sources.provider": "delta"}.items() <= found["Parameters"].items()
    assert found["StorageDescriptor"]["SerdeInfo"]["Parameters"]["path"] == found["StorageDescriptor"]["Location"] == table.location
    assert {c["Name"]: c["Type"] for c in found["StorageDescriptor"]["Columns"]}["local"] == "timestamp"


def test_a_catalog_that_does_not_answer_is_named(tmp_path: Path) -> None:
    aws = AwsSettings(endpoint_url="http://127.0.0.1:9", access_key_id="test", secret_access_key=Secret("test"), attempts=2)
    catalog = open_catalog(CatalogConnection(kind="catalog", catalog="glue", warehouse="s3://lake/w"), aws, tmp_path)
    with pytest.raises(ConnectionFailedError, match=r"s3://lake/w could not be reached"):
        catalog.table("ops", "flights")
