"""COPY and UNLOAD as statements: their parts, read from tokens; an option that is not known is refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .errors import LoadError, NotLocalError
from .tokens import Token, arguments, closing, tokenize


@dataclass(frozen=True)
class Copy:
    """COPY table [(columns)] FROM 's3://…' with its options; `flags` are options without a value."""

    table: str
    columns: tuple[str, ...]
    source: str
    values: dict[str, str] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Unload:
    """UNLOAD ('query') TO 's3://…' with its options."""

    query: str
    prefix: str
    partition_by: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()


_COPY_VALUES = {"DELIMITER", "IGNOREHEADER", "NULL", "DATEFORMAT", "TIMEFORMAT", "REGION", "QUOTE"}
_COPY_FLAGS = {"CSV", "PARQUET", "MANIFEST", "GZIP", "COMPUPDATE", "STATUPDATE", "EMPTYASNULL", "BLANKSASNULL", "ON", "OFF", "AUTO"}
_REFUSED = {
    "AVRO",
    "ORC",
    "JSON",
    "SHAPEFILE",
    "FIXEDWIDTH",
    "MAXERROR",
    "ESCAPE",
    "LZOP",
    "BZIP2",
    "ZSTD",
    "READRATIO",
    "SSH",
    "ENCRYPTED",
    "NOLOAD",
    "ACCEPTINVCHARS",
    "FILLRECORD",
}
_UNLOAD_FLAGS = {"PARQUET", "MANIFEST", "VERBOSE", "ALLOWOVERWRITE", "CLEANPATH", "PARALLEL", "ON", "OFF", "TRUE", "FALSE", "INCLUDE"}
_NOISE = {"FORMAT", "AS", "DEFAULT", "HEADER"}


def parse_copy(sql: str) -> Copy:
    tokens = tokenize(sql)
    start = next(i for i, t in enumerate(tokens) if t.word == "FROM")
    opening = next((i for i in range(start) if tokens[i].text == "("), start)
    columns = tuple(tokens[a].name for a, _ in arguments(tokens, opening)) if opening < start else ()
    source = tokens[start + 1].value
    if not source.startswith("s3://"):
        raise NotLocalError(f"COPY from {source.split(':')[0]}")
    values, flags = _options(tokens[start + 2 :], _COPY_VALUES, _COPY_FLAGS, "COPY")
    return Copy("".join(t.text for t in tokens[1:opening]), columns, source, values, flags)


def parse_unload(sql: str) -> Unload:
    tokens = tokenize(sql)
    query = tokens[2]
    text = query.value if query.kind == "text" else query.text.strip("$")
    to = next(i for i, t in enumerate(tokens) if t.word == "TO")
    rest = list(tokens[to + 2 :])
    by = next((i for i, t in enumerate(rest) if t.word == "PARTITION"), None)
    columns: tuple[str, ...] = ()
    if by is not None:
        columns = tuple(rest[a].name for a, _ in arguments(rest, by + 2))
        rest[by : closing(rest, by + 2) + 1] = []
    _, flags = _options(rest, set(), _UNLOAD_FLAGS, "UNLOAD")
    if "PARQUET" not in flags:
        raise NotLocalError("UNLOAD in other formats than Parquet")
    return Unload(text, tokens[to + 1].value, columns, flags)


def _options(tokens: Sequence[Token], valued: set[str], known: set[str], verb: str) -> tuple[dict[str, str], frozenset[str]]:
    values: dict[str, str] = {}
    flags: set[str] = set()
    waiting = [t for t in tokens if t.word not in _NOISE]
    has_role = False
    while waiting:
        token = waiting.pop(0)
        word = token.word
        if word == "IAM_ROLE":
            has_role = True
            if waiting and waiting[0].kind == "text":
                waiting.pop(0)
        elif word in ("CREDENTIALS", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            raise NotLocalError(f"{verb} with {word}; use IAM_ROLE")
        elif word in valued:
            values[word] = waiting.pop(0).value if waiting and waiting[0].kind in ("text", "number") else ""
        elif word in known:
            flags.add(word)
        elif word in _REFUSED or token.kind == "word":
            raise NotLocalError(f"{verb} with {word}")
        elif token.text not in ("=", ";"):
            raise LoadError(f"syntax error at or near {token.text!r} in {verb}")
    if not has_role:
        raise LoadError(f"{verb} needs an IAM_ROLE: S3 cannot be read or written without one")
    return values, frozenset(flags)
