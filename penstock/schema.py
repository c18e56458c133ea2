"""Columns and types: Spark SQL's names, and what each becomes in DuckDB, Iceberg, Delta and Redshift."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.errors import ArgumentError, choice

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Names:
    """One type's name in each system."""

    duckdb: str
    iceberg: str
    delta: str
    redshift: str
    arrow: str


_TYPES = {
    "boolean": Names("BOOLEAN", "boolean", "boolean", "BOOLEAN", "bool_"),
    "int": Names("INTEGER", "int", "integer", "INTEGER", "int32"),
    "bigint": Names("BIGINT", "long", "long", "BIGINT", "int64"),
    "float": Names("FLOAT", "float", "float", "REAL", "float32"),
    "double": Names("DOUBLE", "double", "double", "DOUBLE PRECISION", "float64"),
    "string": Names("VARCHAR", "string", "string", "VARCHAR(65535)", "string"),
    "binary": Names("BLOB", "binary", "binary", "VARBYTE(65535)", "binary"),
    "date": Names("DATE", "date", "date", "DATE", "date32"),
    "timestamp": Names("TIMESTAMPTZ", "timestamptz", "timestamp", "TIMESTAMPTZ", "timestamptz"),
    "timestamp_ntz": Names("TIMESTAMP", "timestamp", "timestamp_ntz", "TIMESTAMP", "timestamp"),
}
_DECIMAL = re.compile(r"decimal\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")


@dataclass(frozen=True)
class DataType:
    """A column's type by its Spark SQL name; `precision` and `scale` are set for decimals only."""

    name: str
    precision: int = 0
    scale: int = 0

    @classmethod
    def parse(cls, text: str) -> DataType:
        """Read `bigint` or `decimal(12,2)`; raises ArgumentError naming what is allowed."""
        word = text.strip().lower()
        if found := _DECIMAL.fullmatch(word):
            precision, scale = int(found[1]), int(found[2])
            if not (1 <= precision <= 38 and scale <= precision):
                raise ArgumentError(f"{text!r}: a decimal has 1 to 38 digits and a scale no greater than that")
            return cls("decimal", precision, scale)
        if word not in _TYPES:
            raise ArgumentError(f"type {choice(text, [*_TYPES, 'decimal(p,s)'])}")
        return cls(word)

    def __str__(self) -> str:
        return f"decimal({self.precision},{self.scale})" if self.name == "decimal" else self.name

    @property
    def _names(self) -> Names:
        if self.name == "decimal":
            digits = f"({self.precision},{self.scale})"
            return Names(f"DECIMAL{digits}", f"decimal({self.precision}, {self.scale})", f"decimal{digits}", f"DECIMAL{digits}", "decimal128")
        return _TYPES[self.name]

    @property
    def duckdb(self) -> str:
        return self._names.duckdb

    @property
    def iceberg(self) -> str:
        return self._names.iceberg

    @property
    def delta(self) -> str:
        return self._names.delta

    @property
    def redshift(self) -> str:
        return self._names.redshift

    def arrow(self) -> pa.DataType:
        import pyarrow as pa

        match self.name:
            case "decimal":
                return pa.decimal128(self.precision, self.scale)
            case "timestamp":
                return pa.timestamp("us", tz="UTC")
            case "timestamp_ntz":
                return pa.timestamp("us")
            case _:
                return getattr(pa, self._names.arrow)()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Column:
    """A named, typed column; `required` columns never hold NULL (`bigint!` in a pipeline file)."""

    name: str
    type: DataType
    required: bool = False

    @classmethod
    def parse(cls, name: str, text: str) -> Column:
        return cls(name, DataType.parse(text.removesuffix("!")), text.rstrip().endswith("!"))

    def __str__(self) -> str:
        return f"{self.name} {self.type}{'!' if self.required else ''}"


Columns = tuple[Column, ...]


def names(columns: Iterable[Column]) -> tuple[str, ...]:
    return tuple(c.name for c in columns)


def arrow_schema(columns: Iterable[Column]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([pa.field(c.name, c.type.arrow(), nullable=not c.required) for c in columns])


def quote(name: str) -> str:
    """An identifier quoted as DuckDB, PostgreSQL and Redshift read it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string literal as SQL reads it."""
    return "'" + text.replace("'", "''") + "'"


def name_fault(name: str) -> str:
    """Why a name of a column, a table or a namespace cannot be one everywhere; empty where it can."""
    if not name or name != name.strip():
        return "a name is not empty, and has no blank at its ends"
    wrong = sorted({c for c in name if c in '"\\' or not (c.isprintable() or c == " ")})
    return f"a name holds no {', '.join(map(repr, wrong))}" if wrong else ""


def same_but_for_case(found: Iterable[str]) -> tuple[str, str] | None:
    """The first two names that DuckDB, Spark and Delta take for one."""
    seen: dict[str, str] = {}
    for name in found:
        if (other := seen.setdefault(name.lower(), name)) != name:
            return other, name
    return None


HIDDEN = "__"


_INTERVAL = ("__start_at", "__end_at")


def is_reserved(name: str) -> bool:
    """True for names that columns of a user may not have."""
    return name.startswith(HIDDEN)


def is_hidden(name: str) -> bool:
    """True for the columns that Penstock adds to a table: plans, copies and queries leave them out unless named. The ends of versions are shown."""
    return is_reserved(name) and not name.startswith(_INTERVAL)


def sequence_columns(types: Iterable[DataType]) -> Columns:
    """The hidden columns that hold a row's sequence, one a part."""
    return tuple(Column(f"__sequence_{i + 1}", t) for i, t in enumerate(types))


def interval_columns(types: Sequence[DataType]) -> Columns:
    """The columns of a version's two ends, one a part of the sequence; numbered where it has several."""
    numbers = [""] if len(types) == 1 else [f"_{i + 1}" for i in range(len(types))]
    return tuple(Column(f"{end}{number}", t) for end in _INTERVAL for number, t in zip(numbers, types, strict=True))


BIGINT = DataType("bigint")
