"""The positions of deleted rows as relations, in whatever form a table's format keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from penstock.schema import literal
from penstock.tables import DataFile, DeleteFile
from penstock.threads import each

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


class Positions:
    """Parquet files of positions are read where they lie; what the format packs is unpacked into a table of the connection, once."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._unpacked: dict[DeleteFile, int] = {}
        self._kept: list[str] = []

    def of(self, files: Sequence[DataFile]) -> str:
        """A query for `path` (a data file's) and `pos`, of files that have deletes."""
        lying = sorted({d.uri for f in files for d in f.deletes if d.positions is None})
        packed = [(f, d) for f in files for d in f.deletes if d.positions is not None]
        parts = []
        if lying:
            spelled = ", ".join(f"({literal(f.spelled)}, {literal(f.uri)})" for f in files)
            found = f"read_parquet([{', '.join(map(literal, lying))}])"
            parts.append(f"SELECT n.path, p.pos FROM {found} p JOIN (VALUES {spelled}) n(spelled, path) ON p.file_path = n.spelled")
        if packed:
            self._unpack([d for _, d in packed])
            numbered = ", ".join(f"({self._unpacked[d]}, {literal(f.uri)})" for f, d in packed)
            parts.append(f"SELECT n.path, p.pos FROM __unpacked p JOIN (VALUES {numbered}) n(number, path) ON p.number = n.number")
        return " UNION ALL ".join(parts)

    def left(self, rows: str, files: Sequence[DataFile], *, few: bool) -> str:
        """A query for those of some rows of files, with `__file` and `__row`, that are not deleted; `few`: of many positions they meet a few.

        DuckDB looks the positions up among the rows, and not the rows among all positions, only where it knows how few rows there are.
        """
        if few:
            self._kept.append(f"__few_{len(self._kept)}")
            self._connection.execute(f"CREATE TABLE {self._kept[-1]} AS {rows}")
            rows = f"FROM {self._kept[-1]}"
        return f"FROM ({rows}) r ANTI JOIN ({self.of(files)}) d ON r.__file = d.path AND r.__row = d.pos"

    def let_go(self) -> None:
        """Of the rows that queries of `left` are over, which were asked and are not asked again."""
        for name in self._kept:
            self._connection.execute(f"DROP TABLE {name}")
        self._kept.clear()

    def own(self, files: Sequence[DataFile]) -> str | None:
        """A query for `path` and `pos` of what files of their own delete in data files; None where there are none."""
        own = (replace(f, deletes=tuple(d for d in f.deletes if d.is_own)) for f in files)
        return self.of([f for f in own if f.deletes]) or None

    def _unpack(self, deletes: Sequence[DeleteFile]) -> None:
        import pyarrow as pa

        missing = [d for d in deletes if d not in self._unpacked]
        self._connection.execute("CREATE TABLE IF NOT EXISTS __unpacked (number INTEGER, pos BIGINT)")
        if not missing:
            return
        found = each(_positions, missing)
        self._unpacked |= {d: i for i, d in enumerate(missing, len(self._unpacked))}
        numbers = pa.concat_arrays([pa.repeat(pa.scalar(self._unpacked[d], pa.int32()), len(p)) for d, p in zip(missing, found, strict=True)])
        self._connection.register("__packed", pa.table({"number": numbers, "pos": pa.concat_arrays(found)}))
        self._connection.execute("INSERT INTO __unpacked FROM __packed")
        self._connection.unregister("__packed")


def _positions(deletes: DeleteFile) -> pa.Array[Any]:
    assert deletes.positions is not None
    return deletes.positions()
