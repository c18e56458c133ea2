"""COPY and UNLOAD as statements: their parts, read from tokens; an option that is not known is refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from penstock.infra.local.errors import LoadError, NotLocalError

from .tokens import Token, arguments, closing, tokenize

Takes = Literal["nothing", "text", "number", "text or nothing", "switch", "word"]

_COPY: Mapping[str, Takes] = {
    **dict.fromkeys((
        "CSV", "PARQUET", "ORC", "MANIFEST", "GZIP", "BZIP2", "ZSTD", "EMPTYASNULL", "BLANKSASNULL", "TRIMBLANKS", "TRUNCATECOLUMNS", "FILLRECORD",
        "IGNOREBLANKLINES", "IGNOREALLERRORS", "ESCAPE", "REMOVEQUOTES", "ROUNDEC", "EXPLICIT_IDS", "NOLOAD", "ACCEPTANYDATE", "SERIALIZETOJSON",
    ), "nothing"),
    **dict.fromkeys(("DELIMITER", "QUOTE", "NULL", "REGION", "FIXEDWIDTH"), "text"),
    **dict.fromkeys(("DATEFORMAT", "TIMEFORMAT", "JSON", "AVRO", "ACCEPTINVCHARS"), "text or nothing"),
    **dict.fromkeys(("MAXERROR", "IGNOREHEADER", "COMPROWS"), "number"),
    **dict.fromkeys(("COMPUPDATE", "STATUPDATE"), "switch"), "ENCODING": "word",
}  # fmt: skip
_UNLOAD: Mapping[str, Takes] = {
    **dict.fromkeys((
        "PARQUET", "CSV", "JSON", "HEADER", "MANIFEST", "VERBOSE", "ALLOWOVERWRITE", "CLEANPATH", "INCLUDE", "ADDQUOTES", "ESCAPE", "GZIP", "BZIP2", "ZSTD",
        "ENCRYPTED", "AUTO",
    ), "nothing"),
    **dict.fromkeys(("DELIMITER", "NULL", "REGION", "EXTENSION", "KMS_KEY_ID", "MASTER_SYMMETRIC_KEY", "FIXEDWIDTH"), "text"),
    "MAXFILESIZE": "number", "ROWGROUPSIZE": "number", "PARALLEL": "switch",
}  # fmt: skip
_REFUSED = {"SHAPEFILE", "LZOP", "READRATIO", "SSH", "COPY_JOB"}
_KEYS = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "CREDENTIALS")
_NOISE = {"FORMAT", "AS", "WITH", "MB", "GB", ";", "="}
_SWITCH = {"ON": "ON", "TRUE": "ON", "OFF": "OFF", "FALSE": "OFF", "PRESET": "PRESET"}


@dataclass(frozen=True)
class Copy:
    """COPY table [(columns)] FROM 's3://…' with its options; an option without a value has the empty text."""

    table: str
    columns: tuple[str, ...]
    source: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def format(self) -> str:
        """csv, parquet, orc, json, avro, fixed, or text: fields between delimiters."""
        names = {"CSV": "csv", "PARQUET": "parquet", "ORC": "orc", "JSON": "json", "AVRO": "avro", "FIXEDWIDTH": "fixed"}
        return next((name for option, name in names.items() if option in self.options), "text")

    @property
    def is_columnar(self) -> bool:
        return self.format in ("parquet", "orc")


@dataclass(frozen=True)
class Unload:
    """UNLOAD ('query') TO 's3://…' with its options."""

    query: str
    prefix: str
    partition_by: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def format(self) -> str:
        return next((o.lower() for o in ("PARQUET", "CSV", "JSON") if o in self.options), "text")


def parse_copy(sql: str) -> Copy:
    """Raises LoadError for what Redshift refuses, NotLocalError for what is missing here."""
    tokens = tokenize(sql)
    start = next((i for i, t in enumerate(tokens) if t.word == "FROM"), -1)
    if start < 0 or start + 1 >= len(tokens):
        raise LoadError("syntax error in COPY: it has the form COPY table FROM 's3://…' IAM_ROLE …")
    opening = next((i for i in range(start) if tokens[i].text == "("), start)
    columns = tuple(tokens[a].name for a, _ in arguments(tokens, opening)) if opening < start else ()
    source = tokens[start + 1].value
    if not source.startswith("s3://"):
        raise NotLocalError(f"COPY from {source.split(':')[0]}")
    found = Copy("".join(t.text for t in tokens[1:opening]), columns, source, _options(tokens[start + 2 :], _COPY, "COPY"))
    _consistent(found)
    return found


def _consistent(copy: Copy) -> None:
    formats = [o for o in ("CSV", "PARQUET", "ORC", "JSON", "AVRO", "FIXEDWIDTH") if o in copy.options]
    if len(formats) > 1:
        raise LoadError(f"{formats[0]} and {formats[1]} are two formats; a COPY reads one")
    if copy.is_columnar:
        known = {"PARQUET", "ORC", "MANIFEST", "REGION", "FILLRECORD", "SERIALIZETOJSON", "STATUPDATE", "COMPUPDATE", "ACCEPTINVCHARS"}
        if wrong := sorted(set(copy.options) - known):
            raise LoadError(f"{wrong[0]} option is not supported for COPY from columnar formats")
    if "CSV" in copy.options and (wrong := sorted({"FIXEDWIDTH", "REMOVEQUOTES", "ESCAPE"} & set(copy.options))):
        raise LoadError(f"CSV is not compatible with {wrong[0]}")


def parse_unload(sql: str) -> Unload:
    """Raises as `parse_copy` does."""
    tokens = tokenize(sql)
    to = next((i for i, t in enumerate(tokens) if t.word == "TO"), -1)
    if to < 4 or tokens[1].text != "(" or tokens[2].kind not in ("text", "body"):
        raise LoadError("syntax error in UNLOAD: it has the form UNLOAD ('query') TO 's3://…' IAM_ROLE …")
    rest = list(tokens[to + 2 :])
    by = next((i for i, t in enumerate(rest) if t.word == "PARTITION"), None)
    columns: tuple[str, ...] = ()
    if by is not None:
        columns = tuple(rest[a].name for a, _ in arguments(rest, by + 2))
        rest[by : closing(rest, by + 2) + 1] = []
    found = Unload(tokens[2].value, tokens[to + 1].value, columns, _options(rest, _UNLOAD, "UNLOAD"))
    if not found.prefix.startswith("s3://"):
        raise LoadError(f"UNLOAD writes to s3://, not to {found.prefix!r}")
    if columns and found.format not in ("parquet", "csv", "json", "text"):
        raise LoadError(f"PARTITION BY does not go with {found.format}")
    return found


def _options(tokens: Sequence[Token], known: Mapping[str, Takes], verb: str) -> dict[str, str]:
    found: dict[str, str] = {}
    waiting, has_role = [t for t in tokens if t.word not in _NOISE], False
    while waiting:
        token = waiting.pop(0)
        word = token.word
        if word in ("IAM_ROLE", *_KEYS):
            has_role = True
            if waiting and (waiting[0].kind == "text" or waiting[0].word == "DEFAULT"):
                waiting.pop(0)
        elif word in known:
            found[word] = _value(word, known[word], waiting, verb)
        elif word in _REFUSED:
            raise NotLocalError(f"{verb} with {word}")
        else:
            raise LoadError(f'syntax error at or near "{token.text}" in {verb}')
    if not has_role:
        raise LoadError(f"{verb} needs an IAM_ROLE: S3 cannot be read or written without one")
    if size := found.get("MAXFILESIZE"):
        unit = next((t.word for t in tokens if t.word in ("MB", "GB")), "MB")
        found["MAXFILESIZE"] = str(int(float(size) * (1024 if unit == "GB" else 1) * 1024 * 1024))
    return found


def _value(word: str, takes: Takes, waiting: list[Token], verb: str) -> str:
    if takes == "nothing" or not waiting:
        if takes in ("text", "number", "word"):
            raise LoadError(f"{verb}: {word} needs a value")
        return ""
    following = waiting[0]
    if takes == "switch":
        return _SWITCH[waiting.pop(0).word] if following.word in _SWITCH else "ON"
    if takes == "text or nothing":
        return waiting.pop(0).value if following.kind == "text" else ""
    if (takes == "text" and following.kind != "text") or (takes == "number" and following.kind not in ("number", "text")):
        raise LoadError(f"{verb}: {word} needs a {takes}, {following.text} is given")
    return waiting.pop(0).value
