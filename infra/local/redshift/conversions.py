"""Fields of a text as a table's columns: what COPY makes of them, and which it refuses, as SQL of DuckDB."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_SIZED = re.compile(r"character varying\((\d+)\)|character\((\d+)\)")
_DECIMAL = re.compile(r"numeric\((\d+),(\d+)\)")
_INTEGERS = {"smallint": ("SMALLINT", "Short"), "integer": ("INTEGER", "Integer"), "bigint": ("BIGINT", "Long")}
_DATE_PARTS = (("YYYY", "%Y"), ("YY", "%y"), ("MONTH", "%B"), ("MON", "%b"), ("MM", "%m"), ("DD", "%d"), ("HH24", "%H"), ("HH12", "%I"), ("HH", "%H"),
               ("MI", "%M"), ("SSSSSS", "%f"), ("SS", "%S"), ("US", "%f"), ("MS", "%g"), ("AM", "%p"), ("PM", "%p"), ("OF", "%z"))  # fmt: skip
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%m/%d/%Y", "%m-%d-%Y", "%d.%m.%Y", "%d-%b-%Y", "%b %d, %Y", "%B %d, %Y", "%m/%d/%y")
_TIMES = ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M",
          "%Y%m%d %H%M%S", "%Y-%m-%d", "%d-%b-%Y %H:%M:%S", "%b %d %Y %H:%M:%S")  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A column to be filled: its type is PostgreSQL's name for it."""

    name: str
    type: str
    required: bool = False

    @property
    def bytes(self) -> int | None:
        found = _SIZED.fullmatch(self.type)
        return int(found[1] or found[2]) if found else None

    @property
    def is_text(self) -> bool:
        return self.type.startswith("character") or self.type == "text"


@dataclass(frozen=True)
class Converted:
    """Expressions of DuckDB's. `raw`: the field, NULL where it stands for that. `value`: as PostgreSQL reads it. `fault`: true where it is refused, and why."""

    raw: str
    value: str
    fault: str
    code: int
    reason: str


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def converted(field: str, column: Target, options: Mapping[str, str]) -> Converted:
    """What COPY makes of the text `field`."""
    raw = _emptied(field, column, options)
    if column.is_text:
        return _text(raw, column, options)
    if column.type in _INTEGERS:
        kind, name = _INTEGERS[column.type]
        fault = f"NOT (regexp_full_match(trim({raw}), '[+-]?[0-9]+') AND TRY_CAST(trim({raw}) AS {kind}) IS NOT NULL)"
        return Converted(raw, f"trim({raw})", fault, 1207, f"Invalid digit, Type: {name}")
    if found := _DECIMAL.fullmatch(column.type):
        return _decimal(raw, int(found[1]), int(found[2]), options)
    if column.type in ("real", "double precision"):
        return Converted(raw, f"trim({raw})", f"TRY_CAST(trim({raw}) AS DOUBLE) IS NULL", 1208, "Invalid digit, Type: Double")
    if column.type == "boolean":
        lower = f"lower(trim({raw}))"
        value = f"CASE WHEN {lower} IN ('t', 'true', 'y', 'yes', '1') THEN 'true' ELSE 'false' END"
        known = "('t', 'true', 'y', 'yes', '1', 'f', 'false', 'n', 'no', '0')"
        return Converted(raw, f"CASE WHEN {raw} IS NOT NULL THEN {value} END", f"{lower} NOT IN {known}", 1210, "Unknown boolean format")
    return _timed(raw, column, options)


def _emptied(field: str, column: Target, options: Mapping[str, str]) -> str:
    """A field that stands for NULL: the NULL text, an empty one where the type has no empty value, blanks where that was asked for."""
    found = f"nullif({field}, {literal(options.get('NULL', chr(92) + 'N'))})"
    if "BLANKSASNULL" in options:
        return f"CASE WHEN trim({found}) <> '' THEN {found} END"
    return f"nullif({found}, '')" if "EMPTYASNULL" in options or not column.is_text else found


def _text(raw: str, column: Target, options: Mapping[str, str]) -> Converted:
    value = f"rtrim({raw}, ' ')" if "TRIMBLANKS" in options or column.type.startswith("character(") else raw
    most = column.bytes
    if most is None:
        return Converted(raw, value, "FALSE", 1204, "")
    if "TRUNCATECOLUMNS" in options and column.type.startswith("character varying"):
        # no letter of more than one byte is cut in two: letters go until the bytes fit
        cut = f"list_filter(range({most}, -1, -1), n -> octet_length(encode(left({value}, n::INTEGER))) <= {most})[1]"
        value = f"CASE WHEN octet_length(encode({value})) > {most} THEN left({value}, ({cut})::INTEGER) ELSE {value} END"
    return Converted(raw, value, f"octet_length(encode({value})) > {most}", 1204, "String length exceeds DDL length")


def _decimal(raw: str, precision: int, scale: int, options: Mapping[str, str]) -> Converted:
    """Digits behind the scale are cut off, or rounded where that was asked for."""
    text = f"trim({raw})"
    behind = "{" + str(scale) + "}"
    value = text if "ROUNDEC" in options else f"regexp_replace({text}, '(\\.[0-9]{behind})[0-9]+$', '\\1')"
    fault = f"TRY_CAST({value} AS DECIMAL({precision}, {scale})) IS NULL"
    return Converted(raw, f"CAST(TRY_CAST({value} AS DECIMAL({precision}, {scale})) AS VARCHAR)", fault, 1207, "Invalid digit, Type: Decimal")


def pattern(text: str) -> str:
    """Redshift's pattern of a date as strptime's."""
    found, i, upper = "", 0, text.upper()
    while i < len(text):
        part = next(((p, f) for p, f in _DATE_PARTS if upper.startswith(p, i)), None)
        found += part[1] if part else ("%%" if text[i] == "%" else text[i])
        i += len(part[0]) if part else 1
    return found


def _timed(raw: str, column: Target, options: Mapping[str, str]) -> Converted:
    if column.type == "date":
        asked = options.get("DATEFORMAT", "YYYY-MM-DD")
        value = f"TRY_CAST({_parsed(raw, asked, _DATES)} AS DATE)"
        strict = f"TRY_CAST({raw} AS DATE)" if asked.upper() == "YYYY-MM-DD" else value
        return _dated(strict, raw, options, 1205, f"Invalid Date Format - length must be 10 or more: {asked}")
    if column.type.startswith("timestamp"):
        asked = options.get("TIMEFORMAT", "YYYY-MM-DD HH:MI:SS")
        kind = "TIMESTAMPTZ" if "with time zone" in column.type or column.type == "timestamptz" else "TIMESTAMP"
        epoch = {"epochsecs": 1_000_000, "epochmillisecs": 1_000}.get(asked.lower())
        if epoch:
            value = f"make_timestamp(CAST(TRY_CAST({raw} AS DECIMAL(30, 6)) * {epoch} AS BIGINT))"
        elif asked == "YYYY-MM-DD HH:MI:SS":
            value = f"TRY_CAST({raw} AS {kind})"
        else:
            value = f"coalesce(TRY_CAST({raw} AS {kind}), {_parsed(raw, asked, _TIMES)})" if asked.lower() == "auto" else _parsed(raw, asked, _TIMES)
        return _dated(value, raw, options, 1206, f"Invalid timestamp format or value [{asked}]")
    if column.type == "jsonb":
        return Converted(raw, raw, f"NOT json_valid({raw})", 1224, "Invalid JSON format")
    if column.type == "bytea":
        return Converted(raw, f"'\\x' || {raw}", f"NOT regexp_full_match({raw}, '([0-9A-Fa-f]{{2}})*')", 1207, "Invalid digit, Type: Varbyte")
    return Converted(raw, raw, "FALSE", 1200, "")


def _dated(value: str, raw: str, options: Mapping[str, str], code: int, reason: str) -> Converted:
    fault = "FALSE" if "ACCEPTANYDATE" in options else f"({value}) IS NULL"
    return Converted(raw, f"CAST({value} AS VARCHAR)", fault, code, reason)


def _parsed(raw: str, asked: str, automatic: tuple[str, ...]) -> str:
    if asked.lower() == "auto":
        return f"try_strptime({raw}, [{', '.join(literal(f) for f in automatic)}])"
    return f"try_strptime({raw}, {literal(pattern(asked))})"
