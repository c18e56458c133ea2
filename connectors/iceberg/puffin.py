"""Puffin files of theta sketches, which tell planners of joins how many distinct values a snapshot's columns have."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from penstock.sketches import Sketch

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot
    from pyiceberg.table.statistics import BlobMetadata, StatisticsFile

_MAGIC, _NO_FLAGS = b"PFA1", bytes(4)
_THETA = "apache-datasketches-theta-v1"


def described_columns(table: Table) -> Mapping[int, frozenset[int]]:
    """The numbers of the columns of which each described snapshot has a sketch."""
    return {s.snapshot_id: frozenset(n for b in s.blob_metadata if b.type == _THETA for n in b.fields) for s in table.metadata.statistics}


def write_sketches(table: Table, snapshot: Snapshot, sketches: Mapping[int, Sketch]) -> StatisticsFile:
    """Write the sketches of columns, by their numbers, and those that the table has of others, to a file that no reader sees before its metadata names it."""
    from pyiceberg.table.statistics import StatisticsFile

    path = table.location_provider().new_metadata_location(f"{snapshot.snapshot_id}-{uuid.uuid4()}.stats")
    there = [(blob, payload) for blob, payload in _told(table, snapshot) if not {*blob.fields} & {*sketches}]
    blobs = [*(blob for blob, _ in there), *(_blob(snapshot, number, sketch) for number, sketch in sketches.items())]
    data, footer = _puffin([*(payload for _, payload in there), *(sketch.compact for sketch in sketches.values())], blobs)
    with table.io.new_output(path).create() as stream:
        stream.write(data + footer)
    return StatisticsFile.model_validate(
        {
            "snapshot-id": snapshot.snapshot_id,
            "statistics-path": path,
            "file-size-in-bytes": len(data) + len(footer),
            "file-footer-size-in-bytes": len(footer),
            "blob-metadata": blobs,
        }
    )


def _told(table: Table, snapshot: Snapshot) -> Iterator[tuple[BlobMetadata, bytes]]:
    """What the table says of the snapshot already."""
    from pyiceberg.table.puffin import PuffinFile

    for file in (s for s in table.metadata.statistics if s.snapshot_id == snapshot.snapshot_id):
        with table.io.new_input(file.statistics_path).open() as stream:
            puffin = PuffinFile(stream.read())
        payloads = {tuple(b.fields): puffin.get_blob_payload(b) for b in puffin.footer.blobs if b.type == _THETA}
        yield from ((blob, payloads[tuple(blob.fields)]) for blob in file.blob_metadata if blob.type == _THETA)


def _blob(snapshot: Snapshot, number: int, sketch: Sketch) -> BlobMetadata:
    from pyiceberg.table.statistics import BlobMetadata

    said = {"type": _THETA, "snapshot-id": snapshot.snapshot_id, "sequence-number": snapshot.sequence_number, "fields": [number]}
    return BlobMetadata.model_validate(said | {"properties": {"ndv": str(sketch.estimate)}})


def _puffin(payloads: Collection[bytes], blobs: Collection[BlobMetadata]) -> tuple[bytes, bytes]:
    """The blobs, and the footer."""
    placed, offset = [], len(_MAGIC)
    for payload, blob in zip(payloads, blobs, strict=True):
        placed.append(blob.model_dump(by_alias=True) | {"offset": offset, "length": len(payload)})
        offset += len(payload)
    said = json.dumps({"blobs": placed, "properties": {"created-by": "Penstock"}}).encode()
    return _MAGIC + b"".join(payloads), _MAGIC + said + len(said).to_bytes(4, "little") + _NO_FLAGS + _MAGIC
