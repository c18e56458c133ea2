"""Delta's deletion vectors: those that Penstock writes, in the log and on disk, and those that it finds."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from keyed import COLUMNS, as_delta_rs_reads, ids, written

from penstock.config import AwsSettings
from penstock.connections import CatalogConnection
from penstock.connectors.catalogs import Catalog, open_catalog
from penstock.connectors.delta.deletion_vectors import Descriptor, Vectors, decoded, encoded
from penstock.connectors.stores import store_at
from penstock.engines import deleting
from penstock.errors import NotSupportedError, SourceError
from penstock.tables import DataFile, Design, LakeTable, PartitionField

# Spark 4.1.1 with Delta 4.2.0 wrote this for rows 3, 13 ... 93 of a file
OF_SPARK = bytes.fromhex("0100000034d1d339640100000000000000000000003a30000001000000000009001000000003000d00170021002b0035003f00490053005d00857dc826")


@pytest.fixture(autouse=True)
def _every_file_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deleting, "LARGE_ROWS", 1)
    monkeypatch.setattr(deleting, "MOST_DELETED", 0.9)


@pytest.fixture
def folder(tmp_path: Path) -> Catalog:
    return open_catalog(CatalogConnection(kind="catalog", catalog="sqlite", warehouse="warehouse"), AwsSettings(), tmp_path)


@pytest.fixture
def table(folder: Catalog) -> LakeTable:
    """Rows 0 to 29 in three partitions, one file each."""
    made = folder.create("ops", "t", "delta", COLUMNS, (PartitionField("identity", "part"),), design=Design(position_deletes=True))
    written(made, [{"id": i, "part": "a/b"[: 1 + i % 3], "v": "new"} for i in range(30)])
    return made


def log(table: LakeTable, version: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(table.location) / "_delta_log" / f"{version:020}.json").read_text().splitlines()]


def put(table: LakeTable, *actions: dict[str, Any]) -> None:
    version = (table.pin().version or 0) + 1
    (Path(table.location) / "_delta_log" / f"{version:020}.json").write_text("".join(json.dumps(a) + "\n" for a in actions))


def bins(table: LakeTable) -> list[Path]:
    return list(Path(table.location).rglob("deletion_vector_*.bin"))


SHAPES = {
    "one": [0], "sparse": list(range(5, 10**6, 9973)), "dense": list(range(0, 200_000, 2)), "runs": [*range(10, 70_000), *range(80_000, 90_000)],
    "beyond 2^32": [1, 2**32 + 5, 2**33],
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_positions_come_back(shape: str) -> None:
    data = encoded(pa.chunked_array([SHAPES[shape]], pa.int64()))
    assert list(decoded(data, "here")) == SHAPES[shape]
    assert shape != "runs" or len(data) < 100, "a run is two numbers, however long"


def test_vectors_of_spark_are_read(tmp_path: Path) -> None:
    name = uuid.uuid4()
    (tmp_path / f"deletion_vector_{name}.bin").write_bytes(OF_SPARK)
    vector = Descriptor("p", f"file://{tmp_path}/deletion_vector_{name}.bin", 52, 10, 1)
    assert Vectors("/elsewhere", store_at("/elsewhere", AwsSettings()), AwsSettings()).positions(vector).to_pylist() == list(range(3, 100, 10))


def test_what_is_written_names_its_file_as_the_specification_does() -> None:
    """The example of Delta's PROTOCOL.md."""
    vector = Descriptor("u", "ab^-aqEH.-t@S}K{vb[*k^", 40, 6, 4)
    assert vector.file("s3://mytable") == "s3://mytable/ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin"
    assert Descriptor("p", "s3a://mytable/d.bin", 40, 6, 4).file("s3://mytable") == "s3://mytable/d.bin", "a sweep compares it with what lies there"


def test_all_vectors_of_a_commit_lie_in_one_file_and_the_log_has_the_files_anew(table: LakeTable) -> None:
    before = {f.uri: f for f in table.files(table.pin())}
    written(table, deleted=[0, 3, 7, 29])
    assert ids(table) == as_delta_rs_reads(table) == [i for i in range(30) if i not in (0, 3, 7, 29)]
    files = {f.uri: f for f in table.files(table.pin())}
    assert {u: (f.rows, f.deleted, f.lower, f.upper, f.partition) for u, f in files.items()} == {
        u: (10 - n, n, before[u].lower, before[u].upper, before[u].partition) for u, n in zip(sorted(before), (2, 1, 1), strict=True)
    }
    assert len(bins(table)) == 1
    actions = log(table, 2)
    removes, adds = ({a[kind]["path"]: a[kind] for a in actions if kind in a} for kind in ("remove", "add"))
    assert set(removes) == set(adds)
    assert not [r for r in removes.values() if "deletionVector" in r]
    for add in adds.values():
        stats = json.loads(add["stats"])
        assert (stats["numRecords"], stats["tightBounds"], set(stats["minValues"])) == (10, False, {"id", "v"})
    written(table, [{"id": 6, "part": "a", "v": "changed"}], deleted=[9])
    (again,) = (a["remove"] for a in log(table, 3) if "remove" in a)
    assert again["deletionVector"] == adds[again["path"]]["deletionVector"], "a file is known by its path and its vector"
    assert (len(ids(table)), as_delta_rs_reads(table), ids(table, 2)[:3]) == (25, ids(table), [1, 2, 4])


def test_a_table_whose_readers_know_no_vectors_gets_none(folder: Catalog, table: LakeTable) -> None:
    plain = folder.create("ops", "plain", "delta", COLUMNS)
    written(plain, [{"id": i, "part": "a", "v": "new"} for i in range(10)])
    written(plain, deleted=[1])
    assert (plain.design.position_deletes, bins(plain), ids(plain)) == (False, [], [0, *range(2, 10)])
    assert [a["protocol"] for a in log(plain, 0) if "protocol" in a] == [{"minReaderVersion": 1, "minWriterVersion": 2}]
    written(table, deleted=[0])
    table.pin().native.alter.set_table_properties({"delta.enableDeletionVectors": "false"})  # type: ignore[attr-defined]
    written(table, deleted=[3])
    assert (table.design.position_deletes, len(bins(table))) == (False, 1)
    assert not [f for f in table.files(table.pin()) if f.deletes], "the one thinned file was rewritten"
    assert ids(table) == as_delta_rs_reads(table) == [i for i in range(30) if i not in (0, 3)]


def with_vector(table: LakeTable, file: DataFile, vector: Descriptor) -> None:
    """As another writer would put it."""
    logged: Any = file.native
    remove = {"remove": {"path": logged["path"], "deletionTimestamp": 1, "dataChange": True}}
    put(table, {"add": {**logged, "dataChange": True, "deletionVector": vector.logged}}, remove)


def test_a_vector_in_the_log_itself_is_read_and_written_upon(table: LakeTable) -> None:
    data = encoded(pa.chunked_array([[0, 2]], pa.int64()))
    z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    b85 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
    text = base64.b85encode(data, pad=True).translate(bytes.maketrans(b85, z85)).decode()
    (file,) = (f for f in table.files(table.pin()) if f.partition == ("a",))
    with_vector(table, file, Descriptor("i", text, len(data), 2))
    held: list[int] = pq.read_table(file.uri, columns=["id"])["id"].to_pylist()
    left = sorted({*range(30)} - {held[0], held[2]})
    assert ids(table) == as_delta_rs_reads(table) == left
    written(table, deleted=[held[3]])
    assert ids(table) == as_delta_rs_reads(table) == [i for i in left if i != held[3]]


def test_vectors_that_are_damaged_or_gone_stop_the_reader(table: LakeTable) -> None:
    written(table, deleted=[0, 3])
    (path,) = bins(table)
    content = path.read_bytes()
    for damage, error, text in (
        (content[:20] + bytes([content[20] ^ 1]) + content[21:], SourceError, "the checksum"), (content[:10], SourceError, "the checksum"),
        (b"\2" + content[1:], NotSupportedError, "version 02"), (None, SourceError, "are gone"),
    ):  # fmt: skip
        path.unlink(missing_ok=True)
        if damage is not None:
            path.write_bytes(damage)
        with pytest.raises(error, match=text):
            ids(fresh(table))


def fresh(table: LakeTable) -> LakeTable:
    """The table as a process that has read nothing of it yet opens it."""
    from penstock.connectors.delta.table import DeltaTable

    return DeltaTable(table.name, table.location, AwsSettings())


@pytest.mark.parametrize(
    ("data", "text"), [(b"\0\0\0\0abcd", "the format 0"), (encoded(pa.chunked_array([[1, 2]], pa.int64()))[:-3], "is damaged")], ids=["magic", "short"]
)
def test_what_is_no_vector_is_named(data: bytes, text: str) -> None:
    with pytest.raises((NotSupportedError, SourceError), match=text):
        decoded(data, "here")


def test_a_vector_with_fewer_positions_than_the_log_says_is_refused(table: LakeTable) -> None:
    written(table, deleted=[0, 3])
    (file,) = (f for f in table.files(table.pin()) if f.deletes)
    vector: Any = file.deletes[0].native
    with_vector(table, file, replace(vector, cardinality=3))
    with pytest.raises(SourceError, match="holds 2 positions, and the log says 3"):
        ids(table)


def test_vectors_outlive_checkpoints_and_the_cleaning_of_the_log(table: LakeTable) -> None:
    """Every twentieth commit is a checkpoint; what came before it may be gone."""
    for i in range(24):
        written(table, deleted=[i])
    logs = sorted((Path(table.location) / "_delta_log").glob("*.json"))
    assert [p.name for p in (Path(table.location) / "_delta_log").glob("*.checkpoint.parquet")] == [f"{20:020}.checkpoint.parquet"]
    for path in logs[:20]:
        path.unlink()
    again = fresh(table)
    assert ids(again) == as_delta_rs_reads(table) == list(range(24, 30))
    assert ids(again, 22) == list(range(21, 30))
    assert dict(again.pin().ledger) == {"p/s": 25}


@pytest.mark.parametrize("form", ["parts", "v2", "v2-json", "no hint"])
def test_checkpoints_of_every_form_hold_vectors(table: LakeTable, form: str) -> None:
    """A checkpoint of delta-rs, put in the forms that other writers give it; the log before it is gone."""
    written(table, deleted=[0, 3, 7])
    folder = Path(table.location) / "_delta_log"
    table.pin().native.create_checkpoint()  # type: ignore[attr-defined]
    (whole,) = folder.glob("*.checkpoint.parquet")
    found, stem = pq.read_table(whole), f"{2:020}.checkpoint"
    hint: dict[str, Any] = {"version": 2, "size": found.num_rows}
    (folder / "_last_checkpoint").unlink()
    for path in folder.glob("*.json"):
        path.unlink()
    if form == "parts":
        for part, rows in enumerate((found.slice(0, 4), found.slice(4)), 1):
            pq.write_table(rows, folder / f"{stem}.{part:010}.{2:010}.parquet")
        hint["parts"] = 2
    elif form.startswith("v2"):
        put_v2(folder, stem, found, as_json=form == "v2-json")
    if form != "no hint":
        whole.unlink()
        (folder / "_last_checkpoint").write_text(json.dumps(hint))
    assert ids(fresh(table)) == as_delta_rs_reads(table) == [i for i in range(30) if i not in (0, 3, 7)]
    written(fresh(table), deleted=[1])
    assert ids(fresh(table)) == as_delta_rs_reads(table) == [i for i in range(30) if i not in (0, 1, 3, 7)]


def put_v2(folder: Path, stem: str, found: pa.Table, *, as_json: bool) -> None:
    """The manifest holds protocol, metadata and transactions, and names a file that holds the rest."""
    import pyarrow.compute as pc

    of_files = pc.or_(found["add"].is_valid(), found["remove"].is_valid())
    (folder / "_sidecars").mkdir()
    sidecar = folder / "_sidecars" / f"{uuid.uuid4()}.parquet"
    pq.write_table(found.filter(of_files).select(["add", "remove"]), sidecar)
    named = {"path": sidecar.name, "sizeInBytes": sidecar.stat().st_size, "modificationTime": 1}
    rows = [{k: v for k, v in row.items() if v is not None} for row in found.filter(pc.invert(of_files)).to_pylist(maps_as_pydicts="strict")]
    for row in rows:
        if "protocol" in row:
            for features in ("readerFeatures", "writerFeatures"):
                row["protocol"][features] = [*(row["protocol"][features] or ()), "v2Checkpoint"]
    rows += [{"sidecar": named}, {"checkpointMetadata": {"version": 2}}]
    uri = folder / f"{stem}.{uuid.uuid4()}.{'json' if as_json else 'parquet'}"
    if as_json:
        uri.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return
    metadata = pa.struct({"version": pa.int64()})
    schema = pa.schema([f for f in found.schema if f.name not in ("add", "remove", "checkpointMetadata")] + [pa.field("checkpointMetadata", metadata)])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), uri)
