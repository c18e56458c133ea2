"""A light batch's work, in the driver: only what it must read or rewrite of a heavy table is the executors'."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from penstock.changes.facts import listed
from penstock.config import AwsSettings
from penstock.engines.embedded.files import Writer
from penstock.engines.embedded.routing import FilledSlot
from penstock.engines.embedded.session import EmbeddedSession
from penstock.errors import TooHeavyError
from penstock.schema import quote
from penstock.tables import DataFile, LakeTable, Pinned, WrittenDeletes, WrittenFile

from .reading import FILE, ROW
from .session import SparkBatchSession
from .slot_writing import SlotWriting, slot_tasks, written_by_executors

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_FOUND = "__found_far"
_CHUNK_ROWS = 10_000
_TOO_MUCH = "spark.driver.maxResultSize"


class DriverSession(EmbeddedSession):
    """The relations of a batch are the driver's. Files of `least_bytes` together are for a session of the `cluster`, which is asked for when one is needed."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, aws: AwsSettings, cluster: Callable[[], SparkBatchSession], least_bytes: int) -> None:
        super().__init__(connection, aws)
        self._cluster, self._least_bytes = cluster, least_bytes

    def locate(self, name: str, wanted: str | None, table: LakeTable, pinned: Pinned, keys: Sequence[str], columns: Iterable[str]) -> None:
        """As on one machine; raises TooHeavyError where rows are wanted that are too many to be brought here."""
        if wanted is None and self._is_heavy(self.files(table, pinned)):
            raise TooHeavyError(f"all rows of {table.name} are wanted")
        super().locate(name, wanted, table, pinned, keys, columns)

    def _find(self, name: str, wanted: str, table: LakeTable, pinned: Pinned, held: Sequence[DataFile], keys: Sequence[str], columns: Sequence[str]) -> None:
        find = self._bring if self._is_heavy(held) else super()._find
        find(name, wanted, table, pinned, held, keys, columns)

    def _find_sequences(
        self, name: str, wanted: str, table: LakeTable, pinned: Pinned, held: Sequence[DataFile], keys: Sequence[str], sequence: Sequence[str], least: object
    ) -> None:
        if self._is_heavy(held):
            self._bring(name, wanted, table, pinned, held, keys, (*keys, *sequence))
        else:
            super()._find_sequences(name, wanted, table, pinned, held, keys, sequence, least)

    def _write_slots(
        self, writer: Writer, table: LakeTable, pinned: Pinned, keys: Sequence[str], filled: Sequence[FilledSlot], thin: Sequence[DataFile]
    ) -> tuple[list[WrittenFile], Sequence[WrittenDeletes]]:
        replaced = [f for one in filled for f in one.slot.files]
        if not self._is_heavy(replaced):
            return super()._write_slots(writer, table, pinned, keys, filled, thin)
        new = self._in_parts(f"SELECT __slot, {self._typed(pinned, writer.columns)} FROM assigned ORDER BY __slot")
        tasks = slot_tasks(table, filled, new, self._in_parts(f"SELECT {FILE}, {ROW} FROM gone ORDER BY ALL"), writer.tag)
        try:
            added = written_by_executors(self._cluster().spark, SlotWriting.of(table, pinned, keys, self._aws), tasks)
        except TooHeavyError:  # one task, for an executor: the driver has more memory
            return super()._write_slots(writer, table, pinned, keys, filled, thin)
        return added, writer.write_beside(thin, [])[1]

    def _in_parts(self, query: str) -> pa.Table:
        """Arrow rows in chunks that hold less than 2 GB of texts, as they must."""
        return self._connection.execute(query).to_arrow_reader(_CHUNK_ROWS).read_all()

    def _is_heavy(self, files: Iterable[DataFile]) -> bool:
        return sum(f.bytes for f in files) >= self._least_bytes

    def _bring(self, name: str, wanted: str, table: LakeTable, pinned: Pinned, files: Sequence[DataFile], keys: Sequence[str], columns: Sequence[str]) -> None:
        """Name the stored rows of wanted keys, which executors find."""
        among = self.query(f"SELECT DISTINCT {self._typed(pinned, keys)} FROM ({wanted})")
        try:
            found = self._cluster().gather(among, table, pinned, files, columns)
        except Exception as error:
            if _TOO_MUCH in str(error):
                raise TooHeavyError(f"the rows of {table.name} that a batch touches are more than {_TOO_MUCH} lets through") from error
            raise
        self.load(_FOUND, found)
        self.name(name, f"SELECT {self._typed(pinned, columns)}, {listed('{0}', (FILE, ROW))} FROM {_FOUND}")

    def _typed(self, pinned: Pinned, columns: Sequence[str]) -> str:
        return ", ".join(f"CAST({quote(c)} AS {self._type(pinned, c)}) AS {quote(c)}" for c in columns)
