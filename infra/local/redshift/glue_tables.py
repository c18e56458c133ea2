"""Tables of Glue as Redshift reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from penstock.infra.local.errors import NotLocalError, SqlError

from .tokens import Token, arguments, find

Kind = Literal["parquet", "orc", "text", "json", "iceberg", "symlink"]

_PARQUET = ("org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat", "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
            "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe")  # fmt: skip
_ORC = ("org.apache.hadoop.hive.ql.io.orc.OrcInputFormat", "org.apache.hadoop.hive.ql.io.orc.OrcOutputFormat", "org.apache.hadoop.hive.ql.io.orc.OrcSerde")
_LINES = ("org.apache.hadoop.mapred.TextInputFormat", "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat")
_LAZY, _OPEN_CSV, _JSON = (
    "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
    "org.apache.hadoop.hive.serde2.OpenCSVSerde",
    "org.openx.data.jsonserde.JsonSerDe",
)
_SYMLINK = "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"
_HIVE = {
    "integer": "int", "int4": "int", "int8": "bigint", "int2": "smallint", "real": "float", "float4": "float", "doubleprecision": "double", "float8": "double",
    "bool": "boolean", "text": "string", "charactervarying": "string", "timestampwithouttimezone": "timestamp", "timestampwithtimezone": "timestamp",
    "super": "string", "jsonb": "string",
}  # fmt: skip
_PG = {
    "tinyint": "smallint", "smallint": "smallint", "int": "integer", "integer": "integer", "bigint": "bigint", "float": "real", "double": "double precision",
    "boolean": "boolean", "string": "varchar", "date": "date", "timestamp": "timestamp", "binary": "bytea", "timestamptz": "timestamptz",
}  # fmt: skip


def hive_type(text: str) -> str:
    """A type of Redshift's DDL, written without blanks, as Hive's."""
    found = text.lower().replace(" ", "")
    sized = re.fullmatch(r"(numeric|decimal|dec)(\(.*\))?", found)
    if sized:
        return f"decimal{sized[2] or '(18,0)'}"
    if varying := re.fullmatch(r"charactervarying(\(\d+\))", found):
        return f"varchar{varying[1]}"
    return _HIVE.get(found, found)


def pg_type(hive: str) -> str:
    """Hive's type as PostgreSQL's."""
    kind = hive.lower().replace(" ", "")
    if kind.startswith("decimal"):
        return kind.replace("decimal", "numeric")
    if kind.startswith(("varchar", "char")):
        return kind
    if kind.startswith(("array", "map", "struct")):
        return "jsonb"
    if kind not in _PG:
        raise SqlError("42704", f"the external type {hive} is not supported")
    return _PG[kind]


@dataclass(frozen=True)
class ExternalTable:
    """A table of Glue; `columns` and `keys` (its partitions) are names with Hive's types."""

    database: str
    name: str
    kind: Kind
    location: str
    columns: Mapping[str, str]
    keys: Mapping[str, str]
    properties: Mapping[str, str]
    input_format: str = ""
    serde: str = ""


def external_table(found: Mapping[str, Any]) -> ExternalTable:
    """A table as Glue gives it."""
    parameters, descriptor = found.get("Parameters") or {}, found.get("StorageDescriptor") or {}
    serde = descriptor.get("SerdeInfo") or {}
    columns = {c["Name"].lower(): c["Type"] for c in descriptor.get("Columns", ())}
    keys = {c["Name"].lower(): c["Type"] for c in found.get("PartitionKeys", ())}
    input_format = str(descriptor.get("InputFormat", ""))
    kind = _kind(parameters, input_format, str(serde.get("SerializationLibrary", "")))
    return ExternalTable(found["DatabaseName"], found["Name"], kind, str(descriptor.get("Location", "")), columns, {} if kind == "iceberg" else keys,
                         {**parameters, **(serde.get("Parameters") or {})}, input_format, str(serde.get("SerializationLibrary", "")))  # fmt: skip


def _kind(parameters: Mapping[str, str], input_format: str, serde: str) -> Kind:
    if parameters.get("table_type", "").upper() == "ICEBERG":
        return "iceberg"
    if input_format == _SYMLINK:
        return "symlink"
    if "arquet" in input_format or "arquet" in serde or parameters.get("classification") == "parquet":
        return "parquet"
    if "orc" in input_format.lower():
        return "orc"
    if "json" in serde.lower():
        return "json"
    if input_format in ("", _LINES[0]):
        return "text"
    raise NotLocalError(f"external tables of {input_format}")


@dataclass
class Formats:
    """How the files of a table to be made are to be read."""

    kind: str
    serde: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    input_format: str = ""

    @classmethod
    def read(cls, tokens: Sequence[Token], first: int, last: int) -> Self:
        """ROW FORMAT, STORED AS, TABLE PROPERTIES of a CREATE EXTERNAL TABLE."""
        words = [t.word for t in tokens[:last]]
        at = find(tokens, ["STORED", "AS"], first, last)
        kind = words[at + 2].lower() if at >= 0 else "textfile"
        found = cls({"textfile": "text", "rcfile": "rcfile", "sequencefile": "sequencefile"}.get(kind, kind))
        if kind == "inputformat":
            found.input_format = tokens[at + 3].value
            found.kind = "symlink" if found.input_format == _SYMLINK else "parquet" if "arquet" in found.input_format else "text"
        serde = find(tokens, ["SERDE"], first, last)
        if serde >= 0:
            found.serde = tokens[serde + 1].value
            found.kind = "json" if "json" in found.serde.lower() else found.kind
        for i, word in enumerate(words):
            if word == "FIELDS" and words[i + 1 : i + 3] == ["TERMINATED", "BY"]:
                found.parameters["field.delim"] = tokens[i + 3].value
            if word in ("SERDEPROPERTIES", "PROPERTIES"):
                pairs = {tokens[a].value: tokens[b - 1].value for a, b in arguments(tokens, i + 1)}
                (found.parameters if word == "SERDEPROPERTIES" else found.properties).update(pairs)
        if found.kind not in ("text", "parquet", "orc", "json", "symlink"):
            raise NotLocalError(f"external tables STORED AS {kind.upper()}")
        return found

    def table_input(self, name: str, location: str, columns: Sequence[tuple[str, str]], keys: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """What Glue is given."""
        formats = {"parquet": _PARQUET, "symlink": (_SYMLINK, _PARQUET[1], _PARQUET[2]), "orc": _ORC, "json": (*_LINES, _JSON)}
        first, second, serde = formats.get(self.kind, (*_LINES, self.serde or _LAZY))
        descriptor = {
            "Columns": [{"Name": n, "Type": t} for n, t in columns], "Location": location, "InputFormat": first, "OutputFormat": second,
            "SerdeInfo": {"SerializationLibrary": self.serde or serde, "Parameters": self.parameters or {"serialization.format": "1"}},
        }  # fmt: skip
        return {"Name": name, "TableType": "EXTERNAL_TABLE", "StorageDescriptor": descriptor, "PartitionKeys": [{"Name": n, "Type": t} for n, t in keys],
                "Parameters": {"EXTERNAL": "TRUE", **self.properties}}  # fmt: skip
