"""UNLOAD, executed: PostgreSQL writes the rows, they become files, the files become objects."""

from __future__ import annotations

import bz2
import gzip
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from penstock.infra.local.errors import LoadError, NotLocalError

from .conversions import Target, literal, quoted
from .incoming import duck
from .logs import Logs, now
from .objects import listed, put, remove, split_url
from .options import Unload, parse_unload
from .streams import Exchange, Received

NULL = "\\N"
_ARROW = {"smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64(), "real": pa.float32(), "double precision": pa.float64(), "boolean": pa.bool_(),
          "date": pa.date32(), "timestamp without time zone": pa.timestamp("us"), "timestamp with time zone": pa.timestamp("us", tz="UTC")}  # fmt: skip
_EXTENSIONS = {"GZIP": ".gz", "BZIP2": ".bz2", "ZSTD": ".zst"}


@dataclass(frozen=True)
class File:
    """A file of an unload: its name below the prefix, and its rows."""

    path: Path
    name: str
    rows: int


@dataclass
class Unloading:
    """An UNLOAD under way."""

    ask: Unload
    query: int
    session: int
    pipe: Path
    folder: Path
    start: str
    columns: Sequence[Target] = ()
    received: Received | None = None


class Unloads:
    """The UNLOADs of one server."""

    def __init__(self, s3: Callable[[], Any], exchange: Exchange, logs: Logs) -> None:
        self._s3, self._exchange, self._logs = s3, exchange, logs
        self._under_way: dict[str, Unloading] = {}
        self.last_columns: list[tuple[str, str]] = []

    def begin(self, asked: Mapping[str, Any], rewritten: Callable[[str], str]) -> dict[str, Any]:
        """Check the destination; answers with the query and the pipe into which it is to be written."""
        ask = parse_unload(str(asked["sql"]))
        bucket, prefix = split_url(ask.prefix)
        if listed(self._s3(), bucket, prefix) and not {"ALLOWOVERWRITE", "CLEANPATH"} & set(ask.options):
            raise LoadError(
                "Specified unload destination on S3 is not empty. Consider using a different bucket / prefix, "
                f"manually removing the target files in S3, or using the ALLOWOVERWRITE option: {ask.prefix}"
            )
        found = Unloading(ask, self._logs.number(), int(asked["pid"]), self._exchange.pipe(), Path(mkdtemp(prefix="penstock-unload-")), now())
        self._under_way[str(found.query)] = found
        return {"query": str(found.query), "sql": rewritten(ask.query.strip().rstrip(";")), "stream": str(found.pipe), "null": NULL}

    def columns(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Begin to read what is written: its columns are known now."""
        found = self._under_way[str(asked["query"])]
        found.columns = [Target(str(c["name"]), str(c["type"])) for c in asked["columns"]]
        if missing := [c for c in found.ask.partition_by if c not in [k.name for k in found.columns]]:
            self._drop(found)
            raise LoadError(f'Partition column "{missing[0]}" is not in the select list of the query')
        self.last_columns = [(c.name, c.type) for c in found.columns]
        found.received = Received(found.pipe, lambda source: _files(source, found))
        found.received.start()
        return {}

    def end(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """All rows are written: put the files, and the manifest, onto S3."""
        found = self._under_way[str(asked["query"])]
        assert found.received
        try:
            files: list[File] = found.received.wait()
            self._put(found, files)
        finally:
            self._drop(found)
        return {}

    def _put(self, found: Unloading, files: Sequence[File]) -> None:
        s3, (bucket, prefix) = self._s3(), split_url(found.ask.prefix)
        if "CLEANPATH" in found.ask.options:
            folders = {f.name.rpartition("/")[0] for f in files} if found.ask.partition_by else {""}
            remove(s3, [o.url for folder in folders for o in listed(s3, bucket, f"{prefix}{folder}{'/' if folder else ''}")])
        for file in files:
            put(s3, f"s3://{bucket}/{prefix}{file.name}", file.path)
        if "MANIFEST" in found.ask.options:
            text = _manifest(found, [(f"s3://{bucket}/{prefix}{f.name}", f.path.stat().st_size, f.rows) for f in files])
            s3.put_object(Bucket=bucket, Key=f"{prefix}manifest", Body=text)
        sizes, rows = sum(f.path.stat().st_size for f in files), sum(f.rows for f in files)
        self._logs.add("unloads", query_id=found.query, transaction_id=found.query, session_id=found.session, status="completed", start_time=found.start,
                       end_time=now(), duration=0, file_format=found.ask.format, compression_type="", unloaded_location=found.ask.prefix, unloaded_rows=rows,
                       unloaded_files_count=len(files), unloaded_files_size=sizes)  # fmt: skip
        for file in files:
            self._logs.add("unload_files", query_id=found.query, file_name=f"s3://{bucket}/{prefix}{file.name}", bytes_unloaded=file.path.stat().st_size,
                           rows_unloaded=file.rows, start_time=found.start, end_time=now())  # fmt: skip

    def _drop(self, found: Unloading) -> None:
        self._under_way.pop(str(found.query), None)
        found.pipe.unlink(missing_ok=True)
        shutil.rmtree(found.folder, ignore_errors=True)

    def forget(self, session: int) -> None:
        """Those of a session that has ended, or whose statement failed."""
        for found in [u for u in self._under_way.values() if u.session == session]:
            if found.received:
                found.received.give_up()
            self._drop(found)


def arrow_type(kind: str) -> Any:
    """Arrow's type of a column of PostgreSQL's."""
    if kind.startswith("numeric"):
        inner = kind[len("numeric") :].strip("()").split(",")
        return pa.decimal128(int(inner[0]), int(inner[1])) if inner[0] else pa.decimal128(38, 10)
    return _ARROW.get(kind, pa.string())


def rows_of(source: Any, columns: Sequence[Target]) -> pa.Table:
    """The rows that PostgreSQL wrote as CSV, typed."""
    types = {c.name: arrow_type(c.type) for c in columns}
    read = {n: pa.string() if pa.types.is_boolean(t) or pa.types.is_timestamp(t) else t for n, t in types.items()}
    convert = pc.ConvertOptions(column_types=read, null_values=[NULL], strings_can_be_null=True, quoted_strings_can_be_null=False)
    parse = pc.ParseOptions(newlines_in_values=True)
    reading = pc.ReadOptions(column_names=[c.name for c in columns], block_size=8 * 1024 * 1024)
    try:
        found = pc.read_csv(source, reading, parse, convert)
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise
        found = pa.Table.from_pylist([], pa.schema(read.items()))
    with duck() as connection:
        connection.register("found", found)
        casts = ", ".join(f"CAST({quoted(n)} AS {_duck(t)}) AS {quoted(n)}" if read[n] != t else quoted(n) for n, t in types.items())
        return found if read == types else connection.execute(f"SELECT {casts} FROM found").to_arrow_table()


def _duck(kind: Any) -> str:
    return "BOOLEAN" if pa.types.is_boolean(kind) else "TIMESTAMPTZ" if kind.tz else "TIMESTAMP"


def _files(source: Any, found: Unloading) -> list[File]:
    """The rows as files, a partition at a time."""
    rows = rows_of(source, found.columns)
    made = []
    for i, (folder, part) in enumerate(_partitions(rows, found.ask)):
        for j, piece in enumerate(_pieces(part, found.ask)):
            path = found.folder / f"{i}_{j}"
            _write(piece, path, found.ask)
            made.append(File(path, f"{folder}{_name(found.ask, j)}", piece.num_rows))
    return made


def _name(ask: Unload, part: int) -> str:
    extension = ".parquet" if ask.format == "parquet" else next((e for o, e in _EXTENSIONS.items() if o in ask.options), "")
    extension = f".{ask.options['EXTENSION'].lstrip('.')}" if "EXTENSION" in ask.options else extension
    return f"{'000' if ask.options.get('PARALLEL') == 'OFF' else f'0000_part_{part:02d}'}{extension}"


def _partitions(rows: pa.Table, ask: Unload) -> Iterator[tuple[str, pa.Table]]:
    """(folder, rows) of each partition: `a=1/b=2/`; its columns are left out unless INCLUDE asks for them."""
    if not ask.partition_by:
        yield "", rows
        return
    shown = [c for c in rows.column_names if c not in ask.partition_by or "INCLUDE" in ask.options]
    with duck() as connection:
        connection.register("rows", rows)
        by = ", ".join(quoted(c) for c in ask.partition_by)
        for group in connection.execute(f"SELECT DISTINCT {by} FROM rows ORDER BY ALL").to_arrow_table().to_pylist():
            where = " AND ".join(f"{quoted(c)} IS NOT DISTINCT FROM ?" for c in group)
            part = connection.execute(f"SELECT {', '.join(map(quoted, shown))} FROM rows WHERE {where}", list(group.values())).to_arrow_table()
            yield "".join(f"{c}={_escaped(v)}/" for c, v in group.items()), part


def _escaped(value: object) -> str:
    """A partition's value in the name of its folder, as Hive writes it."""
    if value is None:
        return "__HIVE_DEFAULT_PARTITION__"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "".join(f"%{ord(c):02X}" if c in "\"#%'*/:=?\\{[]^\x7f" or c < " " else c for c in text)


def _pieces(rows: pa.Table, ask: Unload) -> Iterator[pa.Table]:
    """Parts of at most MAXFILESIZE, as their bytes in memory are."""
    most = int(ask.options.get("MAXFILESIZE", "0"))
    if not most or rows.nbytes <= most:
        yield rows
        return
    count = -(-rows.nbytes // most)
    size = -(-rows.num_rows // count)
    for start in range(0, rows.num_rows, size):
        yield rows.slice(start, size)


def _write(rows: pa.Table, path: Path, ask: Unload) -> None:
    if ask.format == "parquet":
        pq.write_table(rows, path, compression="snappy")
        return
    if ask.format == "json":
        lines = (json.dumps({k: v for k, v in row.items() if v is not None}, default=str) for row in rows.to_pylist())
        text = "".join(f"{line}\n" for line in lines).encode()
    else:
        text = _delimited(rows, ask)
    path.write_bytes(_packed(text, ask))


def _delimited(rows: pa.Table, ask: Unload) -> bytes:
    is_csv, null = ask.format == "csv", ask.options.get("NULL", "")
    delimiter = ask.options.get("DELIMITER", "," if is_csv else "|")
    if "FIXEDWIDTH" in ask.options:
        raise NotLocalError("UNLOAD with FIXEDWIDTH")
    quote = '"' if is_csv or "ADDQUOTES" in ask.options else ""
    with duck() as connection:
        connection.register("rows", rows)
        names = rows.column_names
        cells = ", ".join(_cell(n, delimiter, quote, null, "ADDQUOTES" in ask.options, "ESCAPE" in ask.options) for n in names)
        found = connection.execute(f"SELECT concat_ws({literal(delimiter)}, {cells}) FROM rows").fetchall()
    head = [delimiter.join(names)] if "HEADER" in ask.options else []
    return "".join(f"{line}\n" for line in [*head, *(row[0] for row in found)]).encode()


def _cell(name: str, delimiter: str, quote: str, null: str, always: bool, escape: bool) -> str:
    """A field as text: quoted where it has to be, or always."""
    text = f"CAST({quoted(name)} AS VARCHAR)"
    if escape:
        text = f"regexp_replace({text}, '([\\\\\\n\\r{delimiter if delimiter not in '|^$.*+?()[' else chr(92) + delimiter}])', '\\\\\\1', 'g')"
    if quote:
        doubled = f"'\"' || replace({text}, '\"', '\"\"') || '\"'"
        special = f"{text} = '' OR contains({text}, {literal(delimiter)}) OR contains({text}, '\"') OR contains({text}, chr(10)) OR contains({text}, chr(13))"
        text = doubled if always else f"CASE WHEN {special} THEN {doubled} ELSE {text} END"
    return f"coalesce({text}, {literal(null)})"


def _packed(text: bytes, ask: Unload) -> bytes:
    if "GZIP" in ask.options:
        return gzip.compress(text, 1)
    if "BZIP2" in ask.options:
        return bz2.compress(text)
    return bytes(pa.compress(text, codec="zstd", asbytes=True)) if "ZSTD" in ask.options else text


def _manifest(found: Unloading, files: Sequence[tuple[str, int, int]]) -> bytes:
    """What was written: (URL, bytes, rows) of each file."""
    if "VERBOSE" not in found.ask.options:
        return json.dumps({"entries": [{"url": url} for url, _, _ in files]}).encode()
    entries = [{"url": url, "meta": {"content_length": size, "record_count": rows}} for url, size, rows in files]
    total = {"content_length": sum(size for _, size, _ in files), "record_count": sum(rows for _, _, rows in files)}
    schema = {"elements": [{"name": c.name, "type": {"base": c.type}} for c in found.columns]}
    return json.dumps({"entries": entries, "schema": schema, "meta": total, "author": {"name": "Amazon Redshift", "version": "1.0.0"}}).encode()
