"""Types by Spark SQL's names, and what each becomes in DuckDB, Iceberg, Delta, Hive and Redshift.

Struct, array and map hold other types as their `fields`: a struct's own, an array's `element`, a map's `key` and `value`. So each system is described
once for all depths.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from penstock.errors import ArgumentError, choice
from penstock.naming import backquote, name_fault, quote, same_but_for_case

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


_PRIMITIVE = {
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
_ALLOWED = (*_PRIMITIVE, "decimal(p,s)", "struct<name: type, ...>", "array<type>", "map<type, type>")
_DECIMAL = re.compile(r"decimal\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")
_TOKEN = re.compile(rf"\s*(?:({_DECIMAL.pattern})|(`(?:[^`]|``)*`)|([<>:,!])|([^\s<>:,!`]+))\s*", re.IGNORECASE)
_PLAIN = re.compile(r"\w+", re.ASCII)


@dataclass(frozen=True)
class _Spelling:
    """How a system writes nested types: the whole around its parts, what stands between them, and a struct's field by its name and its type's text."""

    struct: str
    array: str
    map: str
    field: Callable[[str, str], str]
    between: str = ", "


_OWN = _Spelling("struct<{}>", "array<{}>", "map<{}>", lambda name, text: f"{name if _PLAIN.fullmatch(name) else backquote(name)}: {text}")
_SPARK = _Spelling("struct<{}>", "array<{}>", "map<{}>", lambda name, text: f"{backquote(name)}: {text}")
_HIVE = _Spelling("struct<{}>", "array<{}>", "map<{}>", lambda name, text: f"{name}:{text}", ",")
_DUCKDB = _Spelling("STRUCT({})", "{}[]", "MAP({})", lambda name, text: f"{quote(name)} {text}")


@dataclass(frozen=True)
class DataType:
    """A column's type by its Spark SQL name; `precision` and `scale` are set for decimals only, `fields` for struct, array and map only."""

    name: str
    precision: int = 0
    scale: int = 0
    fields: tuple[Column, ...] = ()

    @classmethod
    def parse(cls, text: str) -> DataType:
        """Read `bigint`, `decimal(12,2)` or `struct<a: int, b: array<string!>>`; raises ArgumentError naming what is allowed."""
        return _Parser(text).whole()

    @property
    def is_nested(self) -> bool:
        return bool(self.fields)

    def parts(self) -> Iterator[DataType]:
        """The type itself, and every type inside it."""
        yield self
        for field in self.fields:
            yield from field.type.parts()

    @property
    def nullable(self) -> DataType:
        """The type with all in it that may be NULL: a map's keys never are."""
        return replace(self, fields=tuple(Column(f.name, f.type.nullable, required=self.name == "map" and i == 0) for i, f in enumerate(self.fields)))

    def __str__(self) -> str:
        """As a pipeline file has it."""
        return self._spelled(_OWN, DataType._flat, mark="!")

    @property
    def spark(self) -> str:
        """As Spark SQL has it, which does not say what may not be NULL."""
        return self._spelled(_SPARK, DataType._flat)

    @property
    def hive(self) -> str:
        """As Glue has it: one timestamp, which knows no zone."""
        return self._spelled(_HIVE, lambda t: "timestamp" if t.name == "timestamp_ntz" else t._flat())

    @property
    def duckdb(self) -> str:
        return self._spelled(_DUCKDB, lambda t: t._names.duckdb)

    @property
    def iceberg(self) -> str:
        """The name of a type that is not nested: the parts of the others have numbers of their own."""
        return self._names.iceberg

    @property
    def delta(self) -> Any:
        """The type in Delta's JSON, and Spark's: a name, or an object for one that is nested."""
        if not self.fields:
            return self._names.delta
        last = self.fields[-1]
        if self.name == "array":
            return {"type": "array", "elementType": last.type.delta, "containsNull": not last.required}
        if self.name == "map":
            return {"type": "map", "keyType": self.fields[0].type.delta, "valueType": last.type.delta, "valueContainsNull": not last.required}
        return {"type": "struct", "fields": [{"name": f.name, "type": f.type.delta, "nullable": not f.required, "metadata": {}} for f in self.fields]}

    @property
    def redshift(self) -> str:
        return "SUPER" if self.fields else self._names.redshift

    def arrow(self) -> pa.DataType:
        """Any part may be NULL there, but a map's keys: what else may not is told by `fields`."""
        import pyarrow as pa

        match self.name:
            case "decimal":
                return pa.decimal128(self.precision, self.scale)
            case "timestamp":
                return pa.timestamp("us", tz="UTC")
            case "timestamp_ntz":
                return pa.timestamp("us")
            case "struct":
                return pa.struct([pa.field(f.name, f.type.arrow()) for f in self.fields])
            case "array":
                return pa.list_(pa.field("element", self.fields[0].type.arrow()))
            case "map":
                return pa.map_(self.fields[0].type.arrow(), self.fields[1].type.arrow())
            case _:
                return getattr(pa, self._names.arrow)()  # type: ignore[no-any-return]

    def _flat(self) -> str:
        return f"decimal({self.precision},{self.scale})" if self.name == "decimal" else self.name

    @property
    def _names(self) -> Names:
        if self.name == "decimal":
            digits = f"({self.precision},{self.scale})"
            return Names(f"DECIMAL{digits}", f"decimal({self.precision}, {self.scale})", f"decimal{digits}", f"DECIMAL{digits}", "decimal128")
        return _PRIMITIVE[self.name]

    def _spelled(self, spelling: _Spelling, primitive: Callable[[DataType], str], mark: str = "") -> str:
        if not self.fields:
            return primitive(self)
        texts = [f.type._spelled(spelling, primitive, mark) + (mark if f.required else "") for f in self.fields]
        if self.name == "struct":
            texts = [spelling.field(f.name, text) for f, text in zip(self.fields, texts, strict=True)]
        if self.name == "map":
            texts[0] = texts[0].removesuffix("!")  # a key never is NULL
        whole: str = getattr(spelling, self.name)
        return whole.format(spelling.between.join(texts))


@dataclass(frozen=True)
class Column:
    """A named, typed column, or a part of a nested one; `required` ones never hold NULL (`bigint!` in a pipeline file)."""

    name: str
    type: DataType
    required: bool = False

    @classmethod
    def parse(cls, name: str, text: str) -> Column:
        text = text.strip()
        return cls(name, DataType.parse(text.removesuffix("!")), text.endswith("!"))

    def __str__(self) -> str:
        return f"{self.name} {self.type}{'!' if self.required else ''}"


class _Parser:
    """Reads one type's text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._cut()
        self._at = 0

    def _cut(self) -> list[str]:
        found, at = [], 0
        while at < len(self._text):
            token = _TOKEN.match(self._text, at)
            if token is None:
                raise self._wrong("a name in backticks ends with one", self._text[at:])
            found.append(token[0].strip())
            at = token.end()
        return found

    def whole(self) -> DataType:
        if "<" not in self._text:
            return self._primitive(self._text.strip())
        found = self._type()
        if self._at < len(self._tokens):
            raise self._wrong("the type ends there", self._tokens[self._at])
        return found

    def _type(self) -> DataType:
        word = self._next()
        if word.lower() not in ("struct", "array", "map"):
            return self._primitive(word)
        self._take("<")
        found = DataType(word.lower(), fields=getattr(self, f"_{word.lower()}")())
        self._take(">")
        return found

    def _primitive(self, word: str) -> DataType:
        where = "" if word == self._text.strip() else f" (in {self._text!r})"
        if found := _DECIMAL.fullmatch(word.lower()):
            precision, scale = int(found[1]), int(found[2])
            if not (1 <= precision <= 38 and scale <= precision):
                raise ArgumentError(f"{word!r}: a decimal has 1 to 38 digits and a scale no greater than that{where}")
            return DataType("decimal", precision, scale)
        if word.lower() not in _PRIMITIVE:
            raise ArgumentError(f"type {choice(word, _ALLOWED)}{where}")
        return DataType(word.lower())

    def _struct(self) -> tuple[Column, ...]:
        fields = [self._field()]
        while self._peek() == ",":
            self._take(",")
            fields.append(self._field())
        if pair := same_but_for_case(f.name for f in fields):
            raise ArgumentError(f"fields {pair[0]!r} and {pair[1]!r} differ only in case, and engines take them for one (in {self._text!r})")
        return tuple(fields)

    def _field(self) -> Column:
        word = self._next()
        name = word[1:-1].replace("``", "`") if word.startswith("`") else word
        if name is word and not _PLAIN.fullmatch(word):
            raise self._wrong("a field has a name of letters, digits and _, or any name in backticks", word)
        if fault := name_fault(name):
            raise ArgumentError(f"field {name!r}: {fault} (in {self._text!r})")
        self._take(":")
        return self._part(name)

    def _array(self) -> tuple[Column, ...]:
        return (self._part("element"),)

    def _map(self) -> tuple[Column, ...]:
        key = replace(self._part("key"), required=True)
        if any(part.name == "map" for part in key.type.parts()):
            raise ArgumentError(f"a map's key holds no map (in {self._text!r})")
        self._take(",")
        return key, self._part("value")

    def _part(self, name: str) -> Column:
        found = self._type()
        if required := self._peek() == "!":
            self._take("!")
        return Column(name, found, required)

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1] if self._at <= len(self._tokens) else ""

    def _take(self, wanted: str) -> None:
        if (found := self._next()) != wanted:
            raise self._wrong(f"{wanted!r} is expected", found)

    def _wrong(self, wanted: str, found: str) -> ArgumentError:
        return ArgumentError(f"type {self._text!r}: {wanted}, not {found or 'the end'!r}; types are {', '.join(_ALLOWED)}")
