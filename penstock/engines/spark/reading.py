"""Data files of lake tables as DataFrames, with the file and the place in it that each row has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from penstock.schema import Column, backquote
from penstock.tables import DataFile, FieldId, LakeTable, Pinned

from .arrow import framed

FILE, ROW = "__file", "__row"
PLACE = (Column.parse(FILE, "string"), Column.parse(ROW, "bigint"))
BROADCAST_ROWS = 2_000_000  # keys, or positions: some 100 MB on every executor
_SPELLED = "__spelled"
SPELLED = f"_metadata.file_path AS {_SPELLED}"
_BEGINS = " ".join(f"WHEN startswith({_SPELLED}, '{head}') THEN substr({_SPELLED}, {len(head)})" for head in ("file:///", "file:/"))
_HERE = f"CASE {_BEGINS} ELSE {_SPELLED} END"
# from SPELLED: the path as it is, not as a URI has it: '+' is itself there. Few must be decoded, which takes ten times as long as to see that they need not
PATH = f"CASE WHEN contains({_SPELLED}, '%') THEN url_decode(replace({_HERE}, '+', '%2B')) ELSE {_HERE} END"


def struct(columns: Iterable[Column]) -> Any:
    """A schema of which all may be NULL, as in the files."""
    from pyspark.sql.types import StructType

    from penstock.schema import DataType

    return StructType.fromJson(DataType("struct", fields=tuple(columns)).nullable.delta)


@dataclass(frozen=True)
class Wanted:
    """Rows whose keys are among those of a DataFrame."""

    among: Any
    keys: tuple[str, ...]

    def of(self, rows: Any) -> Any:
        """In the order of the rows' own columns; a join by names has the keys first."""
        found = rows.join(self.among.select(*map(backquote, self.keys)), list(self.keys), "left_semi")
        return found.select(*map(backquote, rows.columns))


def _numbered(columns: Iterable[Column], numbers: Mapping[str, FieldId]) -> tuple[Any, list[str]]:
    """A schema that finds columns by their field ids, and what gives each its name: read under names that no file has, else Spark takes those instead."""
    schema, named = struct(columns), []
    for field in schema.fields:
        field.metadata, own = {"parquet.field.id": numbers[field.name].number}, field.name
        field.name = f"__field_{numbers[own].number}"
        named.append(f"{field.name} AS {backquote(own)}")
    return type(schema)(schema.fields), named


def rows_of(spark: Any, table: LakeTable, pinned: Pinned, files: Sequence[DataFile], columns: Sequence[str], only: Wanted | None = None) -> Any:
    """The rows of some files that are not deleted, those that are wanted alone: the columns, FILE and ROW.

    Wanted rows are found first: what tells where a row lies, and whether it is deleted, is then reckoned for those alone.
    """
    wanted = [c for c in pinned.columns if c.name in columns]
    types = {c.name: c.type.spark for c in wanted}
    if not files:
        return spark.createDataFrame([], struct([*wanted, Column.parse(FILE, "string"), Column.parse(ROW, "bigint")]))
    if len(alike := {(frozenset(x.outside), x.by_number) for x in files}) > 1:
        groups = ([x for x in files if (frozenset(x.outside), x.by_number) == these] for these in alike)
        return reduce(lambda a, b: a.unionByName(b), (rows_of(spark, table, pinned, group, columns, only) for group in groups))
    numbers, absent = table.layout(pinned).field_ids, files[0].outside
    inside = [c for c in wanted if c.name not in absent]
    schema, named = (
        _numbered(inside, numbers) if (pinned.is_read_by_number or files[0].by_number) and numbers else (struct(inside), [backquote(c.name) for c in inside])
    )
    read = spark.read.schema(schema).parquet(*(x.uri for x in files))
    rows = read.selectExpr(*named, SPELLED, f"_metadata.row_index AS {ROW}")
    early = only if only and absent.keys().isdisjoint(only.keys) else None
    rows = (early.of(rows) if early else rows).selectExpr(*(backquote(c.name) for c in inside), f"{PATH} AS {FILE}", ROW)
    if any(x.deletes for x in files):
        rows = rows.join(deleted_rows(spark, files).hint("broadcast"), [FILE, ROW], "left_anti")
    if outside := [c for c in columns if c in absent]:
        places = spark.createDataFrame([(x.uri, *(_text(x.outside[c]) for c in outside)) for x in files], _strings([FILE, *outside]))
        typed = places.selectExpr(FILE, *(f"CAST({backquote(c)} AS {types[c]}) AS {backquote(c)}" for c in outside))
        rows = rows.join(typed.hint("broadcast"), FILE)
    found = rows.select(*(backquote(c) for c in (*columns, FILE, ROW)))
    return only.of(found) if only and not early else found


def deleted_rows(spark: Any, files: Sequence[DataFile], *, own: bool = False) -> Any:
    """FILE and ROW of the rows that are deleted in files; with `own` as far as delete files of their own say."""
    chosen = [(x, d) for x in files for d in x.deletes if d.is_own or not own]
    lying = sorted({d.uri for _, d in chosen if d.positions is None})
    found = spark.createDataFrame([], f"{FILE} STRING, {ROW} BIGINT")
    if lying:
        spelled = spark.createDataFrame(sorted({(x.spelled, x.uri) for x in files}), _strings(["file_path", FILE]))
        found = found.unionByName(spark.read.parquet(*lying).join(spelled, "file_path").selectExpr(FILE, f"pos AS {ROW}"))
    for x, d in chosen:
        if d.positions is not None:
            found = found.unionByName(framed(spark, _positions(x.uri, d.positions())))
    return found


def _positions(uri: str, positions: Any) -> Any:
    import pyarrow as pa

    return pa.table({FILE: pa.repeat(uri, len(positions)), ROW: positions.cast(pa.int64())})


def _strings(columns: Iterable[str]) -> str:
    return ", ".join(f"{backquote(c)} STRING" for c in columns)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
