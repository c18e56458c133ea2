"""Files of an unload as a table of Glue: each partition, or the whole table, is turned over in one call to the folder of the newest batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from penstock.connectors.paths import partition_values
from penstock.errors import ArgumentError, WarehouseError

T = TypeVar("T")
Typed = Sequence[tuple[str, str]]
_PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
}
_STEP, _BATCH = "penstock.step", "penstock.batch"


@dataclass(frozen=True)
class Export:
    """What one batch of a step unloaded: Parquet files (their URIs) below `folder`, in Hive's folders by `keys`. Types are Hive's.

    `steps`: the step's keys, the present one first.
    """

    database: str
    table: str
    steps: Sequence[str]
    batch: int
    folder: str
    files: Sequence[str]
    columns: Typed
    keys: Typed = ()

    def partitions(self) -> Mapping[tuple[str, ...], str]:
        """The values of each partition that has files, and its folder. Raises WarehouseError for folders that name others."""
        found = {}
        for folder in {uri.rpartition("/")[0] for uri in self.files} if self.keys else ():
            values = partition_values(folder.removeprefix(self.folder), [n for n, _ in self.keys])
            if values is None:
                raise WarehouseError(f"{folder}/ does not name the partitions {', '.join(n for n, _ in self.keys)}, as Hive's folders do")
            found[values] = f"{folder}/"
        return found


def publish(glue: Any, export: Export) -> None:
    """Make the table what the batch is; done again it changes nothing.

    Partitions that are new or changed come before those that are gone go. Raises ArgumentError for a table that another made.
    """
    _save(glue, export, is_there=_is_ours(glue, export))
    if not export.keys:
        return
    now = {tuple(p["Values"]): p["StorageDescriptor"]["Location"] for p in _partitions(glue, export)}
    wanted = export.partitions()
    of_table = {"DatabaseName": export.database, "TableName": export.table}
    inputs = {v: {"Values": list(v), "StorageDescriptor": _described(export, folder)} for v, folder in wanted.items()}
    _done(lambda part: glue.batch_create_partition(**of_table, PartitionInputList=part), [inputs[v] for v in wanted if v not in now], 100)
    changed = [{"PartitionValueList": list(v), "PartitionInput": inputs[v]} for v in wanted if now.get(v) not in (None, wanted[v])]
    _done(lambda part: glue.batch_update_partition(**of_table, Entries=part), changed, 100)
    _done(lambda part: glue.batch_delete_partition(**of_table, PartitionsToDelete=part), [{"Values": list(v)} for v in now if v not in wanted], 25)


def _is_ours(glue: Any, export: Export) -> bool:
    """Whether the table is there."""
    try:
        found = glue.get_table(DatabaseName=export.database, Name=export.table)["Table"]
    except glue.exceptions.EntityNotFoundException:
        return False
    if found.get("Parameters", {}).get(_STEP) not in export.steps:
        raise ArgumentError(
            f"Glue's table {export.database}.{export.table} was not made by step {export.steps[0]}", hint="name another table, or drop that one"
        )
    return True


def _save(glue: Any, export: Export, *, is_there: bool) -> None:
    table = {
        "Name": export.table,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet", _STEP: export.steps[0], _BATCH: str(export.batch)},
        "StorageDescriptor": _described(export, export.folder),
        "PartitionKeys": [{"Name": n, "Type": t} for n, t in export.keys],
    }
    if is_there:
        glue.update_table(DatabaseName=export.database, TableInput=table)
        return
    with suppress(glue.exceptions.AlreadyExistsException):
        glue.create_database(DatabaseInput={"Name": export.database})
    glue.create_table(DatabaseName=export.database, TableInput=table)


def _described(export: Export, location: str) -> dict[str, Any]:
    return {"Columns": [{"Name": n, "Type": t} for n, t in export.columns], "Location": location, **_PARQUET}


def _partitions(glue: Any, export: Export) -> Iterator[Mapping[str, Any]]:
    for page in glue.get_paginator("get_partitions").paginate(DatabaseName=export.database, TableName=export.table):
        yield from page["Partitions"]


def _done(call: Callable[[Sequence[T]], Mapping[str, Any]], items: Sequence[T], most: int) -> None:
    """Raises WarehouseError for the first item that Glue did not take."""
    for i in range(0, len(items), most):
        for error in call(items[i : i + most]).get("Errors", ()):
            told = error["ErrorDetail"]
            values = error.get("PartitionValues", error.get("PartitionValueList"))
            raise WarehouseError(f"Glue did not take partition {values}: {told['ErrorCode']}: {told.get('ErrorMessage', '')}", hint="run again")
