"""A small keyed table, written by the engine without events, and read in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from penstock.config import AwsSettings
from penstock.engines.embedded.engine import EmbeddedEngine
from penstock.schema import Column
from penstock.tables import LakeTable

COLUMNS = (Column.parse("id", "bigint!"), Column.parse("part", "string"), Column.parse("v", "string"))


def written(table: LakeTable, rows: Sequence[dict[str, Any]] = (), deleted: Sequence[int] = ()) -> None:
    """One commit of the engine: rows that replace those of their keys, and keys that go."""
    pinned = table.pin()
    with EmbeddedEngine(AwsSettings()).session() as session:
        session.load("rows", pa.Table.from_pylist(list(rows), schema=pa.schema({"id": pa.int64(), "part": pa.string(), "v": pa.string()})))
        session.load("gone_keys", pa.table({"id": pa.array(deleted, pa.int64())}))
        session.execute("CREATE TABLE ups AS FROM rows")
        session.execute("CREATE TABLE dels AS FROM gone_keys")
        change = session.rewrite(table, pinned, "ups", "dels", "test")
    assert table.commit(pinned, replace(change, ledger={"p/s": (pinned.version or 0) + 1})).state == "done"


def ids(table: LakeTable, version: int | None = None) -> list[int]:
    with EmbeddedEngine(AwsSettings()).session() as session:
        session.scan("now", table, table.pin(version))
        return [r["id"] for r in session.query("SELECT id FROM now ORDER BY id").to_pylist()]


def as_delta_rs_reads(table: LakeTable) -> list[int]:
    from deltalake import DeltaTable

    return sorted(pa.table(DeltaTable(table.location).scan(columns=["id"]))["id"].to_pylist())
